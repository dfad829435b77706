//go:build integration

package docs

import (
	"os/exec"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// TestRuby checks the syntax of every example in Ruby.
func TestRuby(t *testing.T) {
	ruby := env.Program(t, "ruby", "the package ruby")
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "ruby" {
				continue
			}
			found++
			cmd := exec.Command(ruby, "-c")
			cmd.Stdin = strings.NewReader(b.text)
			if output, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %s", p.path, b.line, output)
			}
		}
	}
	if found == 0 {
		t.Error("no example in Ruby was found")
	}
}
