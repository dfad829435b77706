package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestUnitCopiesOnlyToRuntimeDirectory checks that a process that runs as the
// instance's user cannot redirect root's copy of the configuration with a symbolic
// link in the runtime directory, which it owns.
func TestUnitCopiesOnlyToRuntimeDirectory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this test needs GNU install")
	}
	unit := read(t, "scout@.service")
	for _, line := range append(settings(unit, "ExecStartPre"), settings(unit, "ExecReload")...) {
		command, ok := strings.CutPrefix(line, "+/usr/bin/install ")
		if !ok {
			continue
		}
		t.Run(command, func(t *testing.T) {
			root := t.TempDir()
			config, elsewhere := filepath.Join(root, "etc/scout/shop.yml"), filepath.Join(root, "elsewhere")
			link := filepath.Join(root, "run/scout-shop/scout.yml")
			for _, dir := range []string{filepath.Dir(config), filepath.Dir(link), elsewhere} {
				fatal(t, os.MkdirAll(dir, 0o755))
			}
			fatal(t, os.WriteFile(config, []byte("queue: {}"), 0o600))
			fatal(t, os.Symlink(elsewhere, link))

			expand := strings.NewReplacer("%i", "shop", "%t", root+"/run", "/etc/", root+"/etc/")
			args := strings.Fields(expand.Replace(command))
			if out, err := exec.CommandContext(t.Context(), "install", args...).CombinedOutput(); err != nil {
				t.Fatalf("install %v: %v\n%s", args, err, out)
			}
			if names := list(t, elsewhere); len(names) > 0 {
				t.Errorf("install followed the link and wrote %v", names)
			}
			if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
				t.Errorf("the copy is %v (%v), want a regular file", info, err)
			}
		})
	}
}

// TestUnitRestartsAfterSIGPIPE checks that the unit restarts a Scout that SIGPIPE
// ended, which systemd takes for a clean exit unless it is told otherwise.
func TestUnitRestartsAfterSIGPIPE(t *testing.T) {
	unit := read(t, "scout@.service")
	if restart := setting(t, unit, "Restart"); restart == "always" {
		return
	}
	if status := setting(t, unit, "RestartForceExitStatus"); !strings.Contains(status, "SIGPIPE") {
		t.Errorf("RestartForceExitStatus=%s", status)
	}
}

// setting returns the value of a setting that the unit must have exactly once.
func setting(t *testing.T, unit, name string) string {
	t.Helper()
	values := settings(unit, name)
	if len(values) != 1 {
		t.Fatalf("the unit has %d settings %s=, want 1", len(values), name)
	}
	return values[0]
}

// settings returns the values of a setting.
func settings(unit, name string) (values []string) {
	for line := range strings.SplitSeq(unit, "\n") {
		if value, ok := strings.CutPrefix(line, name+"="); ok {
			values = append(values, value)
		}
	}
	return values
}

// list returns the names of the files in a directory, sorted.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	fatal(t, err)
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
