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
)

// A hand is a batch that is being handled. Its messages stay hidden from other
// receivers until then.
type hand struct {
	messages []message
	hidden   time.Duration // how long at a time

	mu    sync.Mutex // of what is below; held while SQS is asked, so that nothing is asked once it is over
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
	return cmp.Or(t.VisibilityTimeout, p.Visibility, 30*time.Second)
}

// mostBeat bounds the time between two heartbeats, for the visibility timeout
// may be changed to a shorter one.
const mostBeat = 5 * time.Second

// heartbeat lengthens the visibility timeout of each batch in hand when half of
// it is over, until done is closed.
func (r *run) heartbeat(ctx context.Context, done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(min(r.hidden(r.tuning())/4, mostBeat)):
		}
		r.hands.mu.Lock()
		for h := range r.hands.all {
			if h.mu.TryLock() { // else SQS is being asked, or it is over
				if h.due() {
					r.workers.Go(func() { r.extend(ctx, h) })
				}
				h.mu.Unlock()
			}
		}
		r.hands.mu.Unlock()
	}
}

// due reports whether half of the visibility timeout is over. It needs the lock.
func (h *hand) due() bool { return !h.over && time.Until(h.until) <= h.hidden/2 }

func (r *run) extend(ctx context.Context, h *hand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.due() {
		return
	}
	until := time.Now().Add(h.hidden)
	n, err := r.hide(ctx, h.messages, func(*message) time.Duration { return h.hidden })
	r.counters.extended.Add(int64(n))
	if err != nil {
		r.log().Warn("the visibility timeout of messages in hand cannot be lengthened; they may be received twice, which Redis notices", "error", err)
		return
	}
	h.until = until
}

// giveBack makes messages visible before their visibility timeout ends. One that
// cannot be given back is seen again when it does.
func (r *run) giveBack(ctx context.Context, messages []message, after func(*message) time.Duration) {
	n, err := r.hide(ctx, messages, after)
	r.counters.returned.Add(int64(n))
	if err != nil {
		r.log().Warn("messages cannot be given back; they come again after their visibility timeout", "messages", len(messages)-n, "error", err)
	}
}

// hide sets for how long messages are hidden from now on. It returns for how
// many it did, and an error unless that was all.
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
	if n := len(out.Failed); n > 0 {
		return len(messages) - n, fmt.Errorf("SQS refuses %d of %d messages: %s", n, len(messages), aws.ToString(out.Failed[0].Code))
	}
	return len(messages), nil
}

// atOnce gives a message back for whoever receives next.
func atOnce(*message) time.Duration { return 0 }

// backOff gives a message back that could not be handled for no fault of its
// own: not before other Scouts, which may be in a long poll of 20 s, have found
// out as well, and later the later, so that trouble of a kind that Ready does
// not see does not take it to the dead-letter queue within minutes.
func backOff(m *message) time.Duration {
	receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return min(30*time.Second<<min(max(0, receives-1), 10), 15*time.Minute)
}
