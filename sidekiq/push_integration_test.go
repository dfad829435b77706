//go:build integration

package sidekiq

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// BenchmarkPush pushes new jobs of 1 KB, in batches of several sizes, to a Redis
// that does not write to disk.
func BenchmarkPush(b *testing.B) {
	server := env.Redis(b, "--appendonly", "no")
	client, err := NewClient(Options{URL: server.URL(), DedupTTL: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	admin, err := redis.Dial("tcp", server.Addr)
	if err != nil {
		b.Fatal(err)
	}
	defer admin.Close()
	jobs := make([]Job, 10_000)
	for i := range jobs {
		jobs[i] = Job{JID: fmt.Sprintf("%024x", i), Queue: "default", Payload: bytes.Repeat([]byte("x"), 1024)}
	}
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			left := jobs[:0]
			for b.Loop() {
				if len(left) == 0 {
					b.StopTimer()
					if _, err := admin.Do("FLUSHDB"); err != nil {
						b.Fatal(err)
					}
					left = jobs
					b.StartTimer()
				}
				results, err := client.Push(b.Context(), left[:n])
				if err != nil || results[n-1].Outcome != Enqueued {
					b.Fatal(results[n-1], err)
				}
				left = left[n:]
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
		})
	}
}

// Payloads go from the caller's memory to the socket.
func TestPushCopiesNoPayloads(t *testing.T) {
	client := newTestClient(t, env.Redis(t).Addr, nil)
	mustPush(t, client, testJobs("first", 1))
	jobs := testJobs("q", 10)
	for i := range jobs {
		jobs[i].Payload = bytes.Repeat([]byte("x"), 1<<20)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mustPush(t, client, jobs)
	runtime.ReadMemStats(&after)
	if kb := (after.TotalAlloc - before.TotalAlloc) >> 10; kb > 512 {
		t.Errorf("%d KiB allocated to push 10 MiB, want at most 512", kb)
	}
}
