package testparts

import (
	"os/exec"
	"testing"
)

// Program returns the path of a program, which how says where to get.
func Program(t testing.TB, name, how string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		need(t, name, how)
	}
	return path
}
