// Package env starts the real servers that tests need, each on a free
// loopback port and for one test.
package env

import (
	"os"
	"testing"
)

// need skips the test, and says what it lacks and how to get that. Where
// CI=true nothing may be lacking, and the test fails.
func need(t testing.TB, part, how string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s: make deps installs it (%s)", part, how)
	}
	t.Skipf("this test needs %s: make deps installs it (%s)", part, how)
}
