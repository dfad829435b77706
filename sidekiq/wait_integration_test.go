//go:build integration

package sidekiq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// startReplicated starts a Redis with one replica, which has everything so far.
func startReplicated(t *testing.T) (master, replica *env.RedisServer) {
	t.Helper()
	master = env.Redis(t, "--repl-diskless-sync-delay", "0", "--repl-timeout", "600")
	replica = env.Redis(t, "--appendonly", "no") // else a child process writes when the test ends
	host, port, _ := strings.Cut(master.Addr, ":")
	replica.Must("REPLICAOF", host, port)
	for deadline := time.Now().Add(30 * time.Second); ; {
		master.Must("SET", "x", 1)
		if n := master.Must("WAIT", 1, 1000); n == int64(1) {
			return master, replica
		}
		if time.Now().After(deadline) {
			t.Fatal("the replica does not connect")
		}
	}
}

// waiting returns a client that waits for replicas.
func waiting(t *testing.T, server *env.RedisServer, replicas int, retryFor time.Duration) *Client {
	t.Helper()
	return newTestClient(t, server.Addr, func(o *Options) {
		o.Wait, o.RetryFor = Wait{Replicas: replicas, Timeout: 100 * time.Millisecond}, retryFor
	})
}

// Jobs count only when the replica has them. Those that it does not confirm are
// pushed again, and are in the queue once.
func TestWait(t *testing.T) {
	master, replica := startReplicated(t)
	patient := newTestClient(t, master.Addr, func(o *Options) { o.Wait, o.RetryFor = Wait{1, time.Minute}, time.Minute })
	if n := count(mustPush(t, patient, testJobs("first", 3_000)), Enqueued); n != 3_000 || patient.Unconfirmed() != 0 {
		t.Errorf("%d jobs enqueued, %d times unconfirmed", n, patient.Unconfirmed())
	}
	if err := patient.Ready(t.Context()); err != nil {
		t.Error(err)
	}

	replica.Pause()
	client := waiting(t, master, 1, time.Millisecond)
	results, err := client.Push(t.Context(), testJobs("second", 1_500))
	if !errors.Is(err, ErrUnconfirmed) || errors.Is(err, ErrUnusable) || count(results, NotPushed) != 1_500 || !errors.Is(results[0].Err, ErrUnconfirmed) {
		t.Errorf("error = %v, %d jobs not pushed; want all", err, count(results, NotPushed))
	}
	if !client.Failing() || client.Unconfirmed() == 0 {
		t.Errorf("failing = %t, %d times unconfirmed", client.Failing(), client.Unconfirmed())
	}
	if err := client.Ready(t.Context()); !errors.Is(err, ErrUnconfirmed) || !client.Failing() {
		t.Errorf("Ready = %v, failing = %t", err, client.Failing())
	}

	time.AfterFunc(500*time.Millisecond, replica.Resume)
	again := waiting(t, master, 1, time.Minute)
	third := testJobs("third", 1_500)
	results = mustPush(t, again, append(testJobs("second", 1_500), third...))
	// The second push ended after its first window.
	if count(results[:1_000], Duplicate) != 1_000 || count(results[1_000:], Enqueued) != 2_000 {
		t.Errorf("%d duplicates and %d enqueued, want 1,000 and 2,000", count(results, Duplicate), count(results, Enqueued))
	}
	for _, queue := range []string{"second", "third"} {
		for _, server := range []*env.RedisServer{master, replica} {
			if got := env.Queued(t, server.Addr, "queue:"+queue); !slices.Equal(got, payloads(third)) {
				t.Errorf("%d jobs in the queue %s of %s, want 1,500 in order", len(got), queue, server.Addr)
			}
		}
	}
	if err := patient.Ready(t.Context()); err != nil || again.Failing() {
		t.Errorf("Ready = %v, failing = %t with the replica back", err, again.Failing())
	}
}

// A push that finds only markers also waits for replicas, because they may not
// have the jobs.
func TestWaitForMarkers(t *testing.T) {
	master, replica := startReplicated(t)
	replica.Pause()
	mustPush(t, newTestClient(t, master.Addr, nil), testJobs("q", 2))
	client := waiting(t, master, 1, time.Millisecond)
	if _, err := client.Push(t.Context(), testJobs("q", 2)); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("error = %v, want ErrUnconfirmed", err)
	}
	replica.Resume()
	client = waiting(t, master, 1, time.Minute)
	if n := count(mustPush(t, client, testJobs("q", 2)), Duplicate); n != 2 {
		t.Errorf("%d duplicates, want 2", n)
	}
}

// So has a push of entries of the dead set.
func TestWaitForDeadEntries(t *testing.T) {
	master, replica := startReplicated(t)
	replica.Pause()
	letter := []Job{deadJob("a", "", 2)}
	client := waiting(t, master, 1, time.Millisecond)
	for range 2 { // the second time, Redis has the entries
		if results, err := client.Push(t.Context(), letter); !errors.Is(err, ErrUnconfirmed) || results[0].Outcome != NotPushed {
			t.Errorf("%+v, %v, want ErrUnconfirmed", results, err)
		}
	}
	other := []Job{deadJob("b", "", 1)}
	time.AfterFunc(500*time.Millisecond, replica.Resume)
	if results := mustPush(t, waiting(t, master, 1, time.Minute), append(letter, other...)); results[0].Outcome != Duplicate || results[1].Outcome != Dead {
		t.Errorf("with the replica back: %+v", results)
	}
	if n := do(t, replica.Addr, "ZCARD", "dead"); n != int64(3) {
		t.Errorf("the replica has %v entries, want 3", n)
	}
}

