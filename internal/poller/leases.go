package poller

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// A lease keeps the messages of a batch hidden from other consumers while the batch is handled.
type lease struct {
	*Poller
	messages []message
	timeout  time.Duration // the messages' visibility timeout
	timer    *time.Timer   // extends the lease when half of the timeout has passed

	mu    sync.Mutex // held during calls of SQS, so nothing extends the lease after end has returned
	ended bool
}

// lease starts the lease of a batch that was just received. Its extensions use ctx.
func (p *Poller) lease(ctx context.Context, messages []message, t *Tuning) *lease {
	l := &lease{Poller: p, messages: messages, timeout: cmp.Or(t.VisibilityTimeout, p.Visibility, 30*time.Second)}
	p.count(func(s *Stats) { s.MessagesInFlight += int64(len(messages)) })
	l.mu.Lock() // extend uses the timer
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(l.timeout/2, func() { l.extend(ctx) })
	return l
}

// end ends the lease. The messages stay hidden for the rest of their visibility timeout, unless
// they are returned to the queue.
func (l *lease) end() {
	l.timer.Stop()
	l.count(func(s *Stats) { s.MessagesInFlight -= int64(len(l.messages)) })
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
}

func (l *lease) extend(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	next := time.Now().Add(l.timeout / 2)
	n, err := l.setVisibility(ctx, l.messages, func(*message) time.Duration { return l.timeout })
	l.count(func(s *Stats) { s.Extended += int64(n) })
	if err != nil {
		l.log().Warn("visibility timeout not extended", "messages", len(l.messages)-n, "error", err)
		next = time.Now().Add(min(l.timeout/4, 5*time.Second))
	}
	l.timer.Reset(time.Until(next))
}

// returnToQueue makes messages visible after a delay. A message for which that fails becomes
// visible at the end of its visibility timeout.
func (p *Poller) returnToQueue(ctx context.Context, messages []message, delay func(*message) time.Duration) {
	if len(messages) == 0 {
		return
	}
	n, err := p.setVisibility(ctx, messages, delay)
	p.count(func(s *Stats) { s.Returned += int64(n) })
	if err != nil {
		p.log().Warn("messages not returned to the queue", "messages", len(messages)-n, "error", err)
	}
}

// setVisibility sets how long messages are hidden from now on. It returns the number of messages
// for which it succeeded, and an error unless it succeeded for all.
func (p *Poller) setVisibility(ctx context.Context, messages []message, timeout func(*message) time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(messages))
	for i := range messages {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id:                entryID(i),
			ReceiptHandle:     messages[i].ReceiptHandle,
			VisibilityTimeout: int32(timeout(&messages[i]) / time.Second),
		}
	}
	out, err := p.SQS.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &p.QueueURL, Entries: entries})
	if err != nil {
		return 0, bounded(err)
	}
	done, err := succeeded(len(messages), out.Successful, func(e *types.ChangeMessageVisibilityBatchResultEntry) *string { return e.Id }, out.Failed)
	if err == nil && len(out.Failed) > 0 {
		err = fmt.Errorf("SQS rejected %d of %d messages: %s", len(out.Failed), len(messages), printable.Text(aws.ToString(out.Failed[0].Code), maxText))
	} else if err == nil && done.len() < len(messages) {
		err = fmt.Errorf("the response of SQS lacks %d of %d messages", len(messages)-done.len(), len(messages))
	}
	return done.len(), err
}

func noDelay(*message) time.Duration { return 0 }

// redeliveryDelay is how long a message stays hidden after Handle has failed. It gives other
// processes, which may be in a long poll of 20 s, time to notice the failure. It doubles with each
// receive, so that a failure that Ready does not see does not take messages to the dead-letter
// queue within minutes.
func redeliveryDelay(m *message) time.Duration {
	receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return min(30*time.Second<<min(max(0, receives-1), 10), 15*time.Minute)
}
