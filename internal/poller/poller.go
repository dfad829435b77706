// Package poller feeds a handler from an SQS queue, as AWS's event source
// mapping feeds a Lambda function. Start at Poller.
package poller

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// maxPause is the longest pause after repeated failures.
const maxPause = 15 * time.Second

// proveEvery is after how long without a message Ready is asked before the next
// poll, if no other is in flight.
const proveEvery = 10 * time.Second

// pulseEvery is how often Run's loop shows that it turns.
const pulseEvery = time.Second

// forgetAfter is how long after a failure the next one counts as the first.
const forgetAfter = 5 * time.Minute

// A Poller receives messages, hands them to Handle, and deletes those that
// were handled.
//
// It keeps one long poll waiting while the queue is idle, and up to
// Concurrency polls in flight while they come back full. It receives nothing
// while Troubled or Full, nor after a failure until Ready returns nil. While the
// queue is idle, it asks Ready now and then, so that trouble is known before a
// message comes.
type Poller struct {
	SQS      SQS
	QueueURL string
	QueueARN string // ends with .fifo if the order of messages counts

	// Visibility is the queue's own visibility timeout; 0 means 30 s, as a
	// queue has it if nobody changed it.
	Visibility time.Duration

	// Handle has the contract of a Lambda function for SQS that reports batch
	// item failures. An error keeps the batch and pauses the Poller.
	Handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

	// Ready returns nil when Handle can be expected to work. It is asked
	// before the first poll, after each failure, and before a poll of a queue
	// that has been idle for some seconds.
	Ready func(context.Context) error

	// Failing, if not nil, reports that Handle is held up, so that more
	// messages would only wait. It is asked before each poll.
	Failing func() bool

	// OverLimit, if not nil, reports that the messages are better left in the queue
	// for now, although Handle would take them. It is asked before each poll.
	OverLimit func() bool

	Interval time.Duration // between polls of an idle queue; 0 means 100 ms
	Tuning                 // what Run begins with; see Tune

	Log *slog.Logger // nil: slog.Default()

	tuned    atomic.Pointer[Tuning] // by Tune, if ever
	counters counters
}

// Tuning is what can be changed while a Poller runs.
type Tuning struct {
	WaitTime          time.Duration // of a long poll, in whole seconds, at most 20 s
	VisibilityTimeout time.Duration // in whole seconds; 0 means the queue's own
	MaxMessages       int           // per receive; 0 means 10, the most that SQS gives
	Concurrency       int           // most polls in flight, from receive to delete; 0 means 64
	StopTimeout       time.Duration // how long Run may go on after its context; 0 means WaitTime and 5 s
}

// SQS is the part of *sqs.Client that a Poller uses.
type SQS interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// Tune changes the tuning, for the polls that start from now on.
func (p *Poller) Tune(t Tuning) { p.tuned.Store(&t) }

func (p *Poller) tuning() *Tuning { return cmp.Or(p.tuned.Load(), &p.Tuning) }

func (t *Tuning) maxMessages() int { return cmp.Or(t.MaxMessages, 10) }
func (t *Tuning) concurrency() int { return cmp.Or(t.Concurrency, 64) }

// Run polls until ctx ends. Then it starts no new poll, but lets those in
// flight end, long polls too: SQS may already have given out the messages of a
// poll that is cut off, and they would be stuck until their visibility timeout.
// Run returns when all that was received is handled and deleted, or given
// back, for which it has StopTimeout.
func (p *Poller) Run(ctx context.Context) {
	handling, finishing, cancel := p.grace(ctx)
	defer cancel()
	r := &run{
		Poller:   p,
		work:     make(chan struct{}),
		received: make(chan int),
		finished: make(chan outcome),
		probed:   make(chan error),
		hands:    hands{all: map[*hand]struct{}{}},
	}
	r.deleter = deleter{delete: func(messages []message) { p.deleteMessages(finishing, messages) }}
	r.hire = func() { r.workers.Go(func() { r.worker(ctx, handling, finishing) }) }
	beating := make(chan struct{})
	r.workers.Go(func() { r.heartbeat(finishing, beating) })
	r.loop(ctx)
	close(r.work)
	close(beating)
	r.workers.Wait()
	r.deleter.flush()
}

