package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// A Redrive sends the selected messages of a dead-letter queue back.
type Redrive struct {
	*Scan          // whose Visit and Finish are the Redrive's own
	Rate   float64 // maximum number of messages per second; 0 is no limit
	NewIDs bool    // also send messages identified by their SQS id, which changes
	DryRun bool    // only count what would be sent

	next time.Time // when the next message may be sent
}

// Run sends the messages back. The error is that of Scan.Run; see also Progress.
func (r *Redrive) Run(ctx context.Context) (Result, error) {
	r.accepts = r.canSend
	if r.Rate > 0 {
		r.batch = min(max(int(r.Rate), 1), maxBatch)
	}
	if !r.DryRun {
		if err := r.checkDelete(ctx); err != nil { // before anything is sent
			return Result{}, err
		}
		r.Visit = r.visit
	}
	return r.Scan.Run(ctx)
}

// canSend reports whether a message can be sent. It counts messages that would get new
// ids. The caller holds r.mu.
func (r *Redrive) canSend(m *Message) bool {
	if m.Source != nil && m.NeedsID && !r.NewIDs {
		r.progress.SkippedIDs++
		return false
	}
	return m.Source != nil
}

// visit sends messages, and deletes those that SQS has acknowledged. If a message of a
// FIFO group was not sent, it sends no later message of the group.
func (r *Redrive) visit(ctx context.Context, selected []*Message) error {
	for len(selected) > 0 {
		var batch []*Message
		batch, selected = nextBatch(selected)
		if r.wait(ctx, len(batch)) != nil {
			return nil
		}
		a, err := attempt(ctx, batch, r.send)
		for _, m := range a.failed {
			r.fail(m, a.reason)
		}
		if err = errors.Join(err, r.deleteSent(ctx, a.done)); err != nil || ctx.Err() != nil {
			return err
		}
		for _, failed := range a.failed {
			selected = slices.DeleteFunc(selected, func(m *Message) bool {
				behind := fifoGroup(m) != "" && fifoGroup(m) == fifoGroup(failed)
				if behind {
					r.fail(m, "an earlier message of its group was not sent")
				}
				return behind
			})
		}
	}
	return nil
}

// nextBatch splits off the messages that can be sent in one call, which go to the same
// queue. It takes only one message of a FIFO group, because SQS may reject one entry of
// a batch and accept the following ones.
func nextBatch(messages []*Message) (batch, rest []*Message) {
	bytes, groups := 0, map[string]bool{}
	for i, m := range messages {
		group := fifoGroup(m)
		bytes += size(m)
		if i > 0 && (i == maxBatch || bytes > maxBatchBytes || m.Source.URL != messages[0].Source.URL || groups[group]) {
			return messages[:i], messages[i:]
		}
		groups[group] = group != ""
	}
	return messages, nil
}

// size returns the number of bytes of a message that count towards the limit of a
// batch.
func size(m *Message) int {
	n := len(*m.Body)
	for name, a := range m.MessageAttributes {
		n += len(name) + len(aws.ToString(a.DataType)) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue)
	}
	return n
}

// fifoGroup returns the group that orders a message, "" if none does.
func fifoGroup(m *Message) string {
	if strings.HasSuffix(m.Source.URL, ".fifo") {
		return m.Group()
	}
	return ""
}

// wait waits until the rate permits n more messages. It returns an error if ctx ends.
func (r *Redrive) wait(ctx context.Context, n int) error {
	if r.Rate == 0 {
		return ctx.Err()
	}
	r.mu.Lock()
	now := time.Now()
	if r.next.Before(now) {
		r.next = now
	}
	start := r.next
	r.next = r.next.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
	r.mu.Unlock()
	return pause(ctx, start.Sub(now))
}

// send sends messages to the queue of the first.
func (r *Redrive) send(ctx context.Context, messages []*Message) ([]*failure, error) {
	to := messages[0].Source
	in := &sqs.SendMessageBatchInput{QueueUrl: &to.URL}
	for i, m := range messages {
		in.Entries = append(in.Entries, sendEntry(entryID(i), m))
	}
	out, err := r.Client.SendMessageBatch(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("sending messages to %s: %w", to.Name(), err)
	}
	for _, e := range out.Successful {
		r.leases.skip(aws.ToString(e.MessageId)) // it may return to the dead-letter queue during the scan
	}
	return failures(len(messages), out.Successful, func(e *types.SendMessageBatchResultEntry) *string { return e.Id }, out.Failed), nil
}

// fail counts a message that was not sent.
func (r *Redrive) fail(m *Message, reason string) {
	r.count(func(p *Progress) {
		p.SendFailed++
		p.LastError = "message " + printable.Text(m.ID(), 100) + ": " + reason
	})
}

// sendEntry returns the entry that sends a message with its attributes, its trace
// header and its group.
func sendEntry(id *string, m *Message) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{Id: id, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
	if trace := m.attribute(types.MessageSystemAttributeNameAWSTraceHeader); trace != "" {
		e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace},
		}
	}
	if group := m.Group(); group != "" {
		e.MessageGroupId = &group
	}
	if fifoGroup(m) != "" {
		e.MessageDeduplicationId = m.MessageId // SQS accepts a message with the same id only once in 5 minutes
	}
	return e
}

// deleteSent deletes messages from the dead-letter queue after they were sent.
func (r *Redrive) deleteSent(ctx context.Context, sent []*Message) error {
	if len(sent) == 0 {
		return nil
	}
	r.count(func(p *Progress) { p.Sent += len(sent) })
	ids := make([]string, len(sent))
	for i, m := range sent {
		ids[i] = m.ID()
	}
	return r.delete(ctx, ids)
}
