//go:build integration

package main

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/testparts"
)

// The daemon is killed at any moment, many times: nothing is lost, nothing doubled.
func TestKilled(t *testing.T) {
	const kills, messages = 60, 6_000
	e := newEndpoint(t, 1, 1_000)
	server := testparts.Redis(t)
	config := e.config(t, server.Addr, "1s")
	for i := range kills {
		e.publish(t, i*messages/kills, (i+1)*messages/kills)
		before := e.receives.Load()
		p := startScout(t, "-c", config, "-f", "1")
		if i%4 > 0 { // else while it starts
			eventually(t, 10*time.Second, "scout is polling", func() bool { return e.receives.Load() > before })
		}
		time.Sleep(rand.N(20 * time.Millisecond))
		p.signal(t, syscall.SIGKILL)
		<-p.done
	}
	inTime := len(jobs(t, server.Addr))
	if inTime == 0 || inTime == messages {
		t.Errorf("%d of %d jobs were pushed before the last kill: the kills did not hit the work", inTime, messages)
	}
	p := startScout(t, "-c", config)
	checkJobs(t, e, server.Addr, messages)
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 10*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
}

// Redis is killed and started again under load: the daemon stops receiving,
// recovers by itself, and no message ends in the dead-letter queue.
func TestRedisOutages(t *testing.T) {
	const messages = 6_000
	e := newEndpoint(t, 5, 3)
	server := testparts.Redis(t)
	p := startScout(t, "-c", e.config(t, server.Addr, "1s"))
	published := make(chan struct{})
	go func() {
		defer close(published)
		for i := range messages {
			e.publish(t, i, i+1)
			time.Sleep(time.Millisecond)
		}
	}()
	// Within what a push is tried again for, twice, and well beyond it.
	for _, outage := range []time.Duration{time.Second, time.Second, 12 * time.Second} {
		time.Sleep(500 * time.Millisecond)
		server.Kill()
		time.Sleep(500 * time.Millisecond) // what was in flight has come and failed, or is being tried again
		before := e.receives.Load()
		time.Sleep(outage)
		if n := e.receives.Load() - before; n > 2 {
			t.Errorf("%d receives during an outage", n)
		}
		server.Start()
	}
	<-published
	checkJobs(t, e, server.Addr, messages)
	if !strings.Contains(p.log(), "receiving again") {
		t.Errorf("the log does not tell of the recovery:\n%s", p.log())
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 10*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
}

// Every third answer of Redis is lost on the way, after Redis has done its work.
func TestAnswersLost(t *testing.T) {
	const messages = 2_000
	e := newEndpoint(t, 5, 5)
	server := testparts.Redis(t)
	proxy := testparts.NewProxy(t, server.Addr, func() bool { return rand.N(3) == 0 })
	p := startScout(t, "-c", e.config(t, proxy.Addr, "1s"))
	e.publish(t, 0, messages)
	checkJobs(t, e, server.Addr, messages)
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 20*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
}

// A Sidekiq queue that Redis forbids is found at the start, before any message is received.
func TestForbiddenQueue(t *testing.T) {
	e := newEndpoint(t, 1, 5)
	server := testparts.Redis(t)
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

// checkJobs waits until all messages became jobs and checks that each did once,
// and that none is in the dead-letter queue.
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
