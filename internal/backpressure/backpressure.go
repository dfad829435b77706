// Package backpressure decides when messages should stay in SQS, where they cost next to nothing,
// instead of becoming jobs in a full Redis. Start at [Watcher].
package backpressure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"scout/sidekiq"
)

// Limits are how full Redis and the Sidekiq queues may become. 0 means no limit.
type Limits struct {
	QueueLength int           // jobs in a queue
	Latency     time.Duration // of a queue, see sidekiq.QueueUsage
	RedisMemory int           // percent of Redis's maxmemory
}

// The names of the limits, as in the configuration.
const (
	QueueLength = "queue_length"
	Latency     = "latency"
	RedisMemory = "redis_memory"
)

// Names are the names of all limits.
var Names = []string{QueueLength, Latency, RedisMemory}

// recoveryShare is the share of a limit below which a value must fall before the limit is no longer
// exceeded. Without it, polling would start and stop all the time at the limit.
const recoveryShare = 0.9

// A Watcher measures the load and compares it with the limits. At first it has no limits. It is safe
// for concurrent use.
type Watcher struct {
	// Measure returns the load of Redis and of the queues.
	Measure func(ctx context.Context, queues []string) (sidekiq.Usage, error)

	// Watched makes the Watcher measure even without limits, because somebody calls Load.
	Watched bool

	Log *slog.Logger // nil: slog.Default()

	mu              sync.Mutex
	limits          Limits
	queues          []string
	load            sidekiq.Usage // as last measured
	err             error         // why the last measurement failed
	warnedNoMaximum bool          // that RedisMemory has no effect
	exceeded        map[excess]bool
}

// An excess is a limit that is exceeded and the Sidekiq queue that exceeds it, "" for RedisMemory.
type excess struct{ limit, queue string }

// Set sets the limits and the queues that they apply to. Limits that no longer apply are no longer
// exceeded.
func (w *Watcher) Set(limits Limits, queues []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	maps.DeleteFunc(w.exceeded, func(e excess, _ bool) bool {
		return limits.value(e.limit) == 0 || e.queue != "" && !slices.Contains(queues, e.queue)
	})
	w.limits, w.queues, w.warnedNoMaximum = limits, queues, false
}

// value returns a limit by its name.
func (l Limits) value(name string) float64 {
	switch name {
	case QueueLength:
		return float64(l.QueueLength)
	case Latency:
		return float64(l.Latency)
	default:
		return float64(l.RedisMemory)
	}
}

// idleInterval is the number of seconds between measurements without limits.
const idleInterval = 15

// Run measures regularly until ctx ends: each second if there are limits, because a queue can grow
// far beyond them in that time, else every 15 s.
func (w *Watcher) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			w.mu.Lock()
			due := w.limits != (Limits{}) || n%idleInterval == 0
			w.mu.Unlock()
			if due {
				w.Update(ctx)
			}
		}
	}
}

// Update measures once, if there are limits or if the Watcher is Watched. If Redis fails, exceeded
// limits stay exceeded. If Redis does not permit the measurement, no limit is exceeded.
func (w *Watcher) Update(ctx context.Context) {
	w.mu.Lock()
	limits, queues := w.limits, w.queues
	w.mu.Unlock()
	if limits == (Limits{}) && !w.Watched {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	load, err := w.Measure(ctx, queues)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.load, w.err = load, nil
		w.compare()
		return
	}
	forbidden := errors.Is(err, sidekiq.ErrUnusable)
	if forbidden {
		w.exceeded = nil
	}
	if forbidden && w.err == nil && limits != (Limits{}) {
		w.log().Warn("limits have no effect: the load cannot be measured", "error", err,
			"advice", "permit the Redis user +llen +lindex +info")
	}
	w.err = err
}

// compare updates the exceeded limits. The caller holds w.mu.
func (w *Watcher) compare() {
	before := w.exceeded
	w.exceeded = map[excess]bool{}
	check := func(e excess, value float64, text any) {
		limit := w.limits.value(e.limit)
		if limit == 0 {
			return
		}
		now := value >= limit || before[e] && value >= limit*recoveryShare
		switch {
		case now && !before[e]:
			w.log().Warn("limit exceeded", "limit", e.limit, "sidekiq_queue", e.queue, "value", text)
		case !now && before[e]:
			w.log().Info("limit no longer exceeded", "limit", e.limit, "sidekiq_queue", e.queue, "value", text)
		}
		if now {
			w.exceeded[e] = true
		}
	}
	for _, queue := range w.queues {
		if q, measured := w.load.Queues[queue]; measured { // else Set has just added it
			check(excess{QueueLength, queue}, float64(q.Length), q.Length)
			check(excess{Latency, queue}, float64(q.Latency), q.Latency.Round(time.Second).String())
		}
	}
	share := 100 * w.load.MemoryShare()
	check(excess{RedisMemory, ""}, share, fmt.Sprintf("%.0f%%", share))
	if w.limits.RedisMemory > 0 && w.load.MemoryMax == 0 && !w.warnedNoMaximum {
		w.warnedNoMaximum = true
		w.log().Warn("limit has no effect: Redis has no maxmemory", "limit", RedisMemory)
	}
}

// Exceeded returns the names of the limits that are exceeded for any of the Sidekiq queues.
func (w *Watcher) Exceeded(queues []string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for e := range w.exceeded {
		if e.queue == "" || slices.Contains(queues, e.queue) {
			names = append(names, e.limit)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Load returns the last measurement. It reports false if that failed or there was none.
func (w *Watcher) Load() (load sidekiq.Usage, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.load, w.err == nil && w.load.Queues != nil
}

func (w *Watcher) log() *slog.Logger { return cmp.Or(w.Log, slog.Default()) }
