package env

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
)

// Program returns the path of an installed program. how says where make deps gets
// it from. The others are alternatives with the same purpose.
func Program(t testing.TB, name, how string, others ...string) string {
	t.Helper()
	for _, each := range append([]string{name}, others...) {
		if path, err := exec.LookPath(each); err == nil {
			return path
		}
	}
	need(t, name, how)
	return ""
}

// serve starts a server and returns when a GET of the URL succeeds. The server is
// stopped when the test ends.
func serve(t testing.TB, url, program string, args ...string) {
	t.Helper()
	name := filepath.Base(program)
	var output bytes.Buffer
	cmd := exec.Command(program, args...)
	DieWithTest(cmd)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	ready := false
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if !ready {
			t.Logf("%s wrote:\n%s", name, &output)
		}
	})
	waitFor(t, name, func() bool { return answers(url) })
	ready = true
}
