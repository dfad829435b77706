package poller

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// A Poller receives messages, passes them to Handle in batches, and deletes those that were
// handled. Its fields must not change once Run has been called.
type Poller struct {
	SQS      SQS
	QueueURL string
	QueueARN string // ends in .fifo if the queue is a FIFO queue

	Visibility time.Duration // the queue's own visibility timeout; 0 means 30 s, SQS's default

	// Handle has the contract of a Lambda function for SQS that reports batch item failures: the
	// messages in its response stay in the queue, all others are deleted. An error keeps the whole
	// batch and pauses polling. Its context ends after 30 s.
	Handle func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)

	// Ready returns nil when Handle can be expected to work. It is called before the first receive,
	// after each failure until it returns nil, and before a receive from a queue that has been idle
	// for 10 s, so that a failure is noticed before a message arrives. Its context ends after 5 s.
	Ready func(context.Context) error

	// Failing, if not nil, reports that Handle cannot make progress, so more messages would only wait.
	// It is called before each receive and must not block.
	Failing func() bool

	// OverLimit, if not nil, reports that messages should stay in the queue for now, although Handle
	// would accept them. It is called before each receive and must not block.
	OverLimit func() bool

	Budget   Budget        // limits the bytes in flight, as Concurrency limits the polls; nil: unlimited
	Interval time.Duration // between receives from an idle queue; 0 means 100 ms
	Tuning                 // in effect until the first call of Tune

	Log *slog.Logger // nil: slog.Default()

	tuned atomic.Pointer[Tuning] // nil before the first call of Tune
	mu    sync.Mutex
	stats Stats
}

// Tuning is what can be changed while a Poller runs.
type Tuning struct {
	WaitTime          time.Duration // of a long poll, in whole seconds, at most 20 s; 0 means the queue's own
	VisibilityTimeout time.Duration // in whole seconds; 0 means the queue's own
	MaxMessages       int           // per receive; 0 means 10, the maximum of SQS
	Concurrency       int           // maximum polls in flight, from receive to delete; 0 means 64
	StopTimeout       time.Duration // how long Run may take after its context has ended; 0 means WaitTime plus 5 s
}

// SQS is the part of *sqs.Client that a Poller uses.
type SQS interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
}

// A Budget bounds the bytes of messages in flight.
type Budget interface {
	// Reserve reserves room for a receive of up to n messages, or returns false if there is none.
	Reserve(n int) (reserved int64, ok bool)

	// Room receives a value when Reserve, after it has returned false, may succeed.
	Room() <-chan struct{}

	// Received ends a reservation and reports what its receive returned.
	Received(reserved int64, messages int, bytes int64)

	// Release reports that bytes that were received are no longer in memory.
	Release(bytes int64)
}

// unlimited is the Budget of a Poller that has none.
type unlimited struct{}

func (unlimited) Reserve(int) (int64, bool)  { return 0, true }
func (unlimited) Room() <-chan struct{}      { return nil }
func (unlimited) Received(int64, int, int64) {}
func (unlimited) Release(int64)              {}

// Tune changes the tuning for the polls that start from now on. It may be called at any time.
func (p *Poller) Tune(t Tuning) { p.tuned.Store(&t) }

func (p *Poller) tuning() *Tuning { return cmp.Or(p.tuned.Load(), &p.Tuning) }

func (t *Tuning) maxMessages() int { return cmp.Or(t.MaxMessages, 10) }
func (t *Tuning) concurrency() int { return cmp.Or(t.Concurrency, 64) }

// Run polls until ctx ends. Then it starts no new poll, waits for the polls in flight, and returns when
// their messages are handled and deleted, or returned to the queue. This takes at most StopTimeout. Run
// may be called once.
func (p *Poller) Run(ctx context.Context) {
	handling, finishing, cancel := p.stopContexts(ctx)
	defer cancel()
	l := &loop{
		Poller:   p,
		budget:   cmp.Or[Budget](p.Budget, unlimited{}),
		work:     make(chan int64),
		received: make(chan int),
		finished: make(chan outcome),
		probed:   make(chan error),
		deleter:  deleter{delete: func(messages []message) { p.deleteMessages(finishing, messages) }},
	}
	l.worker = func() {
		for reserved := range l.work {
			l.finished <- l.poll(ctx, handling, finishing, reserved)
		}
	}
	l.run(ctx)
	close(l.work)
	l.running.Wait()
	l.deleter.deletePending()
	l.deleter.running.Wait()
}

// stopContexts returns the contexts of calls that may outlast ctx. After ctx has ended, handling, for
// receives and Handle, ends 2 s before the stop timeout. Finishing, for deletes and for returning
// messages to the queue, ends 0.2 s before it.
func (p *Poller) stopContexts(ctx context.Context) (handling, finishing context.Context, cancel context.CancelFunc) {
	handling, cancelHandling := context.WithCancel(context.WithoutCancel(ctx))
	finishing, cancelFinishing := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timeout := cmp.Or(p.tuning().StopTimeout, p.tuning().WaitTime+5*time.Second)
		time.AfterFunc(timeout-2*time.Second, cancelHandling)
		time.AfterFunc(timeout-200*time.Millisecond, cancelFinishing)
	})
	return handling, finishing, func() { stop(); cancelHandling(); cancelFinishing() }
}

func (p *Poller) log() *slog.Logger { return cmp.Or(p.Log, slog.Default()) }
