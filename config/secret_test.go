package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestNothingPrintsASecret prints a configuration, and a secret alone, in all the
// ways in which logs and dumps do.
func TestNothingPrintsASecret(t *testing.T) {
	c := mustLoad(t, `
redis: {url: "rediss://hunter2:hunter2@redis.internal:6379/0", sentinels: [s], sentinel_password: hunter2}
aws: {access_key: hunter2, secret_key: hunter2}
queue: {name: q, topics: {t: W}}
`)
	for what, value := range map[string]any{
		"pointer": c, "config": *c, "redis": c.Redis, "aws": c.AWS, "secret": c.AWS.SecretKey,
		"slice": []Secret{c.Redis.URL}, "map": map[string]Secret{"url": c.Redis.URL},
	} {
		for how, print := range printers() {
			t.Run(what+" "+how, func(t *testing.T) {
				got := print(value)
				if strings.Contains(got, "hunter2") || strings.Contains(got, fmt.Sprintf("%x", "hunter2")) {
					t.Errorf("the secret is in %s", got)
				}
				if got == "" {
					t.Error("nothing is printed")
				}
			})
		}
	}
}

func printers() map[string]func(any) string {
	printers := map[string]func(any) string{
		"json": func(v any) string { b, err := json.Marshal(v); return fmt.Sprint(string(b), err) },
		"yaml": func(v any) string { b, err := yaml.Marshal(v); return fmt.Sprint(string(b), err) },
		"slog text": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
			return b.String()
		},
		"slog json": func(v any) string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
			return b.String()
		},
		"error": func(v any) string { return fmt.Errorf("because of %v", v).Error() },
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%10.3s"} {
		printers[verb] = func(v any) string { return fmt.Sprintf(verb, v) }
	}
	return printers
}

func TestSecret(t *testing.T) {
	check(t, "Reveal", Secret("a").Reveal(), "a")
	check(t, "String", Secret("a").String(), "[redacted]")
	check(t, "String of nothing", Secret("").String(), "")
}

func TestAddress(t *testing.T) {
	tests := map[string]struct{ url, want string }{
		"user and password": {"rediss://u:p@h:1/0", "rediss://h:1/0"},
		"parameters":        {"redis://h?password=p", "redis://h"},
		"socket":            {"unix://:p@/run/redis.sock?db=1", "unix:///run/redis.sock"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			check(t, "Address", Redis{URL: Secret(test.url)}.Address(), test.want)
		})
	}
}
