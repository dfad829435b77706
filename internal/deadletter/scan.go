package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/sqsclient"
)

const (
	// DefaultHide is the default of Scan.Hide.
	DefaultHide = time.Minute

	// maxHeld is the maximum number of messages that a scan hides at a time. SQS
	// permits 120,000 for each queue.
	maxHeld = 100_000

	workers     = 8 // concurrent calls of ReceiveMessage, and of DeleteMessageBatch in a Drop
	changers    = 16
	callTimeout = 30 * time.Second // of a call that is not cancelled, with its retries
)

// A Selection selects the messages that match all fields that are set.
type Selection struct {
	Topics  []string // names or ARNs of topics, source/detail-types of events, or buckets
	Reasons []string // why the message would be rejected now
	IDs     []string // of SQS

	// Age of the message since it was sent; in a FIFO queue, since it was moved to the
	// dead-letter queue.
	OlderThan, NewerThan time.Duration

	// Succeeding selects only messages that would not be rejected now.
	Succeeding bool
}

// matches reports whether the Selection selects a message.
func (s *Selection) matches(m *Message) bool {
	age := time.Since(m.Sent())
	switch {
	case s.Succeeding && m.Rejection != nil:
		return false
	case s.Topics != nil && !slices.Contains(s.Topics, m.Label) && !slices.Contains(s.Topics, m.TopicARN):
		return false
	case s.Reasons != nil && !slices.Contains(s.Reasons, string(m.Reason())):
		return false
	case s.IDs != nil && !slices.Contains(s.IDs, m.ID()):
		return false
	case s.OlderThan > 0 && age < s.OlderThan, s.NewerThan > 0 && age > s.NewerThan:
		return false
	}
	return true
}

// A Scan receives every message of a dead-letter queue once. It runs once.
type Scan struct {
	Client *sqsclient.Client
	Queue  *Queue
	Judge  Judge

	// Hide is the time for which messages stay hidden from other consumers if the
	// process is killed, in whole seconds. A scan extends it as long as it runs. 0
	// means DefaultHide.
	Hide time.Duration

	Selection Selection
	Limit     int // maximum number of messages to select; 0 is no limit

	// Visit, unless nil, is called with the selected messages as they are received,
	// each message once. Several goroutines call it concurrently. An error ends the
	// scan. When ctx ends, Visit finishes the calls to SQS that it has begun, and makes
	// no others.
	Visit func(ctx context.Context, selected []*Message) error

	// Finish, unless nil, is called after the last Visit, while the messages are still
	// hidden. It is not called if a Visit failed.
	Finish func(ctx context.Context) error

	Read Summary // of all messages

	accepts func(*Message) bool // whether a selected message is visited; nil if each is
	batch   int                 // maximum number of messages per receive; 0 is SQS's maximum
	leases  *leases             // while it runs

	mu       sync.Mutex
	progress Progress
}

// Progress counts the messages of a Scan, and of the Redrive or Drop that it is part
// of.
type Progress struct {
	Selected     int    `json:"selected"`        // number of messages to show, send or delete
	SkippedIDs   int    `json:"skipped_new_ids"` // selected, but not sent because they would get new ids
	Sent         int    `json:"sent"`            // acknowledged by SQS
	SendFailed   int    `json:"send_failed"`     // rejected by SQS, and still in the dead-letter queue
	Deleted      int    `json:"deleted"`         // from the dead-letter queue
	DeleteFailed int    `json:"delete_failed"`   // sent or to be dropped, and still in the dead-letter queue
	LastError    string `json:"-"`               // of SQS, about one message
}

// Progress returns the progress of the Scan. It may be called while the Scan runs.
func (s *Scan) Progress() Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress
}

func (s *Scan) count(f func(*Progress)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.progress)
}

// A Result describes how a scan ended.
type Result struct {
	// Complete is false if there may be messages that were not received: the context
	// ended, enough were selected, or too many were hidden.
	Complete bool

	// Full reports whether the number of hidden messages has reached SQS's limit, or
	// nearly so.
	Full bool

	// Returned is the number of messages that are visible again. Hidden is the number
	// that could not be returned; they become visible within Scan.Hide.
	Returned, Hidden int
}

