package config

import (
	"slices"
	"strings"
	"testing"
)

// FuzzLoad checks that no text makes Load panic, that Load returns either a
// configuration or an error, and that no error shows a secret, wherever in the text
// it is. The secret has characters that no key or name may have.
func FuzzLoad(f *testing.F) {
	const secret = "s3cr3t!pässword"
	for _, text := range []string{
		minimal, full, withWorkers,
		"workers: SECRET\n", "workers: 'SECRET.json'\n", "workers: [SECRET]\n", "workers: '{\"version\": \"SECRET\"}'\n", "workers: '{SECRET}'\n",
		strings.ReplaceAll(withWorkers, "critical", "SECRET"), strings.ReplaceAll(withWorkers, "[1, 2]", "[SECRET]"), strings.ReplaceAll(withWorkers, "kind", "SECRET"),
		"redis: {host: h, password: SECRET}\n",
		"redis: {url: 'redis://:SECRET@h:x'}\n",
		"redis: {password:SECRET}\n",
		"redis:\n  password: *SECRET\n",
		"redis:\n  password: !SECRET\n",
		"redis:\n  password: [SECRET\n",
		"redis:\n  password: env:SECRET\n",
		"redis:\n  password: ssm:SECRET\n",
		"aws: {secret_key: env:PASSWORD}\nqueue: env:PASSWORD\n",
		"&a [*a]\n", "a: &a {<<: *a}\n", "<<: [[]]\n", "? {a: b}\n: c\n",
		"queue: {url: 'http://SECRET/q'}\n", "redis: {host: h, namespace: '${SECRET}'}\n", "redis: {url: 'redis://SECRET:env:SECRET@h'}\n",
		"redis:\n\tpassword: SECRET\n", "redis: {host: h, password: &SECRET }\n", "\xff\xfes\x00", "max_bytes: SECRET\n",
		"redis: {host: h}\nqueue:\n  plain: {by: SECRET, to: {a: ignore}}\n  message_id: SECRET\n  s3: {SECRET/x y: W}\n  eventbridge: {a/SECRET: [W, {by: body:/SECRET, to: {SECRET: V}}]}\n",
		"redis: {host: h}\nqueue: {plain: W}\ntests: [{topic: SECRET, rejected: SECRET}, {body: [1, {a: .5, SECRET: b}], jobs: [{SECRET: 1, clas: SECRET}], queue: SECRET}, SECRET]\n",
		"SECRET", "{redis: {password: SECRET}}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ReplaceAll(text, "SECRET", secret) + "\n" // YAML instead of a file name
		c, err := Loader{Env: vars("PASSWORD", secret), Tests: true}.Load(t.Context(), text)
		checkAgreement(t, text, err)
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the secret is in %v", err)
		}
		if err == nil && (c.Redis.URL == "" || len(slices.Collect(c.Queues[0].workers())) == 0 && !strings.Contains(text, "ignore")) {
			t.Errorf("valid, but %v", c)
		}
	})
}