// grace returns the contexts of what goes on after ctx has ended: of receiving
// and handling, and of deleting and giving back what that leaves.
func (p *Poller) grace(ctx context.Context) (handling, finishing context.Context, cancel context.CancelFunc) {
	handling, cancelHandling := context.WithCancel(context.WithoutCancel(ctx))
	finishing, cancelFinishing := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		left := cmp.Or(p.tuning().StopTimeout, p.tuning().WaitTime+5*time.Second)
		time.AfterFunc(left-2*time.Second, cancelHandling)
		time.AfterFunc(left-200*time.Millisecond, cancelFinishing)
	})
	return handling, finishing, func() { stop(); cancelHandling(); cancelFinishing() }
}

// A run is the state of one call of Run. Only its loop touches what has no lock
// of its own.
type run struct {
	*Poller

	work     chan struct{} // to a worker: a poll to do
	received chan int      // from each poll: how many messages it got
	finished chan outcome  // from each poll at its end
	probed   chan error    // from a probe

	workers sync.WaitGroup
	hire    func() // starts a worker
	hands   hands
	deleter deleter

	broken atomic.Bool // whether Handle cannot be expected to work, for the workers to know

	hired    int       // workers
	inFlight int       // polls, from their start to their end
	waiting  int       // those of them that are still receiving
	credit   float64   // how many polls to start, besides one that always waits
	paused   bool      // no new polls until a probe succeeds
	open     bool      // the breaker: Handle or Ready has failed, and Ready has not succeeded since
	deaf     bool      // the last receive failed
	troubled bool      // what Troubled said last
	proven   time.Time // when Handle or Ready last succeeded
	failures int       // of polls and probes since a batch was handled
	failed   time.Time // when the last of them was
}

// An outcome is what became of a poll.
type outcome struct {
	messages int
	err      error // why none of them was handled, or why there are none
}

// loop decides what is polled when. It returns when ctx has ended and nothing
// is in flight any more.
func (r *run) loop(ctx context.Context) {
	ticker := time.NewTicker(cmp.Or(r.Interval, 100*time.Millisecond))
	defer ticker.Stop()
	pulse := time.NewTicker(pulseEvery)
	defer pulse.Stop()
	r.counters.turned.Store(time.Now().UnixNano())
	r.probe(ctx, 0)
	for stop := ctx.Done(); ; {
		select {
		case <-stop:
			r.log().Info("stopping; waiting for the polls in flight", "polls", r.inFlight)
			stop = nil
		case now := <-pulse.C:
			r.counters.turned.Store(now.UnixNano())
		case <-ticker.C:
			r.afterTick(ctx)
		case n := <-r.received:
			r.afterReceive(ctx, n)
		case o := <-r.finished:
			r.afterCycle(ctx, o)
		case err := <-r.probed:
			r.afterProbe(ctx, err)
		}
		r.broken.Store(r.open || r.troubled)
		r.counters.note(r)
		if stop == nil && r.inFlight == 0 && !r.paused {
			return
		}
	}
}

// afterTick polls again after the queue was empty or in trouble. If nobody is
// left to see the trouble's end, a probe finds it out.
func (r *run) afterTick(ctx context.Context) {
	if r.waiting > 0 || r.paused || ctx.Err() != nil {
		return
	}
	switch {
	case r.inFlight > 0 && r.failures > 0: // until what is being handled shows whether the failure has passed
	case r.inFlight == 0 && r.inTrouble():
		r.open = true
		r.pause(ctx)
	case r.inFlight == 0 && time.Since(r.proven) > proveEvery:
		r.probe(ctx, 0)
	default:
		r.poll(ctx)
	}
}

