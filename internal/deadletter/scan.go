package deadletter

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// SQS is the part of the SQS API that reads, sends and deletes messages.
type SQS interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	ChangeMessageVisibilityBatch(context.Context, *sqs.ChangeMessageVisibilityBatchInput, ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	SendMessageBatch(context.Context, *sqs.SendMessageBatchInput, ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

const (
	// DefaultHide is the default of Scan.Hide.
	DefaultHide = time.Minute

	// maxHeld is the maximum number of messages that a scan hides at a time. SQS
	// permits 120,000 for each queue.
	maxHeld = 100_000

	workers     = 8 // concurrent calls of ReceiveMessage
	changers    = 16
	callTimeout = 30 * time.Second // of a call that is not cancelled, with its retries
)

// A Scan receives every message of a dead-letter queue once.
type Scan struct {
	Client SQS
	Queue  *Queue
	Judge  Judge

	// Hide is how long a message stays hidden from other consumers if the process
	// is killed; whole seconds. Until then, the scan extends it. 0 is DefaultHide.
	Hide time.Duration

	// Batch is the maximum number of messages per receive; 0 is 10, SQS's maximum.
	Batch int

	// Visit is called with messages as they are received, by several goroutines,
	// each message once. An error ends the scan. When ctx ends, Visit finishes the
	// calls to SQS that it has begun, and makes no others.
	Visit func(ctx context.Context, messages []*Message) error

	// Enough, unless nil, reports whether the scan needs no more messages.
	Enough func() bool

	// Finish, unless nil, is called after the last Visit unless that failed, while
	// the messages are still hidden.
	Finish func(ctx context.Context) error

	leases *leases // while it runs
}

// A Result is how a scan ended.
type Result struct {
	// Complete is false if there may be messages that were not received: the
	// context ended, Enough returned true, or too many were hidden.
	Complete bool

	// Full is set if so many messages were hidden that SQS permits no more, or nearly.
	Full bool

	// Returned is the number of messages that are visible again. Those in Hidden
	// could not be returned and become visible within Scan.Hide.
	Returned, Hidden int
}

// Run runs the scan and then makes all messages visible again that still exist. When
// ctx ends, it returns after the calls in flight. It never cancels a receive, because
// SQS may already have hidden its messages.
func (s *Scan) Run(ctx context.Context) (Result, error) {
	if s.Hide == 0 {
		s.Hide = DefaultHide
	}
	s.leases = newLeases()
	scan, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	keeping, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keep(keeping, fail) })

	complete, full := s.receiveAll(scan, fail)
	err := failure(scan)
	if err == nil && s.Finish != nil {
		err = s.Finish(scan)
	}
	stopKeeping()
	keeper.Wait()
	result := s.release(context.WithoutCancel(ctx))
	result.Complete, result.Full = complete, full
	if err == nil {
		err = failure(scan)
	}
	return result, err
}

// failure returns the error that ended a scan, nil if none has.
func failure(scan context.Context) error {
	if err := context.Cause(scan); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// errEmpty and errFull are why receiving ends.
var (
	errEmpty = errors.New("nothing more was received")
	errFull  = errors.New("too many messages are hidden")
)

// receiveAll receives until the scan has to end. It reports whether there is nothing
// more, and whether too many messages are hidden to receive more.
func (s *Scan) receiveAll(ctx context.Context, fail context.CancelCauseFunc) (complete, full bool) {
	ends := make(chan error, workers)
	for range workers {
		go func() { ends <- s.receiveUntilEnd(ctx) }()
	}
	empty := 0
	for range workers {
		switch err := <-ends; err {
		case nil:
		case errEmpty:
			empty++
		case errFull:
			full = true
		default:
			fail(err)
		}
	}
	return empty == workers, full
}

// receiveUntilEnd receives until the scan has to end. It returns errEmpty, errFull, an
// error that ends the scan, or nil if the context has ended or there is enough.
func (s *Scan) receiveUntilEnd(ctx context.Context) error {
	for ctx.Err() == nil && (s.Enough == nil || !s.Enough()) {
		if s.leases.len() >= maxHeld {
			return errFull
		}
		received, err := s.receive(ctx)
		if _, ok := errors.AsType[*types.OverLimit](err); ok {
			return errFull // of the queue's messages, whoever has received them
		}
		if err != nil {
			return fmt.Errorf("receiving from the dead-letter queue %s: %w", s.Queue.Name(), err)
		}
		if len(received) == 0 {
			return errEmpty
		}
		var messages []*Message
		for i := range received {
			m := &received[i]
			if s.leases.add(*m.MessageId, *m.ReceiptHandle, time.Now().Add(s.Hide)) {
				messages = append(messages, newMessage(m, s.Queue, s.Judge))
			}
		}
		if err := s.Visit(ctx, messages); err != nil {
			return err
		}
	}
	return nil
}

// receive waits for a second, because only a receive that waits asks all of SQS's
// servers.
func (s *Scan) receive(ctx context.Context) ([]types.Message, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	n := s.Batch
	if n == 0 {
		n = maxBatch
	}
	out, err := s.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &s.Queue.URL,
		MaxNumberOfMessages:         int32(n),
		WaitTimeSeconds:             1,
		VisibilityTimeout:           int32(s.Hide / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	for _, m := range out.Messages {
		if m.MessageId == nil || m.ReceiptHandle == nil || m.Body == nil {
			return nil, errors.New("SQS returned a message without an id, a receipt handle or a body")
		}
	}
	return out.Messages, nil
}

// detach returns a context for a call that is finished even if ctx ends.
func detach(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
}

// keep keeps the messages hidden until ctx ends.
func (s *Scan) keep(ctx context.Context, fail context.CancelCauseFunc) {
	tick := time.NewTicker(s.Hide / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		due := s.leases.due(now.Add(s.Hide / 2))
		if _, err := s.changeVisibility(ctx, due, s.Hide); err != nil && ctx.Err() == nil {
			fail(err)
			return
		}
		s.leases.extend(due, now.Add(s.Hide))
	}
}

// release makes all messages visible that the scan still hides.
func (s *Scan) release(ctx context.Context) Result {
	left := s.leases.due(time.Now().Add(24 * time.Hour))
	changed, _ := s.changeVisibility(ctx, left, 0)
	return Result{Returned: changed, Hidden: len(left) - changed}
}

// changeVisibility returns the number of messages that are now hidden for the given
// time. A message that cannot be changed is visible already, or deleted. An error is
// about a whole call.
func (s *Scan) changeVisibility(ctx context.Context, all []lease, hide time.Duration) (changed int, err error) {
	var mu sync.Mutex
	eachBatch(all, changers, func(batch []lease) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &s.Queue.URL}
		for i := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: entryID(i), ReceiptHandle: &batch[i].handle, VisibilityTimeout: int32(hide / time.Second),
			})
		}
		out, callErr := s.Client.ChangeMessageVisibilityBatch(ctx, in)
		mu.Lock()
		defer mu.Unlock()
		if callErr != nil {
			err = fmt.Errorf("changing the visibility of messages in %s: %w", s.Queue.Name(), callErr)
			return
		}
		changed += len(out.Successful)
	})
	return changed, err
}
