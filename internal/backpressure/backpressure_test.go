package backpressure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scout/sidekiq"
)

// load is a load of the queue default.
func load(length int, latency time.Duration, memory float64) sidekiq.Usage {
	return sidekiq.Usage{
		Queues:    map[string]sidekiq.QueueUsage{"default": {Length: length, Latency: latency}, "low": {}},
		MemoryMax: 100, MemoryUsed: int64(math.Round(100 * memory)),
	}
}

func newWatcher(limits Limits, measured *sidekiq.Usage, failure *error) (*Watcher, *strings.Builder) {
	log := &strings.Builder{}
	w := &Watcher{
		Measure: func(context.Context, []string) (sidekiq.Usage, error) { return *measured, *failure },
		Watched: true,
		Log:     slog.New(slog.NewTextHandler(log, nil)),
	}
	w.Set(limits, []string{"default", "low"})
	return w, log
}

func TestHysteresis(t *testing.T) {
	limits := Limits{QueueLength: 100, Latency: 5 * time.Minute, RedisMemory: 80}
	for name, c := range map[string]struct {
		limit string
		steps []sidekiq.Usage
		want  string // for each step, whether the limit is exceeded: x or -
	}{
		"length":  {QueueLength, []sidekiq.Usage{load(0, 0, 0), load(99, 0, 0), load(100, 0, 0), load(90, 0, 0), load(89, 0, 0), load(99, 0, 0), load(500, 0, 0)}, "--xx--x"},
		"latency": {Latency, []sidekiq.Usage{load(1, 299*time.Second, 0), load(1, 301*time.Second, 0), load(1, 271*time.Second, 0), load(1, 269*time.Second, 0)}, "-xx-"},
		"memory":  {RedisMemory, []sidekiq.Usage{load(1, 0, 0.79), load(1, 0, 0.8), load(1, 0, 0.73), load(1, 0, 0.71)}, "-xx-"},
	} {
		t.Run(name, func(t *testing.T) {
			var measured sidekiq.Usage
			var failure error
			w, log := newWatcher(limits, &measured, &failure)
			got := ""
			for _, measured = range c.steps {
				for range 3 { // repeating a measurement changes nothing
					w.Update(t.Context())
				}
				if slices.Equal(w.Exceeded([]string{"default"}), []string{c.limit}) {
					got += "x"
				} else if w.Exceeded([]string{"default"}) == nil {
					got += "-"
				}
			}
			if got != c.want {
				t.Errorf("exceeded: %s, want %s", got, c.want)
			}
			begins := strings.Count("-"+c.want, "-x")
			if n := strings.Count(log.String(), "limit exceeded"); n != begins {
				t.Errorf("logged %d times that it is exceeded, want %d:\n%s", n, begins, log)
			}
		})
	}
}

// A full Sidekiq queue affects only the SQS queues that push to it; full memory affects all.
func TestAffected(t *testing.T) {
	measured, failure := load(100, 0, 0), error(nil)
	w, _ := newWatcher(Limits{QueueLength: 100, RedisMemory: 50}, &measured, &failure)
	w.Update(t.Context())
	if got := w.Exceeded([]string{"low"}); got != nil {
		t.Errorf("low is affected by %v", got)
	}
	if got := w.Exceeded([]string{"low", "default"}); !slices.Equal(got, []string{QueueLength}) {
		t.Errorf("default is affected by %v", got)
	}
	measured = load(0, 0, 0.5)
	w.Update(t.Context())
	if got := w.Exceeded([]string{"low"}); !slices.Equal(got, []string{RedisMemory}) {
		t.Errorf("low is affected by %v", got)
	}
	w.Set(Limits{}, []string{"default"})
	w.Update(t.Context())
	if got := w.Exceeded([]string{"default", "low"}); got != nil {
		t.Errorf("without limits, %v is exceeded", got)
	}
}

