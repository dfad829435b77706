package poller

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Messages that take longer than their visibility timeout stay hidden. Once they
// are handled, nothing extends it any more.
func TestLeaseIsExtended(t *testing.T) {
	for name, c := range map[string]struct {
		visibility, configured, hidden time.Duration
	}{
		"the queue's own":  {8 * time.Second, 0, 8 * time.Second},
		"as configured":    {8 * time.Second, 20 * time.Second, 20 * time.Second},
		"SQS's own, 30 s":  {0, 0, 30 * time.Second},
		"the shortest one": {time.Second, 0, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				queue.send(3)
				p := &Poller{SQS: queue, Visibility: c.visibility, Tuning: Tuning{VisibilityTimeout: c.configured},
					Handle: func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
						time.Sleep(27 * time.Second)
						return events.SQSEventResponse{}, ctx.Err()
					},
				}
				begin := time.Now()
				stop := start(t, p)
				time.Sleep(time.Minute)
				stop()
				visibleAt := map[string]time.Time{"0": begin.Add(c.hidden), "1": begin.Add(c.hidden), "2": begin.Add(c.hidden)}
				for _, h := range queue.changes {
					if h.timeout != c.hidden {
						t.Errorf("extended by %v, want %v", h.timeout, c.hidden)
					}
					if !h.at.Before(visibleAt[h.handle]) {
						t.Errorf("message %s was visible from %v to %v", h.handle, visibleAt[h.handle].Sub(begin), h.at.Sub(begin))
					}
					visibleAt[h.handle] = h.at.Add(h.timeout)
					if late := h.at.Sub(begin); late > 27*time.Second {
						t.Errorf("extended %v after it was received, when it was handled", late)
					}
				}
				for handle, at := range visibleAt {
					if at.Before(begin.Add(27 * time.Second)) {
						t.Errorf("message %s was visible after %v, while it was handled", handle, at.Sub(begin))
					}
				}
				if limit := 3 * (1 + int(27*time.Second/(c.hidden/2))); len(queue.changes) > limit {
					t.Errorf("%d changes of visibility, want at most %d", len(queue.changes), limit)
				}
				if stats := p.Stats(); stats.Extended != int64(len(queue.changes)) || stats.Deleted != 3 || stats.MessagesInFlight != 0 {
					t.Errorf("stats %+v after %d changes", stats, len(queue.changes))
				}
			})
		})
	}
}

// An extension that fails, such as for a missing permission, has no other effect.
func TestExtensionForbidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.changeErr = errors.New("AccessDenied")
		queue.send(3)
		stop := start(t, &Poller{SQS: queue, Visibility: 2 * time.Second,
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				time.Sleep(20 * time.Second)
				return events.SQSEventResponse{}, nil
			},
		})
		time.Sleep(time.Minute)
		stop()
		if len(queue.deleted) != 3 {
			t.Errorf("%d messages deleted, want 3", len(queue.deleted))
		}
	})
}

// After a failure of Handle, messages return to the queue with a delay that grows
// with their receive count.
func TestReturnedAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(4)
		for i, count := range []string{"1", "2", "4", "1000"} {
			queue.messages[i].Attributes = map[string]string{"ApproximateReceiveCount": count}
		}
		stop := start(t, &Poller{SQS: queue,
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				return events.SQSEventResponse{}, errors.New("connection refused")
			},
			Ready: func(context.Context) error {
				var received bool
				queue.do(func() { received = len(queue.receives) > 0 })
				if received {
					return errors.New("connection refused")
				}
				return nil
			},
		})
		time.Sleep(time.Minute)
		stop()
		want := []time.Duration{30 * time.Second, time.Minute, 4 * time.Minute, 15 * time.Minute}
		if len(queue.changes) != len(want) || len(queue.deleted) != 0 {
			t.Fatalf("returned %v, deleted %v", queue.changes, queue.deleted)
		}
		for i, h := range queue.changes {
			if h.timeout != want[i] {
				t.Errorf("message %s returned with a delay of %v, want %v", h.handle, h.timeout, want[i])
			}
		}
	})
}

// The messages of a long poll that ends after the stop, while Redis is down,
// return to the queue at once and are not handled.
func TestReturnedAtStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(10) // so that two long polls wait then
		var down atomic.Bool
		var handled atomic.Int64
		isDown := func() error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return nil
		}
		p := &Poller{SQS: queue, Tuning: Tuning{Concurrency: 2},
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				handled.Add(1)
				return events.SQSEventResponse{}, isDown()
			},
			Ready: func(context.Context) error { return isDown() },
		}
		stop := start(t, p)
		time.Sleep(time.Second)
		down.Store(true)
		queue.send(1) // to one of the polls
		time.Sleep(time.Second)
		if s := p.Stats(); !s.BreakerOpen || s.ReceivesInFlight != 1 || s.Returned != 1 {
			t.Fatalf("stats %+v, want a poll that receives while Redis is down", s)
		}
		time.AfterFunc(time.Second, func() { queue.send(10) }) // to the other
		begin := time.Now()
		stop()
		if elapsed := time.Since(begin); elapsed != time.Second {
			t.Errorf("stopping took %v, want until the long poll ended", elapsed)
		}
		if n := handled.Load(); n != 2 {
			t.Errorf("%d batches were handled, want the two before", n)
		}
		if p.Stats().Returned != 11 || len(queue.changes) != 11 {
			t.Errorf("%d messages returned, %d of them counted, want 11", len(queue.changes), p.Stats().Returned)
		}
	})
}

// A message that fails alone while stopping returns to the queue without a delay,
// whatever its receive count.
func TestFailedReturnedAtStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		stop := start(t, &Poller{SQS: queue, Handle: func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
			return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: e.Records[1].MessageId}}}, nil
		}})
		time.Sleep(time.Second)
		time.AfterFunc(time.Second, func() {
			queue.do(func() { queue.sent = 100 })
			queue.send(3)
		})
		stop()
		if len(queue.changes) != 1 || queue.changes[0].handle != "101" || queue.changes[0].timeout != 0 || len(queue.deleted) != 2 {
			t.Errorf("returned %v, deleted %v", queue.changes, queue.deleted)
		}
	})
}

// A lease that has ended extends nothing, because its messages may have returned
// to the queue.
func TestNoExtensionAfterEnd(t *testing.T) {
	queue := newFakeSQS()
	p := &Poller{SQS: queue}
	l := p.lease(t.Context(), []message{{ReceiptHandle: new(string)}}, &Tuning{})
	l.extend(t.Context())
	l.end()
	l.extend(t.Context())
	if len(queue.changes) != 1 {
		t.Errorf("extended %d times, want the one before the end", len(queue.changes))
	}
}

func TestRedeliveryDelay(t *testing.T) {
	for count, want := range map[string]time.Duration{
		"": 30 * time.Second, "0": 30 * time.Second, "1": 30 * time.Second, "2": time.Minute, "3": 2 * time.Minute, "6": 15 * time.Minute, "99999": 15 * time.Minute,
	} {
		m := types.Message{Attributes: map[string]string{"ApproximateReceiveCount": count}}
		if got := redeliveryDelay(&m); got != want {
			t.Errorf("after %s receives: %v, want %v", count, got, want)
		}
	}
}
