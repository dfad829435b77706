//go:build integration && matrix

package e2e

import (
	"cmp"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// A part is a program of a suite of Debian. Its name and version begin with version.
type part struct{ suite, program, version string }

var sidekiqs = []struct {
	part
	keys []string // of redis in Scout's configuration that this Sidekiq supports
}{
	{part{"bookworm", "sidekiq", "Sidekiq 6.4."}, []string{"", namespaced}},
	{part{"trixie", "sidekiq", "Sidekiq 7.3."}, []string{""}},
	{part{"sid", "sidekiq", "Sidekiq "}, []string{"", sidekiq8, ", timestamps: milliseconds"}},
}

const (
	namespaced = ", namespace: shop"
	sidekiq8   = ", sidekiq: 8"
)

var redises = []part{
	{"bookworm", "redis-server", "Redis 7.0."},
	{"trixie", "redis-server", "Redis 8."},
	{"trixie", "valkey-server", "Valkey 8."},
}

// TestMatrix tests each Sidekiq with each Redis. make matrix installs them.
func TestMatrix(t *testing.T) {
	var ran []string
	for _, s := range sidekiqs {
		if s.suite == "sid" && !env.HasDebian(t, s.suite) {
			t.Run("Sidekiq 8", func(t *testing.T) { t.Skip("NOT RUN: make matrix could not install Debian sid") })
			ran = append(ran, "Sidekiq 8 WAS NOT RUN")
			continue
		}
		for i, r := range redises {
			name := s.name(t) + "/" + r.name(t)
			ran = append(ran, name)
			for _, keys := range s.keys {
				a := newApp(s.part, r, keys)
				for test, run := range testsOf(a, i == len(redises)-1) {
					t.Run(name+"/"+strings.TrimPrefix(cmp.Or(keys, "defaults"), ", ")+"/"+test, func(t *testing.T) {
						t.Parallel()
						run(t, a)
					})
				}
			}
		}
	}
	t.Cleanup(func() { t.Logf("The matrix:\n%s", strings.Join(ran, "\n")) })
}

// name returns the name and the version of a part.
func (p part) name(t *testing.T) string {
	t.Helper()
	name := env.DebianVersion(t, p.suite, p.program)
	if !strings.HasPrefix(name, p.version) {
		t.Errorf("Debian %s has %s, want %s", p.suite, name, p.version)
	}
	return name
}

func newApp(sidekiq, server part, keys string) app {
	a := app{
		sidekiq: env.SidekiqRelease{Suite: sidekiq.suite},
		redis:   func(t *testing.T) *env.RedisServer { return env.DebianRedis(t, server.suite, server.program) },
		keys:    keys,
	}
	if keys == namespaced {
		a.sidekiq.Namespace = "shop"
	}
	return a
}

// testsOf returns the tests of an app by name. Some tests concern only Sidekiq, and
// need to run with one Redis only.
func testsOf(a app, all bool) map[string]func(*testing.T, app) {
	tests := map[string]func(*testing.T, app){"options": testOptions}
	if !all || a.keys != "" && a.keys != sidekiq8 {
		return tests
	}
	tests["failure"], tests["rejected"] = testFailure, testRetryRejectedMessages
	if (a.keys == sidekiq8) == (a.sidekiq.Suite == "sid") {
		tests["twins"], tests["manifest"] = testTwins, testManifest // Scout writes jobs as this Sidekiq does
	}
	return tests
}
