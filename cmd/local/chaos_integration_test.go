//go:build integration

package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// However often the daemon is killed, each message becomes one job. make torture does
// so for longer.
func TestKilled(t *testing.T) {
	t.Parallel()
	const kills, messages = 10, 1_000
	e := newEndpoint(t, 1, 1_000)
	server := env.Redis(t)
	config := e.config(t, server.Addr, "1s")
	for i := range kills {
		e.publish(t, i*messages/kills, (i+1)*messages/kills)
		before := e.receives.Load()
		p := startScout(t, "-c", config, "-f", "1")
		if i%4 > 0 { // else while it starts
			eventually(t, 30*time.Second, "scout is polling", func() bool { return e.receives.Load() > before })
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		p.signal(t, syscall.SIGKILL)
		<-p.done
	}
	startScout(t, "-c", config)
	checkJobs(t, e, server.Addr, messages)
}

// Redis is silent for longer than the queue's visibility timeout. The message
// that is being handled stays invisible to other receivers, and its job is pushed
// once Redis responds again.
func TestHiddenWhileRedisIsSilent(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 6, 3) // extended after 3 s, so that a busy machine may be 3 s late
	server := env.Redis(t)
	p := startScout(t, "-c", e.config(t, server.Addr, "1s"), "--listen", "0")
	eventually(t, 10*time.Second, "scout is polling", func() bool { return e.receives.Load() > 0 })
	server.Pause()
	e.publish(t, 0, 1)
	eventually(t, 10*time.Second, "the message is in flight", func() bool { return e.attribute(t, "app", "ApproximateNumberOfMessages") == 0 })
	// Longer than the visibility timeout, but shorter than the 10 s for which a push is retried.
	for end := time.Now().Add(7 * time.Second); time.Now().Before(end); {
		if n := e.attribute(t, "app", "ApproximateNumberOfMessages"); n > 0 {
			t.Fatal("others can receive the message while it is being handled")
		}
		time.Sleep(100 * time.Millisecond)
	}
	server.Resume()
	checkJobs(t, e, server.Addr, 1)
	if got := p.metric(t, `scout_messages_received_total{queue="app"}`); got != "1" {
		t.Errorf("%s messages received, want the one", got)
	}
	if got := p.metric(t, `scout_messages_extended_total{queue="app"}`); got == "0" {
		t.Error("no visibility timeout was extended")
	}
}

// After an outage that is longer than the retries, messages that were in flight
// become jobs within half a minute, however long the visibility timeout is. During
// the outage they are received once, even if several Scouts poll the queue.
func TestGivenBackInOutage(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 600, 2)
	server := env.Redis(t)
	var all []*process
	for range 3 {
		p := startScout(t, "-c", e.config(t, server.Addr, "20s"), "--listen", "0")
		eventually(t, 10*time.Second, "scout is polling", func() bool { return p.metric(t, `scout_receives_in_flight{queue="app"}`) == "1" })
		all = append(all, p)
	}
	sum := func(metric string) (n int) {
		for _, p := range all {
			i, _ := strconv.Atoi(p.metric(t, metric+`{queue="app"}`))
			n += i
		}
		return n
	}
	server.Kill()
	e.publish(t, 0, 3)
	eventually(t, 30*time.Second, "the messages are returned to the queue", func() bool {
		return sum("scout_messages_in_flight") == 0 && sum("scout_messages_returned_total") == 3
	})
	time.Sleep(35 * time.Second)
	if n := sum("scout_messages_received_total"); n != 3 {
		t.Errorf("3 messages were received %d times during an outage", n)
	}
	server.Start()
	begin := time.Now()
	checkJobs(t, e, server.Addr, 3)
	if late := time.Since(begin); late > 30*time.Second {
		t.Errorf("the jobs were pushed %v after the outage", late)
	}
	for _, p := range all {
		p.signal(t, syscall.SIGTERM)
	}
}

// Although Redis is silent, Scout exits in time after SIGTERM, and returns the
// messages in flight to the queue.
func TestTerminatedWhileRedisIsSilent(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 600, 2)
	server := env.Redis(t)
	p := startScout(t, "-c", e.config(t, server.Addr, "1s"))
	eventually(t, 10*time.Second, "scout is polling", func() bool { return e.receives.Load() > 0 })
	server.Pause()
	e.publish(t, 0, 5)
	eventually(t, 10*time.Second, "messages are in flight", func() bool { return e.attribute(t, "app", "ApproximateNumberOfMessages") == 0 })
	time.Sleep(2 * time.Second)
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 6*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
	if n := e.attribute(t, "app", "ApproximateNumberOfMessagesNotVisible"); n > 0 {
		t.Errorf("%d messages are left in flight; scout's log:\n%s", n, p.log())
	}
}

// Before Redis is full, Scout leaves messages in SQS until there is room again.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 30, 2)
	server := env.Redis(t, "--maxmemory", "60mb", "--maxmemory-policy", "noeviction")
	conn, err := redis.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for i := range 41 { // a string of 1 MB takes 1.25
		if _, err := conn.Do("SET", fmt.Sprint("filler", i), strings.Repeat("x", 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "scout.yml")
	e.write(t, file, fmt.Sprintf("redis: {url: %q}\nqueue: {name: app, wait_time: 1s, topics: {orders: OrderWorker}}\nlimits: {redis_memory: 80%%}", server.URL()))
	e.publish(t, 0, 100)
	p := startScout(t, "-c", file)
	p.eventuallyLogs(t, "limit exceeded")
	time.Sleep(2 * time.Second)
	if n := e.receives.Load(); n > 0 {
		t.Errorf("%d receives while Redis is nearly full", n)
	}
	if _, err := conn.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	checkJobs(t, e, server.Addr, 100)
	p.eventuallyLogs(t, "limit no longer exceeded")
}

// A Sidekiq queue that Redis denies ends Scout at the start, before it receives anything.
func TestForbiddenQueue(t *testing.T) {
	e := newEndpoint(t, 1, 5)
	server := env.Redis(t)
	conn, err := redis.Dial("tcp", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Do("ACL", "SETUSER", "default", "resetkeys", "~queues", "~scout:*", "~queue:other"); err != nil {
		t.Fatal(err)
	}
	e.publish(t, 0, 5)
	p := startScout(t, "-c", e.config(t, server.Addr, "1s"))
	if err := p.end(t, 10*time.Second); err == nil || !strings.Contains(p.log(), "NOPERM") {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
	if n := e.receives.Load(); n > 0 {
		t.Errorf("%d receives", n)
	}
}

// checkJobs waits until all messages are jobs. It checks that each is one job and
// that none is in the dead-letter queue.
func checkJobs(t *testing.T, e *endpoint, addr string, messages int) {
	t.Helper()
	var got []string
	eventually(t, 60*time.Second, "all messages are jobs", func() bool {
		got = jobs(t, addr)
		return len(got) >= messages
	})
	eventually(t, 30*time.Second, "the queue is empty", func() bool { return e.depth(t, "app") == 0 })
	got = jobs(t, addr)
	seen := map[string]int{}
	for _, arg := range got {
		seen[arg]++
	}
	if len(got) != messages || len(seen) != messages {
		t.Errorf("%d jobs for %d of %d messages, want each once", len(got), len(seen), messages)
	}
	if n := e.depth(t, "dead"); n > 0 {
		t.Errorf("%d messages in the dead-letter queue", n)
	}
}
