//go:build integration

package packaging

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// TestRelease builds a release twice, in two directories, and installs it.
func TestRelease(t *testing.T) {
	env.Program(t, "git", "git")
	first, second := buildRelease(t), buildRelease(t)
	t.Run("same bytes", func(t *testing.T) {
		names := list(t, first)
		if len(names) != 13 || fmt.Sprint(names) != fmt.Sprint(list(t, second)) {
			t.Fatalf("the releases are\n%v\n%v", names, list(t, second))
		}
		for _, name := range names {
			if read(t, filepath.Join(first, name)) != read(t, filepath.Join(second, name)) {
				t.Errorf("%s differs", name)
			}
		}
	})
	t.Run("checksums", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(read(t, filepath.Join(first, "SHA256SUMS"))), "\n")
		if len(lines) != 12 {
			t.Errorf("%d checksums", len(lines))
		}
		for _, line := range lines {
			sum, name, _ := strings.Cut(line, "  ")
			if got := fmt.Sprintf("%x", sha256.Sum256([]byte(read(t, filepath.Join(first, name))))); got != sum {
				t.Errorf("%s has %s", name, got)
			}
		}
	})
	t.Run("sbom", func(t *testing.T) {
		text := read(t, filepath.Join(first, "scout_2.0.0-rc.1_linux_amd64.cdx.json"))
		if !json.Valid([]byte(text)) || !strings.Contains(text, `"pkg:golang/github.com/gomodule/redigo@v`) {
			t.Errorf("no SBOM:\n%s", text)
		}
	})
	t.Run("rpm", func(t *testing.T) { testRPM(t, filepath.Join(first, "scout-2.0.0~rc.1-1.x86_64.rpm")) })
	t.Run("deb", func(t *testing.T) {
		testDeb(t, filepath.Join(first, "scout_2.0.0~rc.1_"+runtime.GOARCH+".deb"))
	})
}

// buildRelease builds a release in a copy of the project and returns its
// directory.
func buildRelease(t *testing.T) string {
	t.Helper()
	dir := copyProject(t)
	cmd := exec.CommandContext(t.Context(), "make", "release", "VERSION=v2.0.0-rc.1")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make release: %v\n%s", err, out)
	}
	return filepath.Join(dir, "dist")
}

// copyProject copies all files that git tracks or does not ignore.
func copyProject(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = ".."
	names, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		copyFile(t, filepath.Join("..", name), filepath.Join(dir, name))
	}
	return dir
}

// copyFile copies a file with its mode. A file that does not exist is skipped.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, []byte(read(t, from)), info.Mode()); err != nil {
		t.Fatal(err)
	}
}

// testRPM checks the package with rpm.
func testRPM(t *testing.T, file string) {
	rpm := env.Program(t, "rpm", "Debian's rpm")
	out, err := exec.Command(rpm, "-qp", "--qf", "[%{FILEMODES:perms} %{FILENAMES}\n]%{BUILDHOST}", file).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"drwx------ /etc/scout\n", "-rwxr-xr-x /usr/bin/scout\n", "/usr/lib/systemd/system/scout@.service\n", "\nlocalhost"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the package lacks %q:\n%s", want, out)
		}
	}
	if out, err := exec.Command(rpm, "-K", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestImageBuild runs the build command of the Dockerfile with only the files that
// .dockerignore lets through, and checks that the binary is static.
func TestImageBuild(t *testing.T) {
	env.Program(t, "git", "git")
	project, context := copyProject(t), t.TempDir()
	for line := range strings.SplitSeq(read(t, "../.dockerignore"), "\n") {
		if name, ok := strings.CutPrefix(line, "!"); ok {
			_ = filepath.Walk(filepath.Join(project, name), func(path string, info os.FileInfo, err error) error {
				rest, _ := filepath.Rel(project, path)
				if err == nil && !info.IsDir() && !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "/testdata/") {
					copyFile(t, path, filepath.Join(context, rest))
				}
				return err
			})
		}
	}
	var build string
	for _, line := range dockerfile(t)[0] {
		if command, ok := strings.CutPrefix(line, "RUN GOOS"); ok {
			build = "GOOS" + command
		}
	}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", build)
		cmd.Dir, cmd.Env = context, append(os.Environ(), "TARGETARCH="+arch, "VERSION=v2.0.0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
		f, err := elf.Open(filepath.Join(context, "bin", "scout"))
		if err != nil {
			t.Fatal(err)
		}
		libraries, _ := f.ImportedLibraries()
		if f.Machine != machine || len(libraries) > 0 {
			t.Errorf("the binary for %s is built for %v and needs %v", arch, f.Machine, libraries)
		}
		_ = f.Close()
	}
}
