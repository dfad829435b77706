//go:build torture

package torture

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"scout/internal/test/env"
)

// counts has the number of faults by kind. It is safe for concurrent use.
type counts struct {
	mu sync.Mutex
	n  map[string]int
}

func newCounts() *counts { return &counts{n: map[string]int{}} }

func (c *counts) add(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[kind]++
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var lines []string
	for _, kind := range slices.Sorted(maps.Keys(c.n)) {
		lines = append(lines, fmt.Sprintf("  %7d  %s", c.n[kind], kind))
	}
	return strings.Join(lines, "\n")
}

// plan returns the faults of Redis, in an order that depends on the seed.
func (r *run) plan() (plan []redisFault) {
	for i := range r.failovers {
		plan = append(plan, failovers[(i+3)%len(failovers)]) // the worst one first
	}
	for range max(1, r.minRedisKills/40) {
		plan = append(plan, outageFault)
	}
	for i := range max(len(otherFaults), r.minRedisKills/2) {
		plan = append(plan, otherFaults[i%len(otherFaults)])
	}
	for range r.minRedisKills {
		plan = append(plan, killFault)
	}
	only := regexp.MustCompile(*flagFaults)
	plan = slices.DeleteFunc(plan, func(f redisFault) bool { return !only.MatchString(f.name) })
	r.rng.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	return plan
}

// injectRedisFaults injects the planned faults. After each, Scout must work again.
func (r *run) injectRedisFaults() {
	defer r.progress.Store(1000)
	plan := r.plan()
	for i, f := range plan {
		r.progress.Store(int64(1000 * i / len(plan)))
		if i%20 == 0 {
			r.logf("%d of %d faults of Redis, %d kills of Scout, %d messages", i, len(plan), r.kills.Load(), r.history.published())
		}
		r.pause(0, 500*time.Millisecond)
		r.redisFaults.Lock()
		undo := f.play(r)
		r.faults.add(f.name)
		if strings.HasPrefix(f.name, "failover") {
			r.failedOver++
		}
		r.follow(r.redis.Master())
		if undo != nil {
			undo()
		}
		r.redis.WaitUntilWhole()
		r.follow(r.master())
		recovery, works := r.waitForWork(f.name)
		r.redisFaults.Unlock()
		if recovery > r.longest {
			r.longest, r.longestAfter = recovery, f.name
		}
		if !works {
			return
		}
		r.drain("")
	}
}

// follow makes the proxy forward to the master, unless master is nil.
func (r *run) follow(master *env.RedisServer) {
	if master != nil && (master.Addr != r.proxied || r.proxyAway) {
		r.proxied, r.proxyAway = master.Addr, false
		r.proxy.Retarget(master.Addr)
	}
}

// waitForWork returns the time until every daemon has handled messages again, unless it
// is stopped. It returns false if one does not.
func (r *run) waitForWork(after string) (time.Duration, bool) {
	start, before := time.Now(), map[*daemon]int64{}
	for _, d := range r.daemons {
		before[d] = d.endpoint.handled.Load()
	}
	r.publish(20)
	for _, d := range r.daemons {
		for d.endpoint.handled.Load() == before[d] && !d.stopped.Load() {
			if time.Since(start) > 5*time.Minute {
				r.history.violate(ruleRecovery, -1, "%s has handled no message for 5 minutes after: %s", d.name, after)
				return 0, false
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	return time.Since(start), true
}

// injectSQSFaults makes 2 % of the calls to SQS fail, and 10 to 50 % of them in short
// bursts.
func (r *run) injectSQSFaults(rng *rand.Rand) {
	for !r.isOver() {
		r.sqs.permille.Store(20)
		time.Sleep(time.Duration(rng.Int64N(int64(8 * time.Second))))
		r.sqs.permille.Store(100 + rng.Int64N(400))
		r.faults.add("SQS storms")
		time.Sleep(time.Duration(rng.Int64N(int64(3 * time.Second))))
	}
	r.sqs.permille.Store(0)
}

// injectDaemonFaults injects faults into a daemon until the run is over.
func (r *run) injectDaemonFaults(d *daemon, rng *rand.Rand) {
	for !r.isOver() {
		time.Sleep(time.Duration(rng.Int64N(int64(r.interval))))
		kind, calm := rng.IntN(100), rng.IntN(2) == 0
		if calm && kind >= 65 && kind < 85 {
			for !r.redisFaults.TryRLock() {
				if r.isOver() {
					return
				}
				d.ended() // while Redis fails, injectRedisFaults waits until each daemon works
				time.Sleep(20 * time.Millisecond)
			}
			r.scoutFaults.RLock()
			d.terminate(rng, true)
			r.faults.add("SIGTERM, and nothing else fails")
			d.start()
			r.scoutFaults.RUnlock()
			r.redisFaults.RUnlock()
			continue
		}
		r.scoutFaults.RLock()
		r.injectDaemonFault(d, rng, kind)
		r.scoutFaults.RUnlock()
	}
}

func (r *run) injectDaemonFault(d *daemon, rng *rand.Rand, kind int) {
	if d.ended() {
		return
	}
	switch {
	case kind < 65:
		d.kill()
		r.kills.Add(1)
		r.faults.add("kill -9 of a daemon")
		d.start()
	case kind < 85:
		d.terminate(rng, false)
		r.faults.add("SIGTERM")
		d.start()
	case kind < 93:
		d.stopped.Store(true)
		d.signal(syscall.SIGSTOP)
		r.faults.add("SIGSTOP, then SIGCONT")
		time.Sleep(time.Duration(rng.Int64N(int64(13 * time.Second))))
		d.signal(syscall.SIGCONT)
		d.stopped.Store(false)
	case d.polls(): // before, SIGHUP kills
		d.signal(syscall.SIGHUP)
		r.faults.add("SIGHUP")
	}
}

// injectFunctionFaults injects faults into the functions of a mapping until the run is
// over.
func (r *run) injectFunctionFaults(m *mapping, rng *rand.Rand) {
	for !r.isOver() {
		time.Sleep(time.Duration(rng.Int64N(int64(r.interval))))
		r.scoutFaults.RLock()
		if rng.IntN(6) == 0 {
			if m.signal(syscall.SIGSTOP) { // until it times out
				r.faults.add("SIGSTOP of a function")
			}
		} else if m.signal(syscall.SIGKILL) {
			r.kills.Add(1)
			r.faults.add("kill -9 of a function")
		}
		r.scoutFaults.RUnlock()
	}
}

func (r *run) resetGaveUp() {
	for _, d := range r.daemons {
		scout := d.endpoint.scout.Load()
		scout.mu.Lock()
		scout.gaveUp = false
		scout.mu.Unlock()
	}
}

func (r *run) anyGaveUp() bool {
	for _, d := range r.daemons {
		scout := d.endpoint.scout.Load()
		scout.mu.Lock()
		gaveUp := scout.gaveUp
		scout.mu.Unlock()
		if gaveUp {
			return true
		}
	}
	return false
}
