package env

import (
	"os/exec"
	"testing"
)

// Rake returns the path of rake, which can load Rails and Sidekiq.
func Rake(t testing.TB) string {
	t.Helper()
	path := Program(t, "rake", "with Ruby")
	if err := exec.Command("ruby", "-e", "require 'rails'; require 'sidekiq'").Run(); err != nil {
		need(t, "Rails", "Debian's ruby-railties and ruby-sidekiq, or the gems railties and sidekiq")
	}
	return path
}
