package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// attempts is how often a message is sent or deleted before it counts as failed.
const attempts = 4

// A Redrive sends messages of a dead-letter queue back.
type Redrive struct {
	Scan      // whose Visit, Enough and Finish are the Redrive's own
	Selection Selection
	Rate      float64 // maximum number of messages per second; 0 is no limit
	Limit     int     // maximum number of messages to send; 0 is no limit
	NewIDs    bool    // also send messages whose identity is their id, which changes
	DryRun    bool    // only count what would be sent

	Read Summary // of all messages

	mu       sync.Mutex
	progress Progress
	reserved int       // messages that count towards Limit
	next     time.Time // when the next message may be sent
}

// Progress is how far a Redrive or a Drop is.
type Progress struct {
	Selected   int // messages to send or delete; with DryRun, that would be sent
	Sent       int // acknowledged by SQS
	Deleted    int // from the dead-letter queue
	SkippedIDs int // selected, but not sent because they would get new ids
	SendFailed int // rejected by SQS, and still in the dead-letter queue

	// DeleteFailed were sent, or were to be dropped, and are still in the
	// dead-letter queue.
	DeleteFailed int

	LastError string // of SQS, about one message
}

// Progress returns how far the Redrive is. It may be called while it runs.
func (r *Redrive) Progress() Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.progress
}

func (r *Redrive) count(f func(p *Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.progress)
}

// Run sends the messages back. The error is that of Scan.Run; see also Progress.
func (r *Redrive) Run(ctx context.Context) (Result, error) {
	if r.Rate > 0 {
		r.Batch = min(max(int(r.Rate), 1), maxBatch)
	}
	if !r.DryRun {
		if err := r.checkDelete(ctx); err != nil { // before something is sent
			return Result{}, err
		}
	}
	r.Visit = r.visit
	r.Enough = r.enough
	return r.Scan.Run(ctx)
}

// visit sends the selected messages, and deletes those that were sent.
func (r *Redrive) visit(ctx context.Context, messages []*Message) error {
	r.Read.Add(messages...)
	selected := r.reserve(messages)
	if r.DryRun {
		return nil
	}
	failedGroups := map[string]bool{} // nothing of a FIFO group is sent after a failure
	for len(selected) > 0 {
		var batch []*Message
		batch, selected = nextBatch(selected)
		sent, err := r.sendAtRate(ctx, batch, failedGroups)
		deleteErr := r.deleteSent(ctx, sent)
		if err = errors.Join(err, deleteErr); err != nil || ctx.Err() != nil {
			return err
		}
	}
	return nil
}

// reserve returns the messages to send, as many as Limit allows.
func (r *Redrive) reserve(messages []*Message) (selected []*Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		switch {
		case m.Source == nil || !r.Selection.matches(m) || r.Limit > 0 && r.reserved >= r.Limit:
		case m.NeedsID && !r.NewIDs:
			r.progress.SkippedIDs++
		default:
			r.reserved++
			selected = append(selected, m)
		}
	}
	r.progress.Selected += len(selected)
	return selected
}

// enough reports whether all messages that were asked for have been read.
func (r *Redrive) enough() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Limit > 0 && r.reserved >= r.Limit ||
		r.Selection.IDs != nil && r.progress.Selected+r.progress.SkippedIDs >= len(r.Selection.IDs)
}

// nextBatch splits off the messages that can be sent in one call: to the same queue,
// and of a FIFO group only one, because SQS may reject one entry of a batch and take
// the following ones.
func nextBatch(messages []*Message) (batch, rest []*Message) {
	bytes, groups := 0, map[string]bool{}
	for i, m := range messages {
		group := fifoGroup(m)
		bytes += m.size()
		if i > 0 && (i == maxBatch || bytes > maxBatchBytes || m.Source.URL != messages[0].Source.URL || groups[group]) {
			return messages[:i], messages[i:]
		}
		groups[group] = group != ""
	}
	return messages, nil
}

// fifoGroup returns the group that orders a message, "" if none does.
func fifoGroup(m *Message) string {
	if !isFIFO(m) {
		return ""
	}
	return m.Group()
}

func isFIFO(m *Message) bool { return strings.HasSuffix(m.Source.URL, ".fifo") }

