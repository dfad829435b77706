package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
	"scout/internal/monitor"
	"scout/internal/test/env"
)

// write writes a configuration for the endpoint: text, and where SQS is.
func (e *endpoint) write(t *testing.T, file, text string) {
	t.Helper()
	text += fmt.Sprintf("\naws: {region: us-east-1, access_key: x, secret_key: x, endpoint: \"http://%s\"}\n", e.addr)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// subscribe creates a queue and a topic, and subscribes the queue to the topic.
func (e *endpoint) subscribe(t *testing.T, queue, topicName string) (topic string) {
	t.Helper()
	arn, err := e.CreateQueue(queue, nil)
	if err != nil {
		t.Fatal(err)
	}
	if topic, err = e.CreateTopic(topicName, nil); err != nil {
		t.Fatal(err)
	}
	if _, err = e.Subscribe(topic, arn, nil); err != nil {
		t.Fatal(err)
	}
	return topic
}

func (e *endpoint) publishTo(t *testing.T, topic, message string) {
	t.Helper()
	if _, err := e.Publish(topic, devstack.Notification{Message: message}); err != nil {
		t.Fatal(err)
	}
}

// classes returns the classes of the jobs in the queue default, in Sidekiq's order.
func classes(t *testing.T, addr string) (classes []string) {
	t.Helper()
	for _, payload := range env.Queued(t, addr, "queue:default") {
		var job struct{ Class string }
		if err := json.Unmarshal([]byte(payload), &job); err != nil {
			t.Fatal(err)
		}
		classes = append(classes, job.Class)
	}
	return classes
}

func (p *process) eventuallyLogs(t *testing.T, text string) {
	t.Helper()
	eventually(t, 10*time.Second, text+", in the log:\n"+p.log(), func() bool { return strings.Contains(p.log(), text) })
}

var listening = regexp.MustCompile(`msg=listening address=(127\.0\.0\.1:\d+)`)

// get requests a path from a process that was started with --listen 0.
func (p *process) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	p.eventuallyLogs(t, "msg=listening")
	response, err := http.Get("http://" + listening.FindStringSubmatch(p.log())[1] + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// metric returns the text of a metric's value, or "" if the metric is missing.
func (p *process) metric(t *testing.T, name string) string {
	t.Helper()
	_, text := p.get(t, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// After SIGHUP during a long poll, the messages that it receives are handled
// with the new configuration. An invalid configuration changes nothing.
func TestReload(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	first, second := startTestRedis(t), startTestRedis(t)
	file := filepath.Join(t.TempDir(), "scout.yml")
	config := func(redis, class string) string {
		return fmt.Sprintf("redis: {url: \"redis://%s\"}\nqueue: {name: app, wait_time: 20s, topics: {orders: %s}}", redis, class)
	}
	e.write(t, file, config(first, "OldWorker"))
	p := startScout(t, "-c", file, "--listen", "0")
	eventually(t, 10*time.Second, "a long poll waits", func() bool { return e.receives.Load() == 1 })

	e.write(t, file, config(first, "NewWorker"))
	p.signal(t, syscall.SIGHUP)
	p.eventuallyLogs(t, "configuration reloaded")
	e.publish(t, 0, 1)
	eventually(t, 10*time.Second, "a job of the new class", func() bool { return slices.Equal(classes(t, first), []string{"NewWorker"}) })
	eventually(t, 10*time.Second, "a second poll", func() bool { return e.receives.Load() == 2 })

	for _, wrong := range []string{
		config(first, "no class"),
		strings.Replace(config(first, "LostWorker"), "app", "missing", 1),
		"redis",
	} {
		failed := strings.Count(p.log(), "reload failed")
		e.write(t, file, wrong)
		p.signal(t, syscall.SIGHUP)
		eventually(t, 10*time.Second, "the failure is logged", func() bool { return strings.Count(p.log(), "reload failed") > failed })
		e.publish(t, 1, 2)
	}
	eventually(t, 10*time.Second, "jobs as before", func() bool {
		return slices.Equal(classes(t, first), []string{"NewWorker", "NewWorker", "NewWorker", "NewWorker"})
	})
	if got := p.metric(t, "scout_config_last_reload_successful") + p.metric(t, `scout_config_reloads_total{result="ok"}`) + p.metric(t, `scout_config_reloads_total{result="failed"}`); got != "013" {
		t.Errorf("last reload successful, successful reloads, failed reloads: %s, want 013", got)
	}

	e.write(t, file, config(second, "NewWorker"))
	p.signal(t, syscall.SIGHUP)
	eventually(t, 10*time.Second, "the reload is counted", func() bool { return p.metric(t, "scout_config_last_reload_successful") == "1" })
	e.publish(t, 4, 5)
	eventually(t, 10*time.Second, "a job in the other Redis", func() bool { return len(classes(t, second)) == 1 })
	p.signal(t, syscall.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	e.publish(t, 5, 6) // ends the long poll
	if err := p.end(t, 5*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
	if len(classes(t, first)) != 4 || len(classes(t, second)) != 2 {
		t.Errorf("%d and %d jobs, want 4 and 2", len(classes(t, first)), len(classes(t, second)))
	}
}

// A configuration whose password Redis rejects does not take effect.
func TestReloadWithWrongPassword(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	server.RequireAuth("right")
	file := e.config(t, ":right@"+server.Addr(), "1s")
	p := startScout(t, "-c", file)
	p.eventuallyLogs(t, "msg=\"polling started\"")
	if err := os.WriteFile(file, []byte(strings.Replace(readFile(t, file), ":right@", ":wr0ng@", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	p.eventuallyLogs(t, "reload failed")
	e.publish(t, 0, 3)
	eventually(t, 10*time.Second, "jobs as before", func() bool { list, _ := server.List("queue:default"); return len(list) == 3 })
	if strings.Contains(p.log(), "wr0ng") {
		t.Errorf("the password is in the log:\n%s", p.log())
	}
}

// Each of several queues has its own topics, and SIGHUP adds and removes queues.
func TestQueues(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	users, audit := e.subscribe(t, "users", "users"), e.subscribe(t, "audit", "audit")
	addr := startTestRedis(t)
	file := filepath.Join(t.TempDir(), "scout.yml")
	const queue = "  - {name: %s, wait_time: 1s, topics: {%s: %s}}\n"
	header := fmt.Sprintf("redis: {url: \"redis://%s\"}\nqueues:\n", addr)
	e.write(t, file, header+fmt.Sprintf(queue, "app", "orders", "OrderWorker")+fmt.Sprintf(queue, "users", "users", "UserWorker"))
	p := startScout(t, "-c", file, "--listen", "0")
	e.publish(t, 0, 1)
	e.publishTo(t, users, "1")
	e.publishTo(t, audit, "1")
	sorted := func() []string { all := classes(t, addr); slices.Sort(all); return all }
	eventually(t, 10*time.Second, "a job of each queue", func() bool { return slices.Equal(sorted(), []string{"OrderWorker", "UserWorker"}) })

	e.write(t, file, header+fmt.Sprintf(queue, "audit", "audit", "AuditWorker")+fmt.Sprintf(queue, "users", "users", "UserWorker"))
	p.signal(t, syscall.SIGHUP)
	eventually(t, 10*time.Second, "what waited in the new queue", func() bool { return len(sorted()) == 3 && sorted()[0] == "AuditWorker" })
	time.Sleep(1500 * time.Millisecond) // until the last poll of the removed queue has ended
	e.publish(t, 1, 2)
	e.publishTo(t, users, "2")
	eventually(t, 10*time.Second, "a job of the queue that stayed", func() bool {
		return slices.Equal(sorted(), []string{"AuditWorker", "OrderWorker", "UserWorker", "UserWorker"})
	})
	if n := e.depth(t, "app"); n != 1 {
		t.Errorf("%d messages in the queue that was removed, want the one published since", n)
	}
	if p.metric(t, `scout_messages_received_total{queue="users"}`) != "2" || p.metric(t, `scout_messages_received_total{queue="audit"}`) != "1" ||
		p.metric(t, `scout_messages_received_total{queue="app"}`) != "" {
		_, text := p.get(t, "/metrics")
		t.Errorf("metrics:\n%s", text)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 6*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
}

// While a Sidekiq queue is too long, messages stay in SQS.
func TestQueueLimit(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	addr := startTestRedis(t)
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fill := func(n int) {
		t.Helper()
		_, _ = conn.Do("DEL", "queue:default")
		for range n {
			if _, err := conn.Do("LPUSH", "queue:default", `{"enqueued_at":1}`); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill(10)
	file := filepath.Join(t.TempDir(), "scout.yml")
	e.write(t, file, fmt.Sprintf("redis: {url: \"redis://%s\"}\nqueue: {name: app, wait_time: 1s, topics: {orders: OrderWorker}}\nlimits: {queue_length: 10}", addr))
	e.publish(t, 0, 5)
	p := startScout(t, "-c", file, "--listen", "0")
	p.eventuallyLogs(t, "limit exceeded")
	active := func() string { return p.metric(t, `scout_backpressure_active{limit="queue_length",queue="app"}`) }
	if got := active(); got != "1" {
		t.Errorf("scout_backpressure_active is %q", got)
	}
	fill(9) // not short enough yet to begin again
	time.Sleep(2 * time.Second)
	if n := e.receives.Load(); n > 0 {
		t.Errorf("%d receives while the queue is too long", n)
	}
	if code, body := p.get(t, "/readyz"); code != 200 {
		t.Errorf("/readyz: %d %s, but an exceeded limit is not a failure", code, body)
	}
	fill(8)
	eventually(t, 10*time.Second, "the messages are jobs", func() bool { return len(jobs(t, addr)) == 13 })
	eventually(t, 10*time.Second, "the limit is exceeded again", func() bool { return active() == "1" })
	fill(0)
	eventually(t, 10*time.Second, "the limit is no longer exceeded", func() bool { return active() == "0" })
	if n := strings.Count(p.log(), "limit exceeded"); n != 2 {
		t.Errorf("logged %d times that a limit is exceeded, want twice:\n%s", n, p.log())
	}
}

func TestListen(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	e.publish(t, 0, 3)
	e.publishTo(t, e.topic, `{"poison":1,"poison":2}`)
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	p := startScout(t, "-c", e.config(t, server.Addr(), "1s"), "--listen", "0")
	ready := func() int { code, _ := p.get(t, "/readyz"); return code }
	eventually(t, 10*time.Second, "ready", func() bool { return ready() == 200 })
	eventually(t, 10*time.Second, "the deletes are counted", func() bool { return p.metric(t, `scout_messages_deleted_total{queue="app"}`) == "3" })
	for name, want := range map[string]string{
		`scout_messages_received_total{queue="app"}`:                     "4",
		`scout_messages_enqueued_total{queue="app"}`:                     "3",
		`scout_messages_duplicate_total{queue="app"}`:                    "0",
		`scout_messages_failed_total{queue="app",reason="unacceptable"}`: "1",
		`scout_messages_failed_total{queue="app",reason="redis"}`:        "0",
		`scout_message_latency_seconds_count{queue="app"}`:               "3",
		`scout_breaker_open{queue="app"}`:                                "0",
		`scout_backpressure_active{limit="latency",queue="app"}`:         "0",
		`scout_sqs_messages{queue="app",state="delayed"}`:                "0",
		`scout_config_last_reload_successful`:                            "1",
		`scout_receives_total{queue="app",result="error"}`:               "0",
		`scout_message_latency_seconds_bucket{queue="app",le="+Inf"}`:    "3",
		`promhttp_metric_handler_errors_total`:                           "",
	} {
		if got := p.metric(t, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if code, body := p.get(t, "/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if code, _ := p.get(t, "/"); code != 404 {
		t.Errorf("/: %d", code)
	}
	_, text := p.get(t, "/status")
	var status monitor.Status
	if err := json.Unmarshal([]byte(text), &status); err != nil || len(status.Queues) != 1 || status.Queues[0].Name != "app" || status.Queues[0].Deleted != 3 || status.Config.Loaded.IsZero() {
		t.Errorf("/status: %v\n%s", err, text)
	}

	server.Close()
	e.publish(t, 3, 4)
	eventually(t, 10*time.Second, "not ready while Redis is down", func() bool { return ready() == 503 })
	eventually(t, 10*time.Second, "why", func() bool {
		_, body := p.get(t, "/readyz")
		return strings.Contains(body, "Redis does not accept jobs")
	})
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "ready again", func() bool { return ready() == 200 })
}

func TestListenAddress(t *testing.T) {
	for address, want := range map[string]string{"0": "127.0.0.1", ":0": "127.0.0.1", "localhost:0": "127.0.0.1", "0.0.0.0:0": "::"} {
		l, err := listen(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := l.Addr().(*net.TCPAddr).IP.String(); got != want && (want != "::" || got != "0.0.0.0") {
			t.Errorf("%s listens on %s, want %s", address, got, want)
		}
		l.Close()
	}
	for _, address := range []string{"localhost", "here:there:1"} {
		if _, err := listen(address); err == nil {
			t.Errorf("%s is accepted", address)
		}
	}
}

// listenAsSystemd listens on the socket on which processes notify systemd. The
// watchdog timeout is in microseconds.
func listenAsSystemd(t *testing.T, watchdog string) *net.UnixConn {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", watchdog)
	return conn
}

// Scout tells systemd that it is ready, alive, reloading and stopping.
func TestSystemd(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	conn := listenAsSystemd(t, "600000")
	next := func() string {
		t.Helper()
		b := make([]byte, 1000)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(b)
		if err != nil {
			t.Fatalf("no notification: %v", err)
		}
		return string(b[:n])
	}
	after := func(skip string) (state string) {
		t.Helper()
		for state = skip; state == skip; {
			state = next()
		}
		return state
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: notification %q, want %q", what, got, want)
		}
	}
	p := startScout(t, "-c", e.config(t, startTestRedis(t), "1s"))
	want("at the start", next(), "READY=1")
	for range 3 {
		want("while it works", next(), "WATCHDOG=1")
	}
	p.signal(t, syscall.SIGHUP)
	want("at a reload", after("WATCHDOG=1"), "RELOADING=1")
	want("after a reload", after("WATCHDOG=1"), "READY=1")
	p.signal(t, syscall.SIGTERM)
	want("at the end", after("WATCHDOG=1"), "STOPPING=1")
	if err := p.end(t, 6*time.Second); err != nil {
		t.Error(err)
	}
}

// A changed section aws replaces the consumers of the same queues.
func TestReloadOfAWS(t *testing.T) {
	first, second := newEndpoint(t, 30, 5), newEndpoint(t, 30, 5)
	addr := startTestRedis(t)
	file := first.config(t, addr, "1s")
	p := startScout(t, "-c", file, "--listen", "0")
	first.publish(t, 0, 1)
	eventually(t, 10*time.Second, "a job of the first endpoint", func() bool { return len(jobs(t, addr)) == 1 })
	if err := os.WriteFile(file, []byte(strings.Replace(readFile(t, file), first.addr, second.addr, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(t, syscall.SIGHUP)
	p.eventuallyLogs(t, "configuration reloaded")
	second.publish(t, 1, 2)
	eventually(t, 10*time.Second, "a job of the second endpoint", func() bool { return len(jobs(t, addr)) == 2 })
	time.Sleep(1500 * time.Millisecond) // until the last poll of the first has ended
	before := first.receives.Load()
	time.Sleep(1500 * time.Millisecond)
	if n := first.receives.Load() - before; n > 0 {
		t.Errorf("%d receives from the former endpoint", n)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 6*time.Second); err != nil {
		t.Error(err)
	}
}
