package poller

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/budget"
)

const miB = 1 << 20

// newLargeQueue returns a queue of messages of a size.
func newLargeQueue(messages, size int) *fakeSQS {
	queue := newFakeSQS()
	queue.latency = 10 * time.Millisecond
	queue.body = strings.Repeat("x", size)
	queue.send(messages)
	return queue
}

// Large messages are received as there is room for them, without waiting for a tick, and at the end
// nothing is in flight.
func TestBudgetBoundsBytesInFlight(t *testing.T) {
	for name, c := range map[string]struct {
		max         int64
		size        int
		minBatches  int // in flight at the same time
		maxPolls    int
		maxInFlight int64
		maxSeconds  int // for 3000 messages, each batch of which takes 20 ms to handle
	}{
		"1 MiB":                  {64 * miB, miB, 5, 6, 60 * miB, 30},
		"256 KiB":                {64 * miB, 256 << 10, 20, 25, 64 * miB, 10},
		"larger than the budget": {miB, miB, 1, 1, 10 * miB, 30},
		"small":                  {64 * miB, 1 << 10, 50, 50, 50 * 10 << 10, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newLargeQueue(3000, c.size)
				b := budget.New(c.max)
				var inFlight, seen atomic.Int64
				p := &Poller{SQS: queue, Budget: b.NewAccount(), Tuning: Tuning{Concurrency: 50}, Interval: time.Hour,
					Handle: func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
						inFlight.Store(max(inFlight.Load(), b.InFlight()))
						seen.Add(int64(len(e.Records) * len(e.Records[0].Body)))
						time.Sleep(20 * time.Millisecond)
						return events.SQSEventResponse{}, nil
					}}
				begin := time.Now()
				stop := start(t, p)
				for deleted := 0; deleted < 3000; queue.do(func() { deleted = len(queue.deleted) }) {
					time.Sleep(10 * time.Millisecond)
				}
				if elapsed := time.Since(begin); elapsed > time.Duration(c.maxSeconds)*time.Second {
					t.Errorf("3000 messages took %v", elapsed)
				}
				stop()
				if n := inFlight.Load(); n > c.maxInFlight {
					t.Errorf("%d bytes in flight, want at most %d", n, c.maxInFlight)
				}
				if n := queue.maxAtOnce; n > c.maxPolls {
					t.Errorf("%d receives at once, want at most %d", n, c.maxPolls)
				}
				if n := int(inFlight.Load()) / (10 * c.size); n < c.minBatches*2/3 {
					t.Errorf("%d batches in flight, want more of the budget to be used", n)
				}
				if seen.Load() != int64(3000*c.size) || b.InFlight() != 0 {
					t.Errorf("%d bytes were handled, %d are in flight at the end", seen.Load(), b.InFlight())
				}
			})
		})
	}
}

// However a poll ends, none of its bytes stay in flight.
func TestBudgetIsReleased(t *testing.T) {
	for name, change := range map[string]func(*Poller, *fakeSQS){
		"receives fail": func(_ *Poller, queue *fakeSQS) { queue.receiveErr = errors.New("access denied") },
		"Handle fails": func(p *Poller, _ *fakeSQS) {
			p.Handle = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				return events.SQSEventResponse{}, errors.New("connection refused")
			}
		},
		"some messages fail": func(p *Poller, _ *fakeSQS) {
			p.Handle = func(_ context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
				return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: e.Records[0].MessageId}}}, nil
			}
		},
		"deletes fail": func(_ *Poller, queue *fakeSQS) {
			queue.deleteErr = func(int, int) (bool, bool) { return true, false }
		},
		"the queue is empty": func(_ *Poller, queue *fakeSQS) { queue.messages = nil },
		"stopped while Handle works": func(p *Poller, _ *fakeSQS) {
			p.Handle = func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
				<-ctx.Done()
				return events.SQSEventResponse{}, ctx.Err()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newLargeQueue(100, miB)
				b := budget.New(20 * miB)
				account := b.NewAccount()
				p := &Poller{SQS: queue, Budget: account}
				change(p, queue)
				stop := start(t, p)
				time.Sleep(time.Minute)
				stop()
				if n := b.InFlight(); n != 0 {
					t.Errorf("%d bytes are in flight at the end", n)
				}
				if _, ok := account.Reserve(10); !ok {
					t.Error("a reservation was kept")
				}
				if _, ok := account.Reserve(10); !ok {
					t.Error("there is no room for a second receive")
				}
			})
		})
	}
}

// While the messages of another queue leave no room, the loop turns, and it goes on as soon as there
// is room.
func TestWaitingForBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(10 * miB)
		other := b.NewAccount()
		reserved, _ := other.Reserve(10)
		other.Received(reserved, 10, 10*miB)
		queue := newLargeQueue(50, miB)
		p := &Poller{SQS: queue, Budget: b.NewAccount(), Interval: time.Hour}
		stop := start(t, p)
		time.Sleep(time.Minute)
		if s := p.Stats(); len(queue.receives) > 0 || s.Stalled() || !s.Started || s.BreakerOpen {
			t.Errorf("%d receives without room; stats %+v", len(queue.receives), s)
		}
		released := time.Now()
		other.Release(10 * miB)
		synctest.Wait()
		queue.do(func() {
			if len(queue.receives) != 1 || queue.receives[0] != released {
				t.Errorf("receives at %v, want one at once", queue.receives)
			}
		})
		time.Sleep(10 * time.Second)
		stop()
		if len(queue.deleted) != 50 {
			t.Errorf("%d messages deleted, want 50", len(queue.deleted))
		}
	})
}

// Stopping does not wait for the budget.
func TestStopWhileWaitingForBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(miB)
		other := b.NewAccount()
		reserved, _ := other.Reserve(10)
		other.Received(reserved, 10, 10*miB)
		stop := start(t, &Poller{SQS: newLargeQueue(50, miB), Budget: b.NewAccount()})
		time.Sleep(time.Minute)
		begin := time.Now()
		stop()
		if elapsed := time.Since(begin); elapsed != 0 {
			t.Errorf("stopping took %v, want no time", elapsed)
		}
	})
}

// Two busy queues share the budget.
func TestBudgetIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget.New(60 * miB)
		queues := []*fakeSQS{newLargeQueue(100_000, miB), newLargeQueue(100_000, miB)}
		var stops []func()
		for _, queue := range queues {
			stops = append(stops, start(t, &Poller{SQS: queue, Budget: b.NewAccount()}))
			time.Sleep(time.Second) // the first one has all of it by now
		}
		count := func(q *fakeSQS) (n int) { q.do(func() { n = len(q.deleted) }); return n }
		first := count(queues[0])
		time.Sleep(30 * time.Second)
		first = count(queues[0]) - first
		second := count(queues[1])
		for _, stop := range stops {
			stop()
		}
		if first < second*2/3 || second < first*2/3 {
			t.Errorf("%d and %d messages, want about the same", first, second)
		}
	})
}

// What outlives the bodies of large messages does not keep them in memory, although a client may
// decode a response into one piece.
func TestDetach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newLargeQueue(10, miB)
		var kept []message
		p := &Poller{SQS: queue}
		p.Handle = func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
			queue.do(func() { kept = queue.handedOut })
			for _, m := range kept {
				if m.Body != nil {
					t.Error("the poller keeps a body that the event has")
				}
			}
			return events.SQSEventResponse{}, nil
		}
		stop := start(t, p)
		time.Sleep(time.Second)
		stop()
		if len(kept) != 10 {
			t.Errorf("%d messages were handed out, want 10", len(kept))
		}
	})
}
