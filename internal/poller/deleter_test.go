package poller

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// At a low rate, the deletes of several polls are sent together, none more than
// 100 ms after its message was handled.
func TestDeletesAreGathered(t *testing.T) {
	for _, c := range []struct {
		every time.Duration // a message arrives
		calls int           // maximum, for 600 messages
	}{
		{5 * time.Millisecond, 65},
		{20 * time.Millisecond, 160},
		{200 * time.Millisecond, 600},
	} {
		t.Run(c.every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testGathered(t, c.every, c.calls) })
		})
	}
}

func testGathered(t *testing.T, every time.Duration, calls int) {
	queue := newFakeSQS()
	handledAt := map[string]time.Time{}
	p := &Poller{SQS: queue, Handle: func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		queue.do(func() {
			for _, m := range e.Records {
				handledAt[m.MessageId] = time.Now()
			}
		})
		return events.SQSEventResponse{}, nil
	}}
	late := time.Duration(0)
	queue.deleteErr = func(entry, try int) (bool, bool) {
		late = max(late, time.Since(handledAt[fmt.Sprint(len(queue.deleted))])) // in order
		return false, false
	}
	stop := start(t, p)
	for range 600 {
		queue.send(1)
		time.Sleep(every)
	}
	stop()
	if len(queue.deleted) != 600 || p.Stats().Deleted != 600 {
		t.Errorf("%d messages deleted, %d counted, want 600", len(queue.deleted), p.Stats().Deleted)
	}
	if n := len(queue.deletes); n > calls {
		t.Errorf("%d calls for 600 messages, want at most %d", n, calls)
	}
	if late > 100*time.Millisecond {
		t.Errorf("a message was deleted %v after it was handled", late)
	}
}

// In a FIFO queue, the deletion lets the next messages of a group be received.
func TestFIFODeletesImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		stop := start(t, &Poller{SQS: queue, QueueARN: "arn:aws:sqs:us-east-1:123456789012:app.fifo"})
		for range 10 {
			queue.send(1)
			sent := time.Now()
			time.Sleep(5 * time.Millisecond)
			queue.do(func() {
				if len(queue.deleted) != queue.sent || queue.deletes[len(queue.deletes)-1] != sent {
					t.Errorf("%d of %d messages deleted at once", len(queue.deleted), queue.sent)
				}
			})
		}
		stop()
	})
}

// Every message is deleted once, whatever the sizes of the batches.
func TestDeleter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deleted := make(chan []message, 10_000)
		d := &deleter{delete: func(messages []message) { deleted <- messages }}
		sent := 0
		for range 2000 {
			batch := make([]message, rand.N(11))
			for i := range batch {
				id := fmt.Sprint(sent)
				sent++
				batch[i].MessageId = &id
			}
			go d.add(batch)
			time.Sleep(rand.N(20 * time.Millisecond))
		}
		synctest.Wait()
		d.deletePending()
		d.running.Wait()
		close(deleted)
		seen := map[string]bool{}
		for batch := range deleted {
			if len(batch) == 0 || len(batch) > deleteBatchSize {
				t.Errorf("a batch of %d", len(batch))
			}
			for _, m := range batch {
				if seen[*m.MessageId] {
					t.Errorf("message %s twice", *m.MessageId)
				}
				seen[*m.MessageId] = true
			}
		}
		if len(seen) != sent {
			t.Errorf("%d of %d messages deleted", len(seen), sent)
		}
	})
}
