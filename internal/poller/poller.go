// Package poller feeds a handler from an SQS queue, as AWS's event source
// mapping feeds a Lambda function. Start at Poller.
package poller

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// maxPause is the longest pause after repeated failures.
const maxPause = 15 * time.Second

// forgetAfter is how long after a failure the next one counts as the first.
const forgetAfter = 5 * time.Minute

// A Poller receives messages, hands them to Handle, and deletes those that
// were handled.
//
// It keeps one long poll waiting while the queue is idle, and up to
// Concurrency polls in flight while they come back full. It receives nothing
// while Troubled, nor after a failure until Ready returns nil.
type Poller struct {
	SQS      SQS
	QueueURL string
	QueueARN string // ends with .fifo if the order of messages counts

	// Handle has the contract of a Lambda function for SQS that reports batch
	// item failures. An error keeps the batch and pauses the Poller.
	Handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

	// Ready returns nil when Handle can be expected to work. It is asked
	// before the first poll and after each failure.
	Ready func(context.Context) error

	// Troubled, if not nil, reports that Handle is held up, so that more
	// messages would only wait. It is asked before each poll.
	Troubled func() bool

	Interval          time.Duration // between polls of an idle queue; 0 means 100 ms
	WaitTime          time.Duration // of a long poll, in whole seconds, at most 20 s
	VisibilityTimeout time.Duration // in whole seconds; 0 means the queue's own
	MaxMessages       int           // per receive; 0 means 10, the most that SQS gives
	Concurrency       int           // most polls in flight, from receive to delete; 0 means 64

	Log *slog.Logger // nil: slog.Default()
}

// SQS is the part of *sqs.Client that a Poller uses.
type SQS interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Run polls until ctx ends. Then it starts no new poll, but lets those in
// flight end, long polls too: SQS may already have given out the messages of a
// poll that is cut off, and they would be stuck until their visibility timeout.
// Run returns when all that was received is handled and deleted or kept, which
// it gives some seconds.
func (p *Poller) Run(ctx context.Context) {
	r := &run{Poller: p, work: make(chan struct{}), received: make(chan int), finished: make(chan outcome), probed: make(chan error)}
	defer r.workers.Wait()
	defer close(r.work)
	ticker := time.NewTicker(cmp.Or(p.Interval, 100*time.Millisecond))
	defer ticker.Stop()
	r.probe(ctx, 0)
	for stop := ctx.Done(); ; {
		select {
		case <-stop:
			p.log().Info("stopping; waiting for the polls in flight", "polls", r.inFlight)
			stop = nil
		case <-ticker.C:
			r.afterTick(ctx)
		case n := <-r.received:
			r.afterReceive(ctx, n)
		case o := <-r.finished:
			r.afterCycle(ctx, o)
		case err := <-r.probed:
			r.afterProbe(ctx, err)
		}
		if stop == nil && r.inFlight == 0 && !r.paused {
			return
		}
	}
}

// A run is the state of one call of Run. Only its goroutine touches it.
type run struct {
	*Poller

	work     chan struct{} // to a worker: a poll to do
	received chan int      // from each poll: how many messages it got
	finished chan outcome  // from each poll at its end
	probed   chan error    // from a probe

	workers  sync.WaitGroup
	hired    int       // workers
	inFlight int       // polls, from their start to their end
	waiting  int       // those of them that are still receiving
	credit   float64   // how many polls to start, besides one that always waits
	paused   bool      // no new polls until a probe succeeds
	troubled bool      // what Troubled said last
	failures int       // of polls and probes since a batch was handled
	failed   time.Time // when the last of them was
}

// An outcome is what became of a poll.
type outcome struct {
	messages int
	err      error // why none of them was handled, or why there are none
}

// afterTick polls again after the queue was empty or in trouble. If nobody is
// left to see the trouble's end, a probe finds it out.
func (r *run) afterTick(ctx context.Context) {
	if r.waiting > 0 || r.paused || ctx.Err() != nil {
		return
	}
	if r.inFlight == 0 && r.inTrouble() {
		r.pause(ctx)
		return
	}
	if r.failures == 0 || r.inFlight == 0 {
		r.poll(ctx)
	}
}

// poll starts a poll unless there are enough.
func (r *run) poll(ctx context.Context) {
	if ctx.Err() != nil || r.paused || r.inTrouble() || r.inFlight >= r.concurrency() {
		return
	}
	r.inFlight++
	r.waiting++
	if r.hired < r.inFlight {
		r.hired++
		r.workers.Go(func() { r.worker(ctx) })
	}
	r.work <- struct{}{}
}

// worker does polls, one after the other. A new goroutine for each would have
// to grow its stack each time, which costs a busy poller a tenth of its time.
func (r *run) worker(ctx context.Context) {
	for range r.work {
		r.finished <- r.cycle(ctx, r.received)
	}
}

func (r *run) inTrouble() bool {
	troubled := r.Troubled != nil && r.Troubled()
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
	r.credit += 2 * float64(n) / float64(r.maxMessages())
	r.spend(ctx)
}

// spend starts as many polls as there is credit for. At the limit of polls in
// flight, the credit is kept until one of them ends. After a failure, nothing
// follows a poll until its messages were handled.
func (r *run) spend(ctx context.Context) {
	r.credit = min(r.credit, float64(r.concurrency()))
	if r.failures > 0 {
		return
	}
	if r.waiting == 0 {
		r.credit = max(r.credit, 1)
	}
	for r.credit >= 1 && r.inFlight < r.concurrency() {
		r.credit--
		r.poll(ctx)
	}
}

func (r *run) afterCycle(ctx context.Context, o outcome) {
	r.inFlight--
	switch {
	case o.err != nil && !r.paused:
		r.log().Warn("receiving nothing until this has passed", "error", o.err)
		r.credit = 0
		r.pause(ctx)
	case o.err == nil && o.messages > 0 && !r.paused:
		r.failures = 0
		r.spend(ctx)
	}
}

func (r *run) afterProbe(ctx context.Context, err error) {
	r.paused = false
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.log().Warn("still receiving nothing", "error", err)
		r.pause(ctx)
	default:
		if r.failures > 0 {
			r.log().Info("receiving again")
		}
		r.troubled = false // the probe has seen its end
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

func (p *Poller) maxMessages() int { return cmp.Or(p.MaxMessages, 10) }
func (p *Poller) concurrency() int { return cmp.Or(p.Concurrency, 64) }

func (p *Poller) log() *slog.Logger { return cmp.Or(p.Log, slog.Default()) }
