package config

import "testing"

// TestLocalNeedsNoUnresolvableReference checks that, with LocalRedis, references
// that cannot be resolved are errors only where they change jobs.
func TestLocalNeedsNoUnresolvableReference(t *testing.T) {
	l := Loader{LocalRedis: "redis://localhost:6380", Env: vars("NS", "myapp", "WAIT", "3s")}
	c, err := l.Load(t.Context(), `
redis: {url: "env:NOPE", namespace: "env:NOPE", dedup_ttl: "ssm:/app/ttl"}
limits: {queue_length: "env:NOPE"}
shutdown_timeout: env:NOPE
queues:
  - {name: "env:ORDERS_QUEUE", wait_time: "env:WAIT", visibility_timeout: "env:NOPE", topics: {t: W}}
  - {url: "env:USERS_QUEUE_URL", max_messages: "env:NOPE", concurrency: "env:NOPE", topics: {t: W}}
  - {url: "ssm:/app/audit-queue", topics: {t: W}}
`)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "names", [3]string{c.Queues[0].Label(), c.Queues[1].Label(), c.Queues[2].Label()},
		[3]string{"ORDERS_QUEUE", "USERS_QUEUE_URL", "audit-queue"})
	check(t, "wait time", c.Queues[0].WaitTime.String(), "3s")
	check(t, "namespace", c.Redis.Namespace, "")

	c, err = l.Load(t.Context(), "redis: {namespace: \"env:NS\"}\nqueue: {name: \"env:QUEUE\", topics: {t: W}}\n")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "name", c.Queues[0].Name, "QUEUE")
	check(t, "namespace", c.Redis.Namespace, "myapp")

	for name, text := range map[string]string{
		"class":            "queue: {name: q, topics: {t: \"env:NOPE\"}}\n",
		"topic's queue":    "queue: {name: q, topics: {t: {class: W, queue: \"env:NOPE\"}}}\n",
		"default queue":    "redis: {queue: \"env:NOPE\"}\nqueue: {name: q, topics: {t: W}}\n",
		"timestamps":       "redis: {timestamps: \"env:NOPE\"}\nqueue: {name: q, topics: {t: W}}\n",
		"unknown limit":    "limits: {queue_len: 1}\nqueue: {name: q, topics: {t: W}}\n",
		"invalid variable": "queue: {name: \"env:NO-PE\", topics: {t: W}}\n",
	} {
		if _, err := l.Load(t.Context(), text); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := (Loader{Env: vars("REDIS_URL", "redis://h")}).Load(t.Context(), "queue: {name: \"env:QUEUE\", topics: {t: W}}\n"); err == nil {
		t.Error("without LocalRedis: no error")
	}
}
