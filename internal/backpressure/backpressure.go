// Package pressure tells when messages are better left in SQS, where they cost
// next to nothing, than made into jobs. Start at Gauge.
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

// Limits are up to where Redis and the queues of Sidekiq may be filled. 0 is no limit.
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

// easedAt is the part of a limit that its measure has to fall below before the
// limit counts as kept again: without it, polling would start and stop all the
// time while a queue is as full as it may be.
const easedAt = 0.9

// A Watcher measures the load and compares it with the limits. At first it has
// none. It is safe for concurrent use.
type Watcher struct {
	// Measure returns the load of the queues.
	Measure func(ctx context.Context, queues []string) (sidekiq.Usage, error)

	// Watched has the load measured for Load, too, and not for limits alone.
	Watched bool

	Log *slog.Logger // nil: slog.Default()

	mu       sync.Mutex
	limits   Limits
	queues   []string
	load     sidekiq.Usage // the last measured
	err      error         // why the last measurement failed
	noMax    bool          // it was said that RedisMemory has no effect
	exceeded map[mark]bool
}

// A mark is a limit, and the queue that it is exceeded in; "" for RedisMemory.
type mark struct{ limit, queue string }

// Set sets the limits, and the queues that they hold for. Another limit that was
// exceeded no longer counts.
func (g *Watcher) Set(limits Limits, queues []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	maps.DeleteFunc(g.exceeded, func(m mark, _ bool) bool {
		return limits.of(m.limit) == 0 || m.queue != "" && !slices.Contains(queues, m.queue)
	})
	g.limits, g.queues, g.noMax = limits, queues, false
}

// of returns a limit by its name.
func (l Limits) of(name string) float64 {
	switch name {
	case QueueLength:
		return float64(l.QueueLength)
	case Latency:
		return float64(l.Latency)
	default:
		return float64(l.RedisMemory)
	}
}

// watchEvery is how often, in seconds, the load is measured if there are no limits.
const watchEvery = 15

// Run measures every now and then until ctx ends: each second if there are
// limits, so that a queue is not far above them before that is noticed.
func (g *Watcher) Run(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			g.mu.Lock()
			due := g.limits != (Limits{}) || n%watchEvery == 0
			g.mu.Unlock()
			if due {
				g.Update(ctx)
			}
		}
	}
}

// Update measures once, if there is a reason to. If that fails because Redis is
// in trouble, what was exceeded stays so; if it is forbidden, nothing is.
func (g *Watcher) Update(ctx context.Context) {
	g.mu.Lock()
	limits, queues := g.limits, g.queues
	g.mu.Unlock()
	if limits == (Limits{}) && !g.Watched {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	load, err := g.Measure(ctx, queues)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err == nil {
		g.load, g.err = load, nil
		g.compare()
		return
	}
	forbidden := errors.Is(err, sidekiq.ErrUnusable)
	if forbidden {
		g.exceeded = nil
	}
	if forbidden && g.err == nil && limits != (Limits{}) {
		g.log().Warn("the load of Sidekiq's queues cannot be measured, so the limits have no effect", "error", err,
			"advice", "a Redis user needs +llen +lindex +info besides what pushing takes")
	}
	g.err = err
}

// compare finds out which limits are exceeded. It needs the lock.
func (g *Watcher) compare() {
	before := g.exceeded
	g.exceeded = map[mark]bool{}
	judge := func(m mark, value float64, show any) {
		limit := g.limits.of(m.limit)
		if limit == 0 {
			return
		}
		now := value >= limit || before[m] && value >= limit*easedAt
		switch {
		case now && !before[m]:
			g.log().Warn("leaving messages in SQS: a limit is exceeded", "limit", m.limit, "sidekiq_queue", m.queue, "value", show)
		case !now && before[m]:
			g.log().Info("a limit is kept again", "limit", m.limit, "sidekiq_queue", m.queue, "value", show)
		}
		if now {
			g.exceeded[m] = true
		}
	}
	for _, queue := range g.queues {
		if q, measured := g.load.Queues[queue]; measured { // else it was added just now
			judge(mark{QueueLength, queue}, float64(q.Length), q.Length)
			judge(mark{Latency, queue}, float64(q.Latency), q.Latency.Round(time.Second).String())
		}
	}
	share := 100 * g.load.MemoryShare()
	judge(mark{RedisMemory, ""}, share, fmt.Sprintf("%.0f%%", share))
	if g.limits.RedisMemory > 0 && g.load.MemoryMax == 0 && !g.noMax {
		g.noMax = true
		g.log().Warn("the limit redis_memory has no effect: Redis has no maxmemory")
	}
}

// Exceeded returns the names of the limits that are exceeded for any of the
// queues of Sidekiq.
func (g *Watcher) Exceeded(queues []string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var names []string
	for m := range g.exceeded {
		if m.queue == "" || slices.Contains(queues, m.queue) {
			names = append(names, m.limit)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Load returns what was measured last. It reports false if nothing could be.
func (g *Watcher) Load() (load sidekiq.Usage, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.load, g.err == nil && g.load.Queues != nil
}

func (g *Watcher) log() *slog.Logger { return cmp.Or(g.Log, slog.Default()) }
