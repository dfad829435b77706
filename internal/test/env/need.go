// Package env provides the environment of integration tests: real servers, each
// on a free loopback port and for one test, and the paths of real programs. If a
// program is not installed, the test is skipped or, with CI=true, fails.
package env

import (
	"os"
	"testing"
)

// need skips the test or, with CI=true, fails it, because a part is not installed.
// how says from where and to where make deps installs it.
func need(t testing.TB, part, how string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s: make deps installs it (%s)", part, how)
	}
	t.Skipf("this test needs %s: make deps installs it (%s)", part, how)
}
