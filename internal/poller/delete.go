package poller

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// SQS deletes up to ten messages in a call, for the price of one. A message
// waits for others to be deleted with, but no longer than gatherTime.
const (
	mostDeletes = 10
	gatherTime  = 80 * time.Millisecond
)

// A deleter gathers messages that were handled. Whoever fills a batch deletes
// it, so that there are never more deletions under way than polls, but for the
// one that time has run out for.
type deleter struct {
	delete func([]message)

	mu      sync.Mutex
	pending []message // less than a batch
	timer   *time.Timer
	timers  sync.WaitGroup // that may still fire
}

// add deletes messages, or has it done later.
func (d *deleter) add(messages []message) {
	for _, batch := range d.batches(messages) {
		d.delete(batch)
	}
}

// batches adds messages to those pending and returns the full batches.
func (d *deleter) batches(messages []message) (full [][]message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.pending) > 0 {
		messages = append(d.pending, messages...)
	}
	for len(messages) >= mostDeletes {
		full = append(full, messages[:mostDeletes:mostDeletes])
		messages = messages[mostDeletes:]
	}
	d.pending = messages
	if len(full) > 0 {
		d.stopTimer() // what is pending now came just now
	}
	if len(d.pending) > 0 && d.timer == nil {
		d.timers.Add(1)
		d.timer = time.AfterFunc(gatherTime, func() {
			defer d.timers.Done()
			d.deletePending()
		})
	}
	return full
}

// stopTimer needs the lock. A timer that has fired finds what is pending then.
func (d *deleter) stopTimer() {
	if d.timer != nil && d.timer.Stop() {
		d.timers.Done()
	}
	d.timer = nil
}

func (d *deleter) deletePending() {
	d.mu.Lock()
	messages := d.pending
	d.pending = nil
	d.stopTimer()
	d.mu.Unlock()
	if len(messages) > 0 {
		d.delete(messages)
	}
}

// flush deletes what is pending. Nothing may be added any more.
func (d *deleter) flush() {
	d.deletePending()
	d.timers.Wait()
}

// deleteTries is how often the deletion of a message is tried, besides what
// the SDK does.
const deleteTries = 3

// deleteMessages deletes messages, ten at most. One that cannot be deleted
// comes again, and its jobs are recognised then.
func (p *Poller) deleteMessages(ctx context.Context, messages []message) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for try := 1; len(messages) > 0 && try <= deleteTries && ctx.Err() == nil; try++ {
		messages = p.deleteBatch(ctx, messages)
		if len(messages) > 0 {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(try) * 50 * time.Millisecond):
			}
		}
	}
	p.counters.deletesFailed.Add(int64(len(messages)))
	for _, m := range messages {
		p.log().Warn("message not deleted; it will come again", "message_id", aws.ToString(m.MessageId))
	}
}

// deleteBatch returns the messages whose deletion may be tried again.
func (p *Poller) deleteBatch(ctx context.Context, messages []message) (again []message) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second) // or a dead connection would take all the time there is
	defer cancel()
	out, err := p.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &p.QueueURL, Entries: entries})
	if err != nil {
		p.log().Warn("deleting messages failed", "messages", len(messages), "error", err)
		return messages
	}
	p.counters.deleted.Add(int64(len(messages) - len(out.Failed)))
	for _, f := range out.Failed {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil || i >= len(messages) {
			continue
		}
		if !f.SenderFault {
			again = append(again, messages[i])
			continue
		}
		// Most often a receipt handle that ran out because handling took longer than the visibility timeout.
		p.counters.deletesFailed.Add(1)
		p.log().Warn("message not deleted; it will come again", "message_id", aws.ToString(messages[i].MessageId), "code", aws.ToString(f.Code))
	}
	return again
}
