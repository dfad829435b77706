package env

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// HasDebian reports whether the parts of a suite of Debian, such as trixie, are
// installed in .deps/debian.
func HasDebian(t testing.TB, suite string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(projectRoot(t), ".deps", "debian", suite))
	return err == nil
}

var nameAndVersion = regexp.MustCompile(`^(\w+)\D*([\d.]+)`)

// DebianVersion returns the name and the version of a program of a suite of Debian:
// "Sidekiq 7.3.2".
func DebianVersion(t testing.TB, suite, program string) string {
	t.Helper()
	command := debian(t, suite, program)
	output, err := exec.Command(command[0], append(command[1:], "--version")...).Output()
	match := nameAndVersion.FindSubmatch(output)
	if match == nil {
		t.Fatalf("%s of Debian %s has no version: %v, %q", program, suite, err, output)
	}
	return string(match[1]) + " " + string(match[2])
}

// debian returns the start of a command that runs a program of a suite of Debian.
func debian(t testing.TB, suite, program string) []string {
	t.Helper()
	if !HasDebian(t, suite) {
		need(t, program+" of Debian "+suite, "into .deps/debian; those of bookworm and trixie are for make matrix alone")
	}
	return []string{filepath.Join(projectRoot(t), "tools", "debian.sh"), "run", suite, program}
}
