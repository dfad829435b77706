package poller

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

const (
	deleteBatchSize = 10                    // the maximum of SQS; a call costs the same for one message
	deleteDelay     = 80 * time.Millisecond // how long a handled message waits for a full batch
	deleteAttempts  = 3                     // besides the SDK's own retries
)

// A deleter answers which handled messages still have to be deleted. The poll that fills a batch
// deletes it, so that deletions never outnumber polls, except for one started by the timer. It is
// safe for concurrent use.
type deleter struct {
	delete func([]message)

	mu      sync.Mutex
	pending []message      // less than a batch
	timer   *time.Timer    // deletes them; nil if there are none
	running sync.WaitGroup // deletions by a timer
}

// add deletes full batches and leaves the rest pending.
func (d *deleter) add(messages []message) {
	d.mu.Lock()
	if len(d.pending) > 0 {
		messages = append(d.pending, messages...)
	}
	full := len(messages) - len(messages)%deleteBatchSize
	d.pending = messages[full:]
	if full > 0 && d.timer != nil { // the messages that it would delete are in a full batch
		d.timer.Stop()
		d.timer = nil
	}
	if len(d.pending) > 0 && d.timer == nil {
		d.timer = time.AfterFunc(deleteDelay, d.deletePending)
	}
	d.mu.Unlock()
	for batch := range slices.Chunk(messages[:full], deleteBatchSize) {
		d.delete(batch)
	}
}

// deletePending deletes the pending messages.
func (d *deleter) deletePending() {
	d.mu.Lock()
	messages := d.pending
	d.pending, d.timer = nil, nil
	if len(messages) == 0 {
		d.mu.Unlock()
		return
	}
	d.running.Add(1)
	d.mu.Unlock()
	defer d.running.Done()
	d.delete(messages)
}

// deleteMessages deletes up to ten messages. A message that is not deleted will be redelivered; its jobs
// are then duplicates.
func (p *Poller) deleteMessages(ctx context.Context, messages []message) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for attempt := 0; len(messages) > 0 && attempt < deleteAttempts && ctx.Err() == nil; attempt++ {
		time.Sleep(time.Duration(attempt) * 50 * time.Millisecond)
		messages = p.deleteBatch(ctx, messages)
	}
	for i := range messages {
		p.notDeleted(&messages[i], "")
	}
}

// deleteBatch returns the messages whose deletion may be retried.
func (p *Poller) deleteBatch(ctx context.Context, messages []message) (retry []message) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: m.ReceiptHandle}
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second) // so that a dead connection leaves time for a retry
	defer cancel()
	out, err := p.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &p.QueueURL, Entries: entries})
	if err != nil {
		p.log().Warn("delete request failed", "messages", len(messages), "error", bounded(err))
		return messages
	}
	done, err := succeeded(len(messages), out.Successful, func(e *types.DeleteMessageBatchResultEntry) *string { return e.Id }, out.Failed)
	if err != nil {
		p.log().Error("unexpected response to a delete request", "error", err)
	}
	p.count(func(s *Stats) { s.Deleted += int64(done.len()) })
	var rejected bitset
	for _, f := range out.Failed {
		if i, ok := entryIndex(f.Id, len(messages)); ok && f.SenderFault && !rejected.has(i) {
			rejected |= 1 << i // usually because the receipt handle expired while the message was handled
			p.notDeleted(&messages[i], aws.ToString(f.Code))
		}
	}
	for i := range messages {
		if !(done | rejected).has(i) {
			retry = append(retry, messages[i])
		}
	}
	return retry
}

// notDeleted counts and logs a message that is given up. The code is SQS's, or empty.
func (p *Poller) notDeleted(m *message, code string) {
	p.count(func(s *Stats) { s.DeletesFailed++ })
	p.log().Warn("message not deleted", "sqs_message_id", printable.Text(aws.ToString(m.MessageId), maxText), "code", printable.Text(code, maxText))
}
