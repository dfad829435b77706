package poller

import (
	"cmp"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A loop is the state of one call of Run. Only its run method uses the breaker and the demand.
type loop struct {
	*Poller
	breaker breaker
	demand  demand
	budget  Budget
	deleter deleter

	work     chan int64   // to a worker: a poll to make, with the bytes reserved for it
	received chan int     // from each poll: how many messages it received
	finished chan outcome // from each poll: how it ended
	probed   chan error   // from each probe: the answer of Ready

	// workers is the number of goroutines that make polls. It is never below the polls in flight,
	// and a poll is in flight until the loop has received its outcome. So sending work never
	// blocks. Workers are reused, because a new goroutine would have to grow its stack for each
	// poll, which costs a busy poller a tenth of its time.
	workers int
	worker  func()
	running sync.WaitGroup

	// handleBroken is whether the breaker expects Handle to fail. Written by publish, read by polls.
	handleBroken atomic.Bool
}

// An outcome is how a poll ended.
type outcome struct {
	messages int
	err      error // of the receive if there are no messages, else of Handle
}

// run returns when ctx has ended and nothing is in flight any more.
func (l *loop) run(ctx context.Context) {
	ticks := time.Tick(cmp.Or(l.Interval, 100*time.Millisecond))
	clock := time.Tick(time.Second)
	l.probe(ctx, 0)
	l.publish()
	for stop := ctx.Done(); stop != nil || l.demand.inFlight > 0 || l.breaker.probing; {
		select {
		case <-stop:
			stop = nil
			l.log().Info("stopping", "polls_in_flight", l.demand.inFlight)
		case <-clock: // publish each second, even if ticks are rarer
		case <-ticks:
			l.onTick(ctx)
		case <-l.budget.Room():
			l.startPolls(ctx)
		case n := <-l.received:
			l.demand.received(n, l.tuning().maxMessages())
			if n > 0 {
				l.startPolls(ctx)
			}
		case o := <-l.finished:
			l.onFinished(ctx, o)
		case err := <-l.probed:
			l.onProbed(ctx, err)
		}
		l.publish()
		if level, message, attrs := l.breaker.report(time.Now()); message != "" {
			l.log().Log(ctx, level, message, attrs...)
		}
	}
}

// onTick asks Ready if Handle is broken and no batch in flight can show that it works again.
// Otherwise it starts a poll if none is receiving.
func (l *loop) onTick(ctx context.Context) {
	handling := l.demand.handling() > 0
	switch {
	case l.breaker.probing || ctx.Err() != nil:
	case l.failing(ctx) || l.breaker.handleErr != nil:
		if !handling && !l.breaker.probing {
			l.breaker.handleErr = cmp.Or(l.breaker.handleErr, errFailing)
			l.probeLater(ctx)
		}
	case l.demand.receiving > 0 || handling && l.breaker.failures > 0:
	case !handling && time.Since(l.breaker.succeededAt) > proofLifetime:
		l.probe(ctx, 0)
	default:
		l.startPoll(ctx)
	}
}

// startPolls starts as many polls as there is demand for. After a failure it starts none, so onTick
// starts one at a time until a batch has been handled.
func (l *loop) startPolls(ctx context.Context) {
	if l.breaker.failures > 0 {
		return
	}
	polls := l.demand.take(l.tuning().concurrency())
	for i := range polls {
		if !l.startPoll(ctx) {
			l.demand.credit += float64(polls - i) // for when there is room
			return
		}
	}
}

// startPoll starts a poll unless something forbids it. It returns false if there is no room in the
// budget.
func (l *loop) startPoll(ctx context.Context) bool {
	if l.breaker.probing || l.breaker.handleErr != nil || l.demand.inFlight >= l.tuning().concurrency() {
		return true
	}
	if l.failing(ctx) || l.OverLimit != nil && l.OverLimit() {
		return true
	}
	reserved, ok := l.budget.Reserve(l.tuning().maxMessages())
	if !ok {
		return false
	}
	if ctx.Err() != nil { // last, because it may end at any moment
		l.budget.Received(reserved, 0, 0)
		return true
	}
	l.demand.inFlight++
	l.demand.receiving++
	if l.workers < l.demand.inFlight {
		l.workers++
		l.running.Go(l.worker)
	}
	l.work <- reserved
	return true
}

// failing returns what Failing returns. When that becomes true, it also asks Ready, to learn the reason.
func (l *loop) failing(ctx context.Context) bool {
	before := l.breaker.failing
	l.breaker.failing = nil
	if l.Failing != nil && l.Failing() {
		l.breaker.failing = errFailing
	}
	if l.breaker.failing != nil && before == nil && !l.breaker.probing {
		l.probe(ctx, 0)
	}
	return l.breaker.failing != nil
}

func (l *loop) onFinished(ctx context.Context, o outcome) {
	l.demand.inFlight--
	l.breaker.pollFinished(o, time.Now())
	switch {
	case l.breaker.probing:
	case o.err != nil:
		l.demand.credit = 0
		l.probeLater(ctx)
	case o.messages > 0:
		l.startPolls(ctx)
	}
}

func (l *loop) onProbed(ctx context.Context, err error) {
	if ctx.Err() != nil { // err may be a consequence of that
		l.breaker.probing = false
		return
	}
	l.breaker.probeFinished(err, time.Now())
	if err == nil {
		l.startPoll(ctx)
	} else if l.demand.handling() == 0 {
		l.probeLater(ctx)
	}
}

// probeLater asks Ready after a delay that grows with the failures in a row.
func (l *loop) probeLater(ctx context.Context) {
	delay := l.breaker.probeDelay(time.Now())
	l.probe(ctx, delay/2+rand.N(delay/2))
}

// probe asks Ready after a delay. No poll starts until Ready has answered.
func (l *loop) probe(ctx context.Context, delay time.Duration) {
	l.breaker.probing = true
	go func() {
		select {
		case <-ctx.Done():
			l.probed <- nil
		case <-time.After(delay):
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			l.probed <- bounded(l.Ready(ctx))
		}
	}()
}