// A measurement that fails changes nothing. If Redis does not permit it, no limit
// applies, and that is logged once.
func TestUnmeasurable(t *testing.T) {
	measured, failure := load(100, 0, 0), error(nil)
	w, log := newWatcher(Limits{QueueLength: 100}, &measured, &failure)
	if _, ok := w.Load(); ok {
		t.Error("there is a load before anything was measured")
	}
	w.Update(t.Context())
	failure = errors.New("connection refused")
	w.Update(t.Context())
	if got := w.Exceeded([]string{"default"}); !slices.Equal(got, []string{QueueLength}) {
		t.Errorf("exceeded is %v", got)
	}
	if _, ok := w.Load(); ok {
		t.Error("there is a load although the measurement failed")
	}
	failure = nil
	w.Update(t.Context())
	failure = fmt.Errorf("%w: NOPERM", sidekiq.ErrUnusable)
	w.Update(t.Context())
	w.Update(t.Context())
	if got := w.Exceeded([]string{"default"}); got != nil {
		t.Errorf("exceeded is %v, with no way to recover", got)
	}
	if n := strings.Count(log.String(), "cannot be measured"); n != 1 {
		t.Errorf("logged %d times that it cannot be measured", n)
	}
}

// A limit that was removed is not exceeded, even if nothing can be measured.
func TestSet(t *testing.T) {
	measured, failure := load(100, time.Hour, 0.9), error(nil)
	all := Limits{QueueLength: 1, Latency: 1, RedisMemory: 1}
	w, _ := newWatcher(all, &measured, &failure)
	w.Update(t.Context())
	failure = errors.New("connection refused")
	for _, c := range []struct {
		limits Limits
		queues []string
		want   []string
	}{
		{all, []string{"default", "low"}, []string{Latency, QueueLength, RedisMemory}},
		{Limits{Latency: 1, RedisMemory: 1}, []string{"default", "low"}, []string{Latency, RedisMemory}},
		{Limits{Latency: 1, RedisMemory: 1}, []string{"low"}, []string{RedisMemory}},
		{Limits{}, []string{"low"}, nil},
	} {
		w.Set(c.limits, c.queues)
		w.Update(t.Context())
		if got := w.Exceeded([]string{"default", "low"}); !slices.Equal(got, c.want) {
			t.Errorf("with %+v for %v, %v is exceeded, want %v", c.limits, c.queues, got, c.want)
		}
	}
}

// Without limits, and unless Watched is set, nothing is measured.
func TestNotWatched(t *testing.T) {
	w := &Watcher{Measure: func(context.Context, []string) (sidekiq.Usage, error) {
		t.Error("the load was measured")
		return sidekiq.Usage{}, nil
	}}
	w.Set(Limits{}, []string{"default"})
	w.Update(t.Context())
}

func TestNoMaxmemory(t *testing.T) {
	measured, failure := sidekiq.Usage{Queues: map[string]sidekiq.QueueUsage{}, MemoryUsed: 1e9}, error(nil)
	w, log := newWatcher(Limits{RedisMemory: 80}, &measured, &failure)
	w.Update(t.Context())
	w.Update(t.Context())
	if n := strings.Count(log.String(), "limit has no effect"); n != 1 || w.Exceeded(nil) != nil {
		t.Errorf("exceeded %v; log:\n%s", w.Exceeded(nil), log)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		measured, failure := load(1, 0, 0), error(nil)
		w, _ := newWatcher(Limits{}, &measured, &failure)
		var times atomic.Int64
		measure := w.Measure
		w.Measure = func(ctx context.Context, queues []string) (sidekiq.Usage, error) {
			times.Add(1)
			return measure(ctx, queues)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		time.Sleep(61 * time.Second)
		if n := times.Load(); n != 4 {
			t.Errorf("measured %d times in a minute without limits, want 4", n)
		}
		w.Set(Limits{QueueLength: 1}, []string{"default"})
		time.Sleep(500 * time.Millisecond)
		times.Store(0)
		time.Sleep(10 * time.Second)
		if n := times.Load(); n != 10 || w.Exceeded([]string{"default"}) == nil {
			t.Errorf("measured %d times in 10 s with a limit, exceeded %v", n, w.Exceeded([]string{"default"}))
		}
		cancel()
		<-done
	})
}
