// Package eventsource invokes a Lambda function with messages from an SQS queue,
// for tests, as an event source mapping of AWS does. Start at [Mapping]. The AWS
// Lambda Developer Guide describes AWS's in "Using Lambda with Amazon SQS" and
// "Handling errors for an SQS event source in Lambda".
package eventsource

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A Mapping polls a queue and invokes a function with batches of messages, with
// FunctionResponseTypes: [ReportBatchItemFailures].
//
//   - Messages that the function does not report as failed are deleted.
//   - The others are left alone. They are redelivered after the queue's
//     visibility timeout, which starts with the receive.
//   - After a function error, the poller pauses, longer with each error in a row.
//     AWS does not document for how long; it reduces concurrency.
type Mapping struct {
	SQS      *sqs.Client
	QueueURL string
	QueueARN string

	// Invoke invokes the function. An error is a function error.
	Invoke func(ctx context.Context, event []byte) (response []byte, err error)

	BatchSize   int           // 0 means 10
	Window      time.Duration // MaximumBatchingWindowInSeconds: how long an incomplete batch waits for more messages
	Concurrency int           // MaximumConcurrency; 0 means 2, AWS's minimum

	Log *slog.Logger // nil: slog.Default()
}

const (
	receiveMax = 10                    // messages in one receive or deletion
	pollTime   = time.Second           // wait time of the long poll for a batch's first message
	firstPause = 50 * time.Millisecond // after a function error
	maxPause   = time.Second           // after many in a row
)

// Run polls until ctx ends. It returns when all invocations have ended. Messages
// in incomplete batches are redelivered after their visibility timeout.
func (m *Mapping) Run(ctx context.Context) {
	var pollers sync.WaitGroup
	for range cmp.Or(m.Concurrency, 2) {
		pollers.Go(func() { m.poll(ctx) })
	}
	pollers.Wait()
}

// poll is one poller. It handles one batch after the other.
func (m *Mapping) poll(ctx context.Context) {
	var waiting []message // received, but not in a batch yet
	for failures := 0; ctx.Err() == nil; {
		waiting = m.fill(ctx, waiting)
		n := fitting(waiting)
		if n == 0 || ctx.Err() != nil {
			continue
		}
		err := m.handle(context.WithoutCancel(ctx), waiting[:n])
		waiting = waiting[n:]
		if err == nil {
			failures = 0
			continue
		}
		m.log().Debug("the function failed", "error", err)
		pause := min(firstPause<<min(failures, 10), maxPause)
		failures++
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// fill receives messages until there is a batch: BatchSize messages, as many as
// fit into an event, or those that arrived within the window after the first.
func (m *Mapping) fill(ctx context.Context, waiting []message) []message {
	size := cmp.Or(m.BatchSize, 10)
	var end time.Time // of the window
	for ctx.Err() == nil && len(waiting) < size && fitting(waiting) == len(waiting) {
		wait := pollTime
		if len(waiting) > 0 {
			if end.IsZero() {
				end = time.Now().Add(m.Window)
			}
			if wait = min(pollTime, time.Until(end)); wait <= 0 {
				break
			}
		}
		waiting = append(waiting, m.receive(ctx, min(receiveMax, size-len(waiting)), wait)...)
	}
	return waiting
}

// receive never cancels a poll, because SQS may already have hidden messages for it.
func (m *Mapping) receive(ctx context.Context, n int, wait time.Duration) (received []message) {
	out, err := m.SQS.ReceiveMessage(context.WithoutCancel(ctx), &sqs.ReceiveMessageInput{
		QueueUrl:                    &m.QueueURL,
		MaxNumberOfMessages:         int32(n),
		WaitTimeSeconds:             int32((wait + time.Second - 1) / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		MessageAttributeNames:       []string{"All"},
	})
	if err != nil {
		m.log().Error("receiving messages", "error", err)
		time.Sleep(firstPause)
		return nil
	}
	for _, r := range out.Messages {
		received = append(received, message{aws.ToString(r.MessageId), aws.ToString(r.ReceiptHandle), m.record(r)})
	}
	return received
}

// handle invokes the function with a batch and deletes the messages that it
// handled. The error is the function's.
func (m *Mapping) handle(ctx context.Context, batch []message) error {
	response, err := m.Invoke(ctx, event(batch))
	if err != nil {
		return err
	}
	failed, err := failures(response, batch)
	if err != nil {
		m.log().Warn("the whole batch counts as failed", "error", err)
		return nil
	}
	handled := slices.DeleteFunc(slices.Clone(batch), func(r message) bool { return failed[r.id] })
	for some := range slices.Chunk(handled, receiveMax) {
		m.delete(ctx, some)
	}
	return nil
}

// delete deletes messages. One that cannot be deleted is redelivered.
func (m *Mapping) delete(ctx context.Context, messages []message) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, r := range messages {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &r.handle}
	}
	out, err := m.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &m.QueueURL, Entries: entries})
	if err != nil || len(out.Failed) > 0 {
		m.log().Warn("messages not deleted", "error", err, "output", out)
	}
}

func (m *Mapping) log() *slog.Logger { return cmp.Or(m.Log, slog.Default()) }
