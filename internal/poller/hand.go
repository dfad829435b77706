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

// A hand is a batch that is being handled. Its messages stay hidden from other
// receivers until then.
type hand struct {
	messages []message
	hidden   time.Duration // how long at a time

	mu    sync.Mutex // held while SQS is asked, so that nothing is asked once it is over
	until time.Time  // when the messages would be seen again
	over  bool
}

// hands are all that a run has.
type hands struct {
	mu  sync.Mutex
	all map[*hand]struct{}
}

// take notes a batch that was received, for the heartbeat.
func (r *run) take(messages []message, t *Tuning) *hand {
	h := &hand{messages: messages, hidden: r.hidden(t)}
	h.until = time.Now().Add(h.hidden)
	r.counters.inHand.Add(int64(len(messages)))
	r.hands.mu.Lock()
	defer r.hands.mu.Unlock()
	r.hands.all[h] = struct{}{}
	return h
}

// release ends the heartbeat of a batch.
func (r *run) release(h *hand) {
	r.counters.inHand.Add(-int64(len(h.messages)))
	r.hands.mu.Lock()
	delete(r.hands.all, h)
	r.hands.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}

// hidden is how long a message is hidden once it has been received.
func (p *Poller) hidden(t *Tuning) time.Duration {
	switch {
	case t.VisibilityTimeout > 0:
		return t.VisibilityTimeout
	case p.Visibility > 0:
		return p.Visibility
	default:
		return 30 * time.Second
	}
}

// heartbeat lengthens the visibility timeout of each batch in hand when half of
// it is over, until done is closed.
func (r *run) heartbeat(ctx context.Context, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(r.hidden(r.tuning()) / 4):
		}
		r.hands.mu.Lock()
		for h := range r.hands.all {
			if time.Until(h.until) <= h.hidden/2 {
				r.workers.Go(func() { r.extend(ctx, h) })
			}
		}
		r.hands.mu.Unlock()
	}
}

func (r *run) extend(ctx context.Context, h *hand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		return
	}
	until := time.Now().Add(h.hidden)
	n, err := r.hide(ctx, h.messages, func(*message) time.Duration { return h.hidden })
	r.counters.extended.Add(int64(n))
	if err != nil {
		r.log().Warn("the visibility timeout of messages in hand cannot be lengthened; they may be received twice, which Redis notices", "error", err)
		return
	}
	r.hands.mu.Lock()
	defer r.hands.mu.Unlock()
	h.until = until
}

// giveBack makes messages visible before their visibility timeout ends. One that
// cannot be given back is seen again when it does.
func (r *run) giveBack(ctx context.Context, messages []message, after func(*message) time.Duration) {
	n, err := r.hide(ctx, messages, after)
	r.counters.returned.Add(int64(n))
	if err != nil {
		r.log().Warn("messages cannot be given back; they come again after their visibility timeout", "messages", len(messages), "error", err)
	}
}

// hide sets for how long messages are hidden from now on, and returns for how
// many it did.
func (r *run) hide(ctx context.Context, messages []message, how func(*message) time.Duration) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(messages))
	for i := range messages {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id:                aws.String(strconv.Itoa(i)),
			ReceiptHandle:     messages[i].ReceiptHandle,
			VisibilityTimeout: int32(how(&messages[i]) / time.Second),
		}
	}
	out, err := r.SQS.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &r.QueueURL, Entries: entries})
	if err != nil {
		return 0, err
	}
	return len(messages) - len(out.Failed), nil
}

// atOnce gives a message back for whoever receives next.
func atOnce(*message) time.Duration { return 0 }

// backOff gives a message back that could not be handled for no fault of its
// own: at once the first time, for nothing is received until that has passed,
// and later the later, so that trouble of a kind that Ready does not see does
// not take it to the dead-letter queue within seconds.
func backOff(m *message) time.Duration {
	receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	if receives <= 1 {
		return 0
	}
	return min(15*time.Second<<min(receives-2, 10), 15*time.Minute)
}