// Run runs the scan, and then makes all messages that still exist visible again. When
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
	keeper.Go(func() { s.keepHidden(keeping, fail) })

	complete, full := s.receiveAll(scan, fail)
	err := failureOf(scan)
	if err == nil && s.Finish != nil {
		err = s.Finish(scan)
	}
	stopKeeping()
	keeper.Wait()
	left := s.leases.due(time.Now().Add(24 * time.Hour)) // all
	returned, releaseErr := s.changeVisibility(context.WithoutCancel(ctx), left, 0)
	result := Result{Complete: complete, Full: full, Returned: len(returned), Hidden: len(left) - len(returned)}
	return result, cmp.Or(err, failureOf(scan), releaseErr)
}

// failureOf returns the error that ended a scan, nil if none has.
func failureOf(scan context.Context) error {
	if err := context.Cause(scan); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// errEmpty and errFull are reasons to stop receiving.
var (
	errEmpty = errors.New("nothing more was received")
	errFull  = errors.New("too many messages are hidden")
)

// receiveAll receives until the scan ends. It reports whether all messages were
// received, and whether too many are hidden to receive more.
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

// receiveUntilEnd receives until the scan ends. It returns errEmpty, errFull, an error
// that ends the scan, or nil if the context has ended or enough messages were selected.
func (s *Scan) receiveUntilEnd(ctx context.Context) error {
	for ctx.Err() == nil && !s.enough() {
		if s.leases.len() >= maxHeld {
			return errFull
		}
		asked := time.Now() // SQS hides the messages later than that
		received, err := s.receive(ctx)
		if _, ok := errors.AsType[*types.OverLimit](err); ok {
			return errFull // SQS counts messages that others have received, too
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
			if s.leases.add(*m.MessageId, *m.ReceiptHandle, asked.Add(s.Hide)) {
				messages = append(messages, newMessage(m, s.Queue, s.Judge))
			}
		}
		s.Read.Add(messages...)
		if selected := s.choose(messages); s.Visit != nil && len(selected) > 0 {
			if err := s.Visit(ctx, selected); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose returns the selected messages, up to the Limit.
func (s *Scan) choose(messages []*Message) (selected []*Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range messages {
		if s.Selection.matches(m) && (s.Limit == 0 || s.progress.Selected < s.Limit) && (s.accepts == nil || s.accepts(m)) {
			selected = append(selected, m)
			s.progress.Selected++
		}
	}
	return selected
}

// enough reports whether the Limit is reached or all IDs were found.
func (s *Scan) enough() bool {
	p, ids := s.Progress(), s.Selection.IDs
	return s.Limit > 0 && p.Selected >= s.Limit || ids != nil && p.Selected+p.SkippedIDs >= len(ids)
}

// receive waits for a second, because only a receive that waits asks all of SQS's
// servers.
func (s *Scan) receive(ctx context.Context) ([]types.Message, error) {
	out, err := detached(ctx, func(ctx context.Context) (*sqs.ReceiveMessageOutput, error) {
		return s.Client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl:                    &s.Queue.URL,
			MaxNumberOfMessages:         int32(cmp.Or(s.batch, maxBatch)),
			WaitTimeSeconds:             1,
			VisibilityTimeout:           int32(s.Hide / time.Second),
			MessageAttributeNames:       []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
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

// keepHidden extends the visibility timeouts of the messages until ctx ends.
func (s *Scan) keepHidden(ctx context.Context, fail context.CancelCauseFunc) {
	tick := time.NewTicker(s.Hide / 6)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		extended, err := s.changeVisibility(ctx, s.leases.due(now.Add(s.Hide/2)), s.Hide)
		if err != nil && ctx.Err() == nil {
			fail(err)
			return
		}
		s.leases.extend(extended, now.Add(s.Hide))
	}
}

// changeVisibility hides messages for the given time, and returns the messages for
// which that succeeded. It usually fails only for a message that is already visible or
// deleted. An error is about a whole call.
func (s *Scan) changeVisibility(ctx context.Context, all []lease, hide time.Duration) (changed []lease, err error) {
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
		for i, f := range failures(len(batch), out.Successful, func(e *types.ChangeMessageVisibilityBatchResultEntry) *string { return e.Id }, out.Failed) {
			if f == nil {
				changed = append(changed, batch[i])
			}
		}
	})
	return changed, err
}