// poll starts a poll unless there are enough.
func (r *run) poll(ctx context.Context) {
	if r.paused || r.inFlight >= r.tuning().concurrency() || r.inTrouble() || r.OverLimit != nil && r.OverLimit() {
		return
	}
	if ctx.Err() != nil { // last, for it may end at any moment
		return
	}
	r.inFlight++
	r.waiting++
	if r.hired < r.inFlight {
		r.hired++
		r.hire()
	}
	r.work <- struct{}{}
}

// worker does polls, one after the other. A new goroutine for each would have
// to grow its stack each time, which costs a busy poller a tenth of its time.
func (r *run) worker(ctx, handling, finishing context.Context) {
	for range r.work {
		r.finished <- r.cycle(ctx, handling, finishing)
	}
}

func (r *run) inTrouble() bool {
	troubled := r.Failing != nil && r.Failing()
	if troubled != r.troubled {
		r.troubled = troubled
		if troubled {
			r.log().Warn("receiving nothing: jobs cannot be pushed")
		} else {
			r.log().Info("receiving again")
		}
	}
	return troubled
}

// afterReceive starts what follows a poll that got n messages: a full one is
// followed by two, a half-full one by one, and an empty one by none, so that
// as many polls are waiting as the queue keeps busy. One always is; if the
// queue was empty, the ticker starts it.
func (r *run) afterReceive(ctx context.Context, n int) {
	r.waiting--
	if n == 0 {
		r.credit = 0
		return
	}
	r.credit += 2 * float64(n) / float64(r.tuning().maxMessages())
	r.spend(ctx)
}

// spend starts as many polls as there is credit for. At the limit of polls in
// flight, the credit is kept until one of them ends. After a failure, nothing
// follows a poll until its messages were handled.
func (r *run) spend(ctx context.Context) {
	most := r.tuning().concurrency()
	r.credit = min(r.credit, float64(most))
	if r.failures > 0 {
		return
	}
	if r.waiting == 0 {
		r.credit = max(r.credit, 1)
	}
	for r.credit >= 1 && r.inFlight < most {
		r.credit--
		r.poll(ctx)
	}
}

func (r *run) afterCycle(ctx context.Context, o outcome) {
	r.inFlight--
	r.deaf = o.err != nil && o.messages == 0
	r.open = r.open || o.err != nil && o.messages > 0
	switch {
	case r.paused:
	case o.err != nil:
		r.log().Warn("receiving nothing until this has passed", "error", o.err)
		r.credit = 0
		r.pause(ctx)
	case o.messages > 0:
		r.failures, r.proven = 0, time.Now()
		r.spend(ctx)
	}
}

func (r *run) afterProbe(ctx context.Context, err error) {
	r.paused = false
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.log().Warn("still receiving nothing", "error", err)
		r.counters.fail(err)
		r.open = true
		r.pause(ctx)
	default:
		if r.open || r.deaf {
			r.log().Info("receiving again")
		}
		r.open, r.troubled = false, false // the probe has seen the end of it
		r.proven = time.Now()
		r.poll(ctx)
	}
}

// pause stops polling and probes after a while, the longer the more failures
// came in a row.
func (r *run) pause(ctx context.Context) {
	if time.Since(r.failed) > forgetAfter {
		r.failures = 0 // an idle queue gives no batch to handle
	}
	r.failed = time.Now()
	wait := min(100*time.Millisecond<<min(r.failures, 10), maxPause)
	r.failures++
	r.probe(ctx, wait/2+rand.N(wait/2))
}

// probe stops polling until Ready has answered, which it is asked after a while.
func (r *run) probe(ctx context.Context, after time.Duration) {
	r.paused = true
	go func() {
		select {
		case <-ctx.Done():
			r.probed <- nil
		case <-time.After(after):
			ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			r.probed <- r.Ready(ctx)
		}
	}()
}

func (p *Poller) log() *slog.Logger { return cmp.Or(p.Log, slog.Default()) }