// Groups keep their order, and a failed job of one fails alone.
func TestWaitInOrder(t *testing.T) {
	master, replica := startReplicated(t)
	master.Must("SET", "queue:wrong", "x")
	jobs := append(testJobs("wrong", 1), testJobs("q", 250)...)
	for i := range jobs {
		jobs[i].Group = "g"
		if i > 100 {
			jobs[i].Group = "h"
		}
	}
	replica.Pause()
	time.AfterFunc(500*time.Millisecond, replica.Resume)
	results := mustPush(t, waiting(t, master, 1, time.Minute), jobs)
	if !errors.Is(results[0].Err, ErrQueue) || !errors.Is(results[1].Err, ErrHeldBack) || count(results, Enqueued) != 150 {
		t.Errorf("results = %v, %v, …, %d enqueued; want 150", results[0], results[1], count(results, Enqueued))
	}
	if got := env.Queued(t, replica.Addr, "queue:q"); !slices.Equal(got, payloads(jobs[101:])) {
		t.Errorf("the replica has %d jobs, want 150 in order", len(got))
	}
}

// The timeout of WAIT is never longer than the caller's deadline allows, and
// never 0.
func TestWaitEnds(t *testing.T) {
	master, _ := startReplicated(t)
	client := newTestClient(t, master.Addr, func(o *Options) { o.Wait = Wait{Replicas: 2, Timeout: time.Minute} })
	for _, left := range []time.Duration{500 * time.Millisecond, time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), left)
		defer cancel()
		begin := time.Now()
		results, err := client.Push(ctx, testJobs("q", 1))
		if elapsed := time.Since(begin); err == nil || results[0].Err == nil || elapsed > left+5*time.Second {
			t.Errorf("error = %v after %v, want one after %v", err, elapsed, left)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := client.Push(ctx, testJobs("q", 1)); !errors.Is(err, ErrUnconfirmed) {
		t.Errorf("error = %v, want ErrUnconfirmed before the deadline", err)
	}
}

// Without Wait, there is no WAIT, and no marker is renewed.
func TestNoWait(t *testing.T) {
	master, _ := startReplicated(t)
	client := newTestClient(t, master.Addr, nil)
	mustPush(t, client, testJobs("q", 100))
	before := [2]string{commandCalls(t, master, "set"), commandCalls(t, master, "wait")}
	mustPush(t, client, testJobs("q", 100))
	if after := [2]string{commandCalls(t, master, "set"), commandCalls(t, master, "wait")}; after != before {
		t.Errorf("%s calls of SET and WAIT, want %s as before", after, before)
	}
}

// commandCalls returns how often a command was called.
func commandCalls(t *testing.T, server *env.RedisServer, command string) string {
	t.Helper()
	stats, err := redis.String(server.Must("INFO", "commandstats"), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(stats, "cmdstat_"+command+":calls=")
	n, _, _ := strings.Cut(after, ",")
	return n
}

// If the permission for WAIT is missing, the error names it.
func TestWaitNeedsPermission(t *testing.T) {
	master, _ := startReplicated(t)
	master.Must("ACL", "SETUSER", "default", "-wait")
	client := waiting(t, master, 1, time.Millisecond)
	_, err := client.Push(t.Context(), testJobs("q", 1))
	if ready := client.Ready(t.Context()); !errors.Is(ready, ErrUnusable) || !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "wait") {
		t.Errorf("Push = %v, Ready = %v; want ErrUnusable with the command", err, ready)
	}
}

// With all replicas waited for, failovers under load neither lose a job that
// Push has confirmed nor double one.
func TestFailoversWithWait(t *testing.T) {
	r := env.NewReplication(t, 2, env.ReplicationOptions{})
	client := newTestClient(t, "", func(o *Options) {
		o.URL, o.Sentinels = "redis://"+env.MasterName, r.SentinelAddrs()
		o.Wait, o.RetryFor = Wait{Replicas: 2, Timeout: 500 * time.Millisecond}, 2*time.Minute
	})
	stop := make(chan struct{})
	var pushed [8]int
	var pushers sync.WaitGroup
	for i := range pushed {
		pushers.Go(func() {
			jobs := testJobs(fmt.Sprint(i), 200_000)
			for pushed[i] = 0; pushed[i] < len(jobs); pushed[i] += 10 {
				if _, err := client.Push(t.Context(), jobs[pushed[i]:pushed[i]+10]); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-stop:
					pushed[i] += 10
					return
				default:
				}
			}
		})
	}
	for range 2 {
		r.Failover()
		r.WaitUntilWhole()
		r.CrashMaster().Start()
		r.WaitUntilWhole()
	}
	close(stop)
	pushers.Wait()
	master := r.Master()
	for i, n := range pushed {
		got := env.Queued(t, master.Addr, fmt.Sprint("queue:", i))
		slices.Sort(got)
		if n == 0 || len(got) != n || len(slices.Compact(got)) != n {
			t.Errorf("pusher %d: %d jobs in the queue, %d different ones, want %d", i, len(got), len(slices.Compact(got)), n)
		}
	}
	t.Logf("%d jobs, %d times unconfirmed", pushed, client.Unconfirmed())
}
