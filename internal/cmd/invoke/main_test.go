package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
)

var bootstrap string // the path of the function, built for these tests

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "scout-invoke")
	if err != nil {
		panic(err)
	}
	bootstrap = filepath.Join(dir, "bootstrap")
	if out, err := exec.Command("go", "build", "-o", bootstrap, "scout/cmd/lambda").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// invoke runs the command on a sample event.
func invoke(t *testing.T, event string, flags ...string) (stdout, stderr string, err error) {
	t.Helper()
	return invokeFile(t, "../../../events/"+event, flags...)
}

func invokeFile(t *testing.T, event string, flags ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, log bytes.Buffer
	args := append([]string{"-function", bootstrap, "-event", event}, flags...)
	err = run(t.Context(), args, &out, &log)
	return out.String(), log.String(), err
}

func TestInvoke(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	for event, want := range map[string]struct {
		failures, jobs, rejected int
	}{
		"one-topic.json":      {0, 3, 0},
		"several-topics.json": {0, 5, 0},
		"fifo.json":           {0, 4, 0},
		"hundred.json":        {0, 100, 0},
		"raw-delivery.json":   {0, 2, 0},
		"eventbridge.json":    {0, 2, 0},
		"s3.json":             {0, 2, 0},
		"poison.json":         {11, 1, 11},
	} {
		t.Run(event, func(t *testing.T) {
			stdout, stderr, err := invoke(t, event)
			response, jobs, _ := strings.Cut(stdout, "\nJOBS\n")
			if err != nil || !strings.HasPrefix(response, "\nRESPONSE\n{\"batchItemFailures\":[") ||
				strings.Count(response, "itemIdentifier") != want.failures || strings.Count(jobs, "\n") != want.jobs {
				t.Errorf("%v, want %d failures and %d jobs:\n%s", err, want.failures, want.jobs, stdout)
			}
			if !strings.HasPrefix(stderr, "LOG\n{") || strings.Count(stderr, "message rejected") != want.rejected {
				t.Errorf("want %d rejected messages in the log:\n%s", want.rejected, stderr)
			}
		})
	}
}

// TestRedisURL invokes the function with a Redis that is in use and with a
// configuration that names another one. Only the jobs of this event are shown.
func TestRedisURL(t *testing.T) {
	redis := miniredis.RunT(t)
	t.Setenv("REDIS_URL", "redis://"+redis.Addr())
	_, _ = redis.SAdd("shop:queues", "default", "idle")
	_, _ = redis.Lpush("shop:queue:default", "an older job")
	file := filepath.Join(t.TempDir(), "scout.yml")
	text := "redis: {host: 'redis.internal:6379', password: 'ssm:/secret', namespace: shop}\naws: {region: 'env:NONE'}\nqueue: {name: app, topics: {orders: OrderWorker}}\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := invoke(t, "one-topic.json", "-config", file)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	_, jobs, _ := strings.Cut(stdout, "\nJOBS\n")
	lines := strings.Split(jobs, "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], `"id":1001`) || !strings.Contains(lines[2], `"id":1003`) {
		t.Errorf("jobs:\n%s\nwant the three of the event, in its order", jobs)
	}
}

// The path of a manifest is relative to its configuration, not to the working
// directory.
func TestManifest(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	dir := t.TempDir()
	for name, text := range map[string]string{
		"scout.yml":    "workers: workers.json\nqueue: {topics: {orders: OrderWorker, user-signups: OrderWorker}}\n",
		"workers.json": `{"version": 1, "classes": {"OrderWorker": {"kind": "sidekiq", "options": {"queue": "critical"}, "args": [1, 1]}}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, err := invoke(t, "one-topic.json", "-config", filepath.Join(dir, "scout.yml"))
	if err != nil || !strings.Contains(stdout, `"queue":"critical"`) {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
}

func TestFailures(t *testing.T) {
	redis := miniredis.RunT(t)
	t.Setenv("REDIS_URL", "redis://"+redis.Addr())
	redis.SetError("MISCONF cannot persist")
	if _, _, err := invoke(t, "one-topic.json"); err == nil || !strings.Contains(err.Error(), "reading the queues in Redis: MISCONF") {
		t.Errorf("a Redis that replies with errors: %v", err)
	}
	redis.Close()
	if _, _, err := invoke(t, "one-topic.json"); err == nil || !strings.Contains(err.Error(), "connecting to Redis") {
		t.Errorf("no Redis: %v", err)
	}
	t.Setenv("REDIS_URL", "")
	if _, _, err := invoke(t, "scout.yml"); err == nil || !strings.Contains(err.Error(), "the function failed: ") {
		t.Errorf("an event that is not JSON: %v", err)
	}
	file := filepath.Join(t.TempDir(), "event.json")
	if err := os.WriteFile(file, []byte(`{"source":"shop","detail-type":"Paid","detail":{}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, _, err := invokeFile(t, file); err == nil || !strings.Contains(err.Error(), "the payload is not an SQS event") || strings.Contains(stdout, "RESPONSE") {
		t.Errorf("an event of EventBridge: %v\n%s", err, stdout)
	}
	if _, _, err := invoke(t, "none.json"); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no event: %v", err)
	}
	file = filepath.Join(t.TempDir(), "scout.yml")
	if err := os.WriteFile(file, []byte("queue: {name: app}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := invoke(t, "one-topic.json", "-config", file); err == nil || !strings.Contains(err.Error(), "scout.yml:1") {
		t.Errorf("an invalid configuration: %v", err)
	}
	if _, stderr, err := invoke(t, "one-topic.json", "more"); err == nil || !strings.Contains(stderr, "Usage of invoke") {
		t.Errorf("an argument too many: %v, %s", err, stderr)
	}
}
