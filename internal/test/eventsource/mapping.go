// Package esm is an event source mapping of our own for tests: it feeds a
// Lambda function from an SQS queue as AWS's does. Start at Mapping. What AWS's
// does is described in the AWS Lambda Developer Guide, "Using Lambda with
// Amazon SQS" and "Handling errors for an SQS event source in Lambda".
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
//   - The others are left alone: they come back after the queue's visibility
//     timeout, which counts from the receive.
//   - If the function fails as a whole, its poller pauses, the longer the more
//     often that happens in a row. AWS does not say for how long; it takes
//     concurrency away.
type Mapping struct {
	SQS      *sqs.Client
	QueueURL string
	QueueARN string

	// Invoke is the function: an error is a function error.
	Invoke func(ctx context.Context, event []byte) (response []byte, err error)

	BatchSize   int           // 0 means 10
	Window      time.Duration // MaximumBatchingWindowInSeconds: how long a batch that is not full waits for more
	Concurrency int           // MaximumConcurrency; 0 means 2, AWS's least

	Log *slog.Logger // nil: slog.Default()
}

const (
	receiveMax = 10                    // messages, of one receive and of one deletion
	pollTime   = time.Second           // of a long poll for the first message of a batch
	firstPause = 50 * time.Millisecond // after a function error
	maxPause   = time.Second           // after many
)

// Run polls until ctx ends. It returns when the batches that were handed over
// are done with; messages that wait for their batch to fill up are left to
// their visibility timeout.
func (m *Mapping) Run(ctx context.Context) {
	var pollers sync.WaitGroup
	for range cmp.Or(m.Concurrency, 2) {
		pollers.Go(func() { m.poll(ctx) })
	}
	pollers.Wait()
}

// poll is one poller: it handles one batch after the other.
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

// fill receives until there is a batch: as many messages as it may have, as
// much as an event may hold, or what came within the window since the first.
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

// receive never cuts a poll off: SQS might have given the messages out.
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

// handle invokes the function with a batch and deletes what it has handled. An
// error is the function's.
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

// delete deletes messages. One that cannot be deleted comes back.
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