// sendAtRate waits until the messages may be sent, unless ctx ends, and sends those
// whose group has not failed. It returns the messages that SQS has acknowledged.
func (r *Redrive) sendAtRate(ctx context.Context, batch []*Message, failedGroups map[string]bool) ([]*Message, error) {
	if err := r.wait(ctx, len(batch)); err != nil {
		return nil, nil
	}
	var pending []*Message
	for _, m := range batch {
		if group := fifoGroup(m); failedGroups[group] {
			r.fail(m, "an earlier message of its group was not sent")
			continue
		}
		pending = append(pending, m)
	}
	sent, err := r.send(ctx, pending)
	r.count(func(p *Progress) { p.Sent += len(sent) })
	isSent := map[*Message]bool{}
	for _, m := range sent {
		isSent[m] = true
	}
	for _, m := range pending {
		if group := fifoGroup(m); group != "" && !isSent[m] {
			failedGroups[group] = true
		}
	}
	return sent, err
}

// wait reserves time for n messages and waits for it. It returns an error if ctx ends.
func (r *Redrive) wait(ctx context.Context, n int) error {
	if r.Rate == 0 {
		return ctx.Err()
	}
	r.mu.Lock()
	now := time.Now()
	if r.next.Before(now) {
		r.next = now
	}
	pause := r.next.Sub(now)
	r.next = r.next.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
	r.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return ctx.Err()
	}
}

// send sends messages to the queue of the first. It repeats what fails for a reason
// that may pass. An error means that a whole call failed, so that the next one would.
func (r *Redrive) send(ctx context.Context, pending []*Message) (sent []*Message, err error) {
	for attempt := range attempts {
		if len(pending) == 0 {
			break
		}
		backOff(ctx, attempt)
		in := &sqs.SendMessageBatchInput{QueueUrl: &pending[0].Source.URL}
		for i, m := range pending {
			in.Entries = append(in.Entries, sendEntry(entryID(i), m))
		}
		out, err := r.callSend(ctx, in)
		if err != nil {
			return sent, fmt.Errorf("sending messages to %s: %w", pending[0].Source.Name(), err)
		}
		acknowledged := make([]bool, len(pending))
		for _, e := range out.Successful {
			if i, ok := entryIndex(e.Id, len(pending)); ok {
				acknowledged[i] = true
				r.leases.skip(aws.ToString(e.MessageId)) // it may come back to the dead-letter queue during the scan
			}
		}
		var again []*Message
		for i, m := range pending {
			failure := failureOf(out.Failed, i, len(pending))
			switch {
			case acknowledged[i] && failure == nil:
				sent = append(sent, m)
			case failure != nil && failure.SenderFault, attempt == attempts-1:
				r.fail(m, describeFailure(failure))
			default:
				again = append(again, m)
			}
		}
		pending = again
	}
	return sent, nil
}

func (r *Redrive) callSend(ctx context.Context, in *sqs.SendMessageBatchInput) (*sqs.SendMessageBatchOutput, error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	return r.Client.SendMessageBatch(ctx, in)
}

// fail counts a message that was not sent.
func (r *Redrive) fail(m *Message, detail string) {
	r.count(func(p *Progress) {
		p.SendFailed++
		p.LastError = "message " + printable.Text(m.ID(), 100) + ": " + detail
	})
}

func failureOf(failed []types.BatchResultErrorEntry, entry, n int) *types.BatchResultErrorEntry {
	for k := range failed {
		if i, ok := entryIndex(failed[k].Id, n); ok && i == entry {
			return &failed[k]
		}
	}
	return nil
}

func describeFailure(e *types.BatchResultErrorEntry) string {
	if e == nil {
		return "the response of SQS does not name it"
	}
	return printable.Text(aws.ToString(e.Code)+": "+aws.ToString(e.Message), 300)
}

// backOff waits before an attempt that is not the first: 0.2 s, then twice as long each time.
func backOff(ctx context.Context, attempt int) {
	if attempt == 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond << attempt):
	}
}

// sendEntry returns the message as it is to be sent: with its attributes, its trace
// header and its group.
func sendEntry(id *string, m *Message) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{Id: id, MessageBody: m.Body, MessageAttributes: m.MessageAttributes}
	if trace := m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)]; trace != "" {
		e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &trace},
		}
	}
	if group := m.Group(); group != "" {
		e.MessageGroupId = &group
	}
	if isFIFO(m) {
		e.MessageDeduplicationId = m.MessageId // so that SQS takes a message once that is sent twice within 5 minutes
	}
	return e
}

// deleteSent deletes messages that were sent from the dead-letter queue.
func (r *Redrive) deleteSent(ctx context.Context, sent []*Message) error {
	if len(sent) == 0 {
		return nil
	}
	ids := make([]string, len(sent))
	for i, m := range sent {
		ids[i] = m.ID()
	}
	failed, lastError, err := r.delete(ctx, ids)
	r.count(func(p *Progress) { p.countDeleted(len(ids), failed, lastError) })
	return err
}
