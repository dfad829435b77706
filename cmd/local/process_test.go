package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/internal/devstack"
	"scout/internal/sqsclient"
	"scout/internal/test/env"
)

// runScout is the environment variable that makes the test binary the scout command.
const runScout = "SCOUT_TEST_RUN"

// An endpoint is SNS and SQS with a topic, a queue subscribed to it, and a
// dead-letter queue.
type endpoint struct {
	*devstack.Server
	addr     string
	topic    string
	receives atomic.Int64 // calls of ReceiveMessage
}

func newEndpoint(t *testing.T, visibility, maxReceives int) *endpoint {
	t.Helper()
	e := &endpoint{Server: devstack.NewServer()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") == "AmazonSQS.ReceiveMessage" {
			e.receives.Add(1)
		}
		e.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { e.Close(); server.CloseClientConnections(); server.Close() })
	e.addr = server.Listener.Addr().String()
	check := func(s string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	dead := check(e.CreateQueue("dead", nil))
	queue := check(e.CreateQueue("app", map[string]string{
		"VisibilityTimeout": fmt.Sprint(visibility),
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, dead, maxReceives),
	}))
	e.topic = check(e.CreateTopic("orders", nil))
	check(e.Subscribe(e.topic, queue, nil))
	return e
}

// publish publishes the numbers from first to end-1.
func (e *endpoint) publish(t *testing.T, first, end int) {
	t.Helper()
	for i := first; i < end; i++ {
		if _, err := e.Publish(e.topic, devstack.Notification{Message: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// config writes a configuration for the endpoint and a Redis, and returns its path.
func (e *endpoint) config(t *testing.T, redisAddr, waitTime string) (file string) {
	t.Helper()
	text := fmt.Sprintf(`
redis: {url: "redis://%s"}
aws: {region: us-east-1, access_key: x, secret_key: x, endpoint: "http://%s"}
queue: {name: app, wait_time: %s, topics: {orders: OrderWorker}}
`, redisAddr, e.addr, waitTime)
	file = filepath.Join(t.TempDir(), "scout.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A process is a running scout command.
type process struct {
	*exec.Cmd
	stderr syncBuffer
	done   chan error
}

func startScout(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], args...), done: make(chan error, 1)}
	p.Env = append(os.Environ(), runScout+"=1")
	p.Cmd.Stderr = &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// end waits until the process exits and returns its error: nil for exit code 0.
func (p *process) end(t *testing.T, within time.Duration) error {
	t.Helper()
	select {
	case err := <-p.done:
		return err
	case <-time.After(within):
		_ = p.Process.Kill()
		<-p.done
		t.Fatalf("scout did not end within %v; its log:\n%s", within, p.log())
		return nil
	}
}

// log returns what the process has logged so far.
func (p *process) log() string { return p.stderr.String() }

// A syncBuffer can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until a condition holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after %v still not: %s", within, what)
		}
	}
}

// jobs returns the arguments of the jobs in the queue default, in Sidekiq's order.
func jobs(t *testing.T, addr string) []string {
	t.Helper()
	return env.Arguments(env.Queued(t, addr, "queue:default"))
}

// depth returns the number of messages in a queue, visible or in flight.
func (e *endpoint) depth(t *testing.T, queue string) int {
	t.Helper()
	return e.attribute(t, queue, types.QueueAttributeNameApproximateNumberOfMessages) +
		e.attribute(t, queue, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
}

// attribute returns a numeric attribute of a queue.
func (e *endpoint) attribute(t *testing.T, queue string, name types.QueueAttributeName) int {
	t.Helper()
	client, err := sqsclient.New(t.Context(), config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: "http://" + e.addr}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := client.QueueAttributes(t.Context(), devstack.QueueURL(e.addr, queue), name)
	if err != nil {
		t.Fatal(err)
	}
	return numbers[name]
}

func startTestRedis(t *testing.T) string {
	t.Helper()
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Addr()
}

// SIGTERM during a long poll does not cut the poll off, and what it receives is handled.
func TestSIGTERM(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	redis := startTestRedis(t)
	p := startScout(t, "-c", e.config(t, redis, "20s"))
	eventually(t, 10*time.Second, "a long poll waits", func() bool { return e.receives.Load() == 1 })
	p.signal(t, syscall.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	e.publish(t, 0, 1)
	if err := p.end(t, 5*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
	if got := jobs(t, redis); len(got) != 1 {
		t.Errorf("jobs = %v, want the one published during the shutdown", got)
	}
	if n := e.receives.Load(); n != 1 {
		t.Errorf("%d receives, want none after the signal", n)
	}
}

func TestSecondSignal(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	p := startScout(t, "-c", e.config(t, startTestRedis(t), "20s"))
	eventually(t, 10*time.Second, "a long poll waits", func() bool { return e.receives.Load() == 1 })
	p.signal(t, syscall.SIGTERM)
	time.Sleep(200 * time.Millisecond)
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, time.Second); err == nil || !strings.Contains(err.Error(), "terminated") {
		t.Errorf("scout ended with %v, want the signal", err)
	}
}

// SIGTERM also stops a process that is still starting.
func TestSIGTERMDuringStart(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	e := &endpoint{addr: silent.Addr().String()}
	p := startScout(t, "-c", e.config(t, startTestRedis(t), "1s"))
	time.Sleep(300 * time.Millisecond)
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 5*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
}

// The password of Redis is rotated, in Redis and in the configuration, while scout runs.
func TestRotatedPassword(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 1, 100)
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	addr := server.Addr()
	server.RequireAuth("old")
	file := e.config(t, ":old@"+addr, "1s")
	p := startScout(t, "-c", file)
	e.publish(t, 0, 3)
	queued := func() int { list, _ := server.List("queue:default"); return len(list) }
	eventually(t, 10*time.Second, "the first jobs are there", func() bool { return queued() == 3 })

	server.Close() // cuts the connections that are authenticated
	server.RequireAuth("new")
	if err := os.WriteFile(file, []byte(strings.Replace(readFile(t, file), ":old@", ":new@", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	e.publish(t, 3, 6)
	// Messages that were in flight when Redis rejected the password may be
	// invisible for 30 s.
	eventually(t, time.Minute, "the other jobs are there", func() bool { return queued() == 6 })
	if !strings.Contains(p.log(), "Redis credentials reloaded") || strings.Contains(p.log(), ":new@") {
		t.Errorf("log:\n%s", p.log())
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// If Redis is down at the start, scout waits for it and receives nothing.
func TestStartsBeforeRedis(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	e.publish(t, 0, 3)
	server, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := server.Addr()
	server.Close()
	p := startScout(t, "-c", e.config(t, addr, "1s"))
	eventually(t, 10*time.Second, "scout is polling", func() bool { return strings.Contains(p.log(), "polling paused") })
	if n := e.receives.Load(); n > 0 {
		t.Errorf("%d receives while Redis is down", n)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	eventually(t, 10*time.Second, "the jobs are there", func() bool { return len(jobs(t, addr)) == 3 })
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 5*time.Second); err != nil {
		t.Error(err)
	}
}
