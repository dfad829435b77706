package poller

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A fakeSQS is an in-memory queue whose calls take time, for tests in a
// synctest bubble. Messages are not redelivered.
type fakeSQS struct {
	latency    time.Duration
	receiveErr error
	deleteErr  func(entry, try int) (failed, senderFault bool)

	mu           sync.Mutex
	messages     []types.Message
	handedOut    []types.Message // by the last receive
	asked        *sqs.ReceiveMessageInput
	body         string // of the messages sent from now on; "": some
	arrived      chan struct{}
	sent         int
	receives     []time.Time
	receiving    int
	maxAtOnce    int
	deletes      []time.Time
	deleted      map[string]int
	changes      []visibilityChange
	changeErr    error
	deleteAnswer func(*sqs.DeleteMessageBatchOutput)           // changes what the queue answers
	changeAnswer func(*sqs.ChangeMessageVisibilityBatchOutput) // as well
	interrupt    error                                         // ends the next receive that is waiting
	hang         bool                                          // deletions and changes of visibility last until they are cancelled
}

func newFakeSQS() *fakeSQS {
	return &fakeSQS{arrived: make(chan struct{}), deleted: map[string]int{}}
}

func (f *fakeSQS) send(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		id := fmt.Sprint(f.sent)
		f.sent++
		f.messages = append(f.messages, types.Message{MessageId: &id, ReceiptHandle: &id, Body: aws.String(cmp.Or(f.body, "body"))})
	}
	close(f.arrived)
	f.arrived = make(chan struct{})
}

// do changes or reads the queue while the poller uses it.
func (f *fakeSQS) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakeSQS) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	var failure error
	f.do(func() {
		f.receives, f.asked = append(f.receives, time.Now()), in
		f.receiving++
		f.maxAtOnce = max(f.maxAtOnce, f.receiving)
		failure = f.receiveErr
	})
	defer func() { f.do(func() { f.receiving-- }) }()
	time.Sleep(f.latency)
	if failure != nil {
		return nil, failure
	}
	end := time.After(time.Duration(in.WaitTimeSeconds) * time.Second)
	for {
		f.mu.Lock()
		n := min(len(f.messages), int(in.MaxNumberOfMessages))
		out := &sqs.ReceiveMessageOutput{Messages: f.messages[:n]}
		f.messages, f.handedOut = f.messages[n:], out.Messages
		arrived, interrupt := f.arrived, f.interrupt
		if interrupt != nil && n > 0 {
			f.interrupt, f.messages = nil, f.messages[:0] // lost
		}
		f.mu.Unlock()
		if interrupt != nil && n > 0 {
			return nil, interrupt
		}
		if n > 0 {
			return out, nil
		}
		select {
		case <-arrived:
		case <-end:
			return out, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (f *fakeSQS) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(f.latency)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deletes = append(f.deletes, time.Now())
	out := &sqs.DeleteMessageBatchOutput{}
	for i, entry := range in.Entries {
		if f.deleteErr != nil {
			if failed, senderFault := f.deleteErr(i, len(f.deletes)); failed {
				out.Failed = append(out.Failed, types.BatchResultErrorEntry{Id: entry.Id, SenderFault: senderFault, Code: aws.String("Code")})
				continue
			}
		}
		f.deleted[*entry.ReceiptHandle]++
		out.Successful = append(out.Successful, types.DeleteMessageBatchResultEntry{Id: entry.Id})
	}
	if f.deleteAnswer != nil {
		f.deleteAnswer(out)
	}
	return out, nil
}

func (f *fakeSQS) ChangeMessageVisibilityBatch(_ context.Context, in *sqs.ChangeMessageVisibilityBatchInput, _ ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changeErr != nil {
		return nil, f.changeErr
	}
	out := &sqs.ChangeMessageVisibilityBatchOutput{}
	for _, entry := range in.Entries {
		f.changes = append(f.changes, visibilityChange{*entry.ReceiptHandle, time.Duration(entry.VisibilityTimeout) * time.Second, time.Now()})
		out.Successful = append(out.Successful, types.ChangeMessageVisibilityBatchResultEntry{Id: entry.Id})
	}
	if f.changeAnswer != nil {
		f.changeAnswer(out)
	}
	return out, nil
}

// A visibilityChange is a change of a message's visibility timeout.
type visibilityChange struct {
	handle  string
	timeout time.Duration
	at      time.Time
}

func allHandled(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return events.SQSEventResponse{}, nil
}

// start runs a poller in the test's bubble and returns a function that stops it
// and waits for Run to return.
func start(t *testing.T, p *Poller) (stop func()) {
	p.Log = cmp.Or(p.Log, slog.New(slog.DiscardHandler))
	p.WaitTime = 20 * time.Second
	if p.Handle == nil {
		p.Handle = allHandled
	}
	if p.Ready == nil {
		p.Ready = func(context.Context) error { return nil }
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func TestIdleQueueCostsOneLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		stop := start(t, &Poller{SQS: queue})
		time.Sleep(10 * time.Minute)
		stop()
		if queue.maxAtOnce != 1 {
			t.Errorf("%d polls at once, want 1", queue.maxAtOnce)
		}
		if n := len(queue.receives); n < 29 || n > 31 {
			t.Errorf("%d polls of 20 s in 10 minutes", n)
		}
	})
}

func TestConcurrencyFollowsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.latency = 10 * time.Millisecond
		queue.send(100_000)
		begin := time.Now()
		stop := start(t, &Poller{SQS: queue, Tuning: Tuning{Concurrency: 50}})
		for deleted := 0; deleted < 100_000; queue.do(func() { deleted = len(queue.deleted) }) {
			time.Sleep(10 * time.Millisecond)
		}
		// 50 polls of 10 messages need 20 ms each: 25,000 messages a second at best.
		if elapsed := time.Since(begin); elapsed > 5*time.Second {
			t.Errorf("100,000 messages took %v of SQS's latency, want about 4 s", elapsed)
		}
		queue.do(func() {
			if queue.maxAtOnce > 50 {
				t.Errorf("%d polls at once, want at most 50", queue.maxAtOnce)
			}
		})
		time.Sleep(time.Minute)
		queue.do(func() { queue.maxAtOnce = 0 })
		for range 3000 { // a trickle
			queue.send(1)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		queue.do(func() {
			if queue.maxAtOnce > 2 {
				t.Errorf("%d polls at once at a trickle, want 1 or 2", queue.maxAtOnce)
			}
		})
		queue.do(func() {
			if queue.receiving != 1 {
				t.Errorf("%d polls waiting on an idle queue, want 1", queue.receiving)
			}
		})
		stop()
		if len(queue.deleted) != queue.sent {
			t.Errorf("%d of %d messages deleted", len(queue.deleted), queue.sent)
		}
	})
}

func TestNoReceiveWhileHandleCannotWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(1000)
		var down sync.Mutex // locked while Redis is down
		down.Lock()
		isDown := func() error {
			if down.TryLock() {
				down.Unlock()
				return nil
			}
			return errors.New("connection refused")
		}
		var probes atomic.Int64
		stop := start(t, &Poller{
			SQS: queue,
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				return events.SQSEventResponse{}, isDown()
			},
			Ready: func(context.Context) error { probes.Add(1); return isDown() },
		})
		time.Sleep(time.Hour)
		queue.do(func() {
			if n := len(queue.receives); n > 3 {
				t.Errorf("%d receives during an outage, want only the first ones", n)
			}
		})
		if probes := probes.Load(); probes < 3600/15 || probes > 2*3600/15+20 {
			t.Errorf("%d probes in an hour, want one about every 7.5 to 15 s", probes)
		}
		down.Unlock()
		time.Sleep(maxProbeDelay + time.Second)
		stop()
		if got, want := len(queue.deleted), 1000-10*3; got < want {
			t.Errorf("%d messages deleted after the outage, want at least %d", got, want)
		}
	})
}

// With a low limit, a full batch is still followed by another poll at once.
func TestAtTheLimit(t *testing.T) {
	for _, concurrency := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			queue := newFakeSQS()
			queue.latency = 10 * time.Millisecond // to receive, and again to delete
			queue.send(10_000)
			stop := start(t, &Poller{SQS: queue, Tuning: Tuning{Concurrency: concurrency}, Interval: time.Second})
			time.Sleep(time.Second)
			stop()
			if got, want := len(queue.deleted), concurrency*10*1000/20; got < want*9/10 {
				t.Errorf("concurrency %d: %d messages in a second, want about %d", concurrency, got, want)
			}
		})
	}
}

// Once the context has ended, no poll starts, whatever else happens at that moment.
func TestNoPollAfterStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		ctx, cancel := context.WithCancel(t.Context())
		asked := 0
		p := &Poller{SQS: queue, Handle: allHandled, Tuning: Tuning{WaitTime: 20 * time.Second}, Log: slog.New(slog.DiscardHandler),
			Ready: func(context.Context) error { return nil },
			Failing: func() bool {
				if asked++; asked == 2 {
					cancel()
				}
				return false
			},
		}
		p.Run(ctx)
		if n := len(queue.receives); n != 1 {
			t.Errorf("%d receives, want only the one before the end", n)
		}
	})
}

// While Handle makes no progress, no more messages are received, and those in
// flight are not given up.
func TestNoReceiveWhileFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.latency = 10 * time.Millisecond // so that Failing is true before the next polls end
		queue.send(1000)
		var failing atomic.Bool
		recovery := make(chan struct{})
		stop := start(t, &Poller{
			SQS: queue,
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				failing.Store(true)
				<-recovery
				failing.Store(false)
				return events.SQSEventResponse{}, nil
			},
			Failing: failing.Load,
		})
		time.Sleep(10 * time.Second)
		queue.do(func() {
			if n := len(queue.receives); n > 3 {
				t.Errorf("%d receives while failing, want only the first ones", n)
			}
		})
		close(recovery)
		time.Sleep(time.Second)
		stop()
		if len(queue.deleted) != 1000 {
			t.Errorf("%d messages deleted after the recovery, want 1000", len(queue.deleted))
		}
	})
}

// When no poll is in flight, a probe finds that Handle works again.
func TestRecoveryWithoutPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(20)
		var failing atomic.Bool
		var handled atomic.Int64
		stop := start(t, &Poller{
			SQS: queue,
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				failing.Store(handled.Add(1) == 1) // by the first batch alone
				return events.SQSEventResponse{}, nil
			},
			Ready:   func(context.Context) error { failing.Store(false); return nil },
			Failing: failing.Load,
			Tuning:  Tuning{Concurrency: 1},
		})
		time.Sleep(time.Minute)
		stop()
		if len(queue.deleted) != 20 {
			t.Errorf("%d messages deleted, want 20", len(queue.deleted))
		}
	})
}

// Nothing is received before Ready has returned nil.
func TestNoReceiveBeforeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		var ready atomic.Bool
		stop := start(t, &Poller{SQS: queue, Ready: func(context.Context) error {
			if !ready.Load() {
				return errors.New("not yet")
			}
			return nil
		}})
		time.Sleep(time.Minute)
		queue.do(func() {
			if len(queue.receives) > 0 {
				t.Errorf("%d receives before Ready", len(queue.receives))
			}
		})
		ready.Store(true)
		queue.send(10)
		time.Sleep(maxProbeDelay)
		stop()
		if len(queue.deleted) != 10 {
			t.Errorf("%d messages deleted, want 10", len(queue.deleted))
		}
	})
}

// The pauses grow even if Ready returns nil while Handle goes on failing.
func TestPausesGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(1_000_000)
		stop := start(t, &Poller{
			SQS: queue,
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				return events.SQSEventResponse{}, errors.New("OOM")
			},
		})
		time.Sleep(time.Hour)
		stop()
		if n := len(queue.receives); n > 2*3600/15+20 {
			t.Errorf("%d receives in an hour of failures, want one about every 7.5 to 15 s", n)
		}
	})
}

func TestReceiveErrorsSlowDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.receiveErr = errors.New("AccessDenied")
		stop := start(t, &Poller{SQS: queue})
		time.Sleep(time.Hour)
		queue.do(func() {
			if n := len(queue.receives); n < 100 || n > 1000 {
				t.Errorf("%d receives in an hour of errors", n)
			}
			queue.receiveErr = nil
		})
		queue.send(10)
		time.Sleep(maxProbeDelay + time.Second)
		stop()
		if len(queue.deleted) != 10 {
			t.Errorf("%d messages deleted after the errors, want 10", len(queue.deleted))
		}
	})
}

// A long poll ends by itself, and its messages are handled.
func TestStopDuringLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		stop := start(t, &Poller{SQS: queue})
		time.Sleep(5 * time.Second)
		begin := time.Now()
		time.AfterFunc(time.Second, func() { queue.send(3) })
		stop()
		if elapsed := time.Since(begin); elapsed != time.Second {
			t.Errorf("stopping took %v, want 1 s", elapsed)
		}
		if len(queue.deleted) != 3 || len(queue.receives) != 1 {
			t.Errorf("%d messages deleted of 3, after %d receives of 1", len(queue.deleted), len(queue.receives))
		}
	})
}

// Messages that cannot be handled before the stop timeout return to the queue
// without a delay.
func TestStopWhileHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(10)
		stop := start(t, &Poller{SQS: queue, Tuning: Tuning{Concurrency: 1, StopTimeout: 7 * time.Second}, Handle: func(ctx context.Context, _ events.SQSEvent) (events.SQSEventResponse, error) {
			<-ctx.Done() // as while Redis is down
			return events.SQSEventResponse{}, ctx.Err()
		}})
		time.Sleep(time.Second)
		begin := time.Now()
		stop()
		if elapsed := time.Since(begin); elapsed != 5*time.Second {
			t.Errorf("stopping took %v, want 2 s less than the stop timeout", elapsed)
		}
		if len(queue.deleted) > 0 {
			t.Errorf("deleted %v", queue.deleted)
		}
		for _, h := range queue.changes {
			if h.timeout != 0 {
				t.Errorf("a message returned to the queue with a delay of %v", h.timeout)
			}
		}
		if len(queue.changes) != 10 {
			t.Errorf("%d messages returned to the queue, want 10", len(queue.changes))
		}
	})
}

// Rare failures do not cause long pauses.
func TestRareFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		stop := start(t, &Poller{SQS: queue})
		defer stop()
		count := func() (n int) { queue.do(func() { n = len(queue.receives) }); return n }
		for range 12 {
			time.Sleep(time.Hour)
			before := count()
			queue.do(func() { queue.receiveErr = errors.New("blip") })
			for count() == before {
				time.Sleep(time.Millisecond)
			}
			queue.do(func() { queue.receiveErr = nil })
			time.Sleep(maxProbeDelay)
			queue.do(func() {
				if pause := queue.receives[before+1].Sub(queue.receives[before]); pause > 300*time.Millisecond {
					t.Errorf("a pause of %v after a single failure", pause)
				}
			})
		}
	})
}

func TestStopWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.receiveErr = errors.New("down")
		stop := start(t, &Poller{SQS: queue, Ready: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
		time.Sleep(time.Minute)
		begin := time.Now()
		stop()
		if elapsed := time.Since(begin); elapsed != 0 {
			t.Errorf("stopping took %v, want no time", elapsed)
		}
	})
}

func TestFailedMessagesAreKept(t *testing.T) {
	for name, c := range map[string]struct {
		failures []string
		deleted  []string
	}{
		"none":           {nil, []string{"0", "1", "2"}},
		"one":            {[]string{"1"}, []string{"0", "2"}},
		"one twice":      {[]string{"1", "1"}, []string{"0", "2"}},
		"all":            {[]string{"0", "1", "2"}, nil},
		"a stranger":     {[]string{"7"}, nil},
		"with an empty":  {[]string{""}, nil},
		"one and others": {[]string{"1", "7"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				queue.send(3)
				stop := start(t, &Poller{
					SQS: queue,
					Handle: func(_ context.Context, e events.SQSEvent) (response events.SQSEventResponse, _ error) {
						for _, id := range c.failures {
							response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
						}
						return response, nil
					},
				})
				time.Sleep(time.Second)
				stop()
				var deleted []string
				for id := range queue.deleted {
					deleted = append(deleted, id)
				}
				slices.Sort(deleted)
				if !slices.Equal(deleted, c.deleted) {
					t.Errorf("deleted %v, want %v", deleted, c.deleted)
				}
			})
		})
	}
}

func TestDeletesAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.deleteErr = func(entry, try int) (failed, senderFault bool) {
			return entry == 0 && try == 1 || entry == 3, entry == 3 // SQS's fault once; an expired receipt handle
		}
		queue.send(5)
		stop := start(t, &Poller{SQS: queue})
		time.Sleep(time.Second)
		stop()
		if len(queue.deleted) != 4 || queue.deleted["3"] != 0 || len(queue.deletes) != 2 {
			t.Errorf("deleted %v in %d calls, want all but 3 in 2 calls", queue.deleted, len(queue.deletes))
		}
	})
}

// Routes may choose by any message attribute, and the X-Ray header becomes a traceparent.
func TestAsksForAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		stop := start(t, &Poller{SQS: queue})
		time.Sleep(time.Second)
		stop()
		if names := queue.asked.MessageAttributeNames; !slices.Equal(names, []string{"All"}) || !slices.Contains(queue.asked.MessageSystemAttributeNames, "AWSTraceHeader") {
			t.Errorf("asked for %v and %v", names, queue.asked.MessageSystemAttributeNames)
		}
	})
}

func TestEvent(t *testing.T) {
	p := &Poller{QueueARN: "arn:aws:sqs:us-east-1:123456789012:app.fifo"}
	e := p.event([]types.Message{{
		MessageId:         aws.String("id"),
		ReceiptHandle:     aws.String("handle"),
		Body:              aws.String("body"),
		Attributes:        map[string]string{"MessageGroupId": "g"},
		MessageAttributes: map[string]types.MessageAttributeValue{"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-a-b-01")}},
	}})
	m := e.Records[0]
	if m.MessageId != "id" || m.ReceiptHandle != "handle" || m.Body != "body" || m.Attributes["MessageGroupId"] != "g" ||
		m.EventSource != "aws:sqs" || m.EventSourceARN != p.QueueARN || *m.MessageAttributes["traceparent"].StringValue != "00-a-b-01" {
		t.Errorf("event = %+v", m)
	}
}

// While OverLimit is true, nothing is received, but polls in flight finish.
func TestNoReceiveWhileOverLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.latency = 10 * time.Millisecond
		queue.send(10_000)
		var over atomic.Bool
		p := &Poller{SQS: queue, OverLimit: over.Load}
		stop := start(t, p)
		time.Sleep(50 * time.Millisecond)
		over.Store(true)
		time.Sleep(time.Second)
		var before, deleted int
		queue.do(func() { before, deleted = len(queue.receives), len(queue.deleted) })
		time.Sleep(time.Hour)
		queue.do(func() {
			if n := len(queue.receives) - before; n > 0 || queue.receiving > 0 {
				t.Errorf("%d receives while over the limit", n)
			}
			if len(queue.deleted) != deleted || deleted != 10_000-len(queue.messages) {
				t.Errorf("%d messages deleted, then %d, of %d received", deleted, len(queue.deleted), 10_000-len(queue.messages))
			}
		})
		if s := p.Stats(); s.BreakerOpen || !s.Started {
			t.Errorf("stats %+v: a limit is no failure", s)
		}
		over.Store(false)
		time.Sleep(10 * time.Second)
		stop()
		if len(queue.deleted) != 10_000 {
			t.Errorf("%d messages deleted, want all", len(queue.deleted))
		}
	})
}

// A new tuning applies to the next polls and cancels none.
func TestTune(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.latency = 10 * time.Millisecond
		queue.send(100_000)
		p := &Poller{SQS: queue, Tuning: Tuning{Concurrency: 2}}
		stop := start(t, p)
		maxPolls := func(d time.Duration) (n int) {
			time.Sleep(time.Second)
			queue.do(func() { queue.maxAtOnce = 0 })
			time.Sleep(d)
			queue.do(func() { n = queue.maxAtOnce })
			return n
		}
		if n := maxPolls(time.Second); n > 2 {
			t.Errorf("%d polls at once, want at most 2", n)
		}
		p.Tune(Tuning{Concurrency: 8, WaitTime: time.Second})
		if n := maxPolls(time.Second); n < 3 || n > 8 {
			t.Errorf("%d polls at once, want up to 8", n)
		}
		p.Tune(Tuning{Concurrency: 1, WaitTime: time.Second})
		if n := maxPolls(time.Second); n != 1 {
			t.Errorf("%d polls at once, want 1", n)
		}
		time.Sleep(5 * time.Minute) // until the queue is empty
		begin := time.Now()
		stop()
		if elapsed := time.Since(begin); elapsed > time.Second+50*time.Millisecond {
			t.Errorf("the last long poll took %v, want the new wait time", elapsed)
		}
		if len(queue.deleted) != 100_000 {
			t.Errorf("%d messages deleted, want all", len(queue.deleted))
		}
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.deleteErr = func(entry, _ int) (failed, senderFault bool) { return entry == 0, true }
		p := &Poller{SQS: queue, Handle: func(_ context.Context, e events.SQSEvent) (response events.SQSEventResponse, _ error) {
			return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{{ItemIdentifier: e.Records[0].MessageId}}}, nil
		}}
		stop := start(t, p)
		queue.send(5)
		time.Sleep(30 * time.Second)
		s := p.Stats()
		if idle := time.Since(s.LoopedAt); idle > time.Second {
			t.Errorf("the loop turned %v ago", idle)
		}
		s.LoopedAt = time.Time{}
		if want := (Stats{Receives: Receives{Messages: 1, Empty: 1}, Received: 5, Deleted: 3, DeletesFailed: 1, PollsInFlight: 1, ReceivesInFlight: 1, Started: true}); s != want {
			t.Errorf("stats\n got %+v\nwant %+v", s, want)
		}
		queue.do(func() { queue.receiveErr = errors.New("AccessDenied") })
		time.Sleep(25 * time.Second)
		if s := p.Stats(); !s.BreakerOpen || s.Receives.Errors == 0 || s.Error != "receiving messages: AccessDenied" {
			t.Errorf("stats %+v", s)
		}
		queue.do(func() { queue.receiveErr = nil })
		time.Sleep(45 * time.Second)
		if s := p.Stats(); s.BreakerOpen || s.Error != "" {
			t.Errorf("stats %+v", s)
		}
		stop()
	})
}

// A failure is noticed while the queue is idle, before a message arrives.
func TestFailureIsNoticedWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		var down atomic.Bool
		p := &Poller{SQS: queue, Ready: func(context.Context) error {
			if down.Load() {
				return errors.New("connection refused")
			}
			return nil
		}}
		stop := start(t, p)
		time.Sleep(time.Minute)
		down.Store(true)
		time.Sleep(25 * time.Second) // a long poll, and a moment
		if !p.Stats().BreakerOpen {
			t.Error("the failure was not noticed")
		}
		before := 0
		queue.do(func() { before = len(queue.receives) })
		time.Sleep(time.Hour)
		queue.do(func() {
			if n := len(queue.receives) - before; n > 0 {
				t.Errorf("%d receives during an outage", n)
			}
		})
		down.Store(false)
		time.Sleep(maxProbeDelay)
		if p.Stats().BreakerOpen {
			t.Error("the end of the failure was not noticed")
		}
		stop()
	})
}

// While SQS fails, the breaker stays open although Ready returns nil.
func TestOpenUntilReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		p := &Poller{SQS: queue}
		stop := start(t, p)
		time.Sleep(time.Minute)
		queue.do(func() { queue.receiveErr = errors.New("no such host") })
		time.Sleep(30 * time.Second)
		for range 600 {
			if !p.Stats().BreakerOpen {
				t.Fatal("the breaker was closed while SQS failed")
			}
			time.Sleep(time.Second)
		}
		queue.do(func() { queue.receiveErr = nil })
		time.Sleep(maxProbeDelay + 21*time.Second)
		if p.Stats().BreakerOpen {
			t.Error("the breaker stayed open")
		}
		stop()
	})
}

// A receive that fails while stopping says nothing about Handle: the messages of
// the other polls are handled.
func TestFailedReceiveWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(10)
		stop := start(t, &Poller{SQS: queue, Tuning: Tuning{Concurrency: 2}})
		time.Sleep(time.Second) // two long polls wait
		time.AfterFunc(time.Second, func() { queue.do(func() { queue.interrupt = errors.New("connection reset") }); queue.send(1) })
		time.AfterFunc(2*time.Second, func() { queue.send(10) })
		stop()
		if len(queue.changes) > 0 || len(queue.deleted) != 20 {
			t.Errorf("%d messages deleted, %d returned to the queue, want 20 and none", len(queue.deleted), len(queue.changes))
		}
	})
}

// Stopping takes no longer than the stop timeout, even if SQS hangs.
func TestStopWhileSQSHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(13)
		queue.hang = true
		stop := start(t, &Poller{SQS: queue, Tuning: Tuning{StopTimeout: 10 * time.Second}})
		time.Sleep(time.Second)
		begin := time.Now()
		stop()
		if elapsed := time.Since(begin); elapsed > 10*time.Second {
			t.Errorf("stopping took %v, want at most 10 s", elapsed)
		}
	})
}

// The end of an outage is logged once, even if no message arrives for long.
func TestResumedIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.receiveErr = errors.New("no such host")
		var log bytes.Buffer
		stop := start(t, &Poller{SQS: queue, Log: slog.New(slog.NewTextHandler(&log, nil))})
		time.Sleep(time.Millisecond)
		queue.do(func() { queue.receiveErr = nil })
		time.Sleep(10 * time.Minute)
		stop()
		if n := bytes.Count(log.Bytes(), []byte("polling resumed")); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
	})
}

// Messages that return to the queue during an outage because the poller stops are no sign that the
// outage is over.
func TestNotResumedByStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := newFakeSQS()
		queue.send(10)
		var log bytes.Buffer
		down := errors.New("down")
		var broken atomic.Bool
		stop := start(t, &Poller{
			SQS: queue,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
				time.Sleep(time.Second) // meanwhile, a long poll begins
				broken.Store(true)
				return events.SQSEventResponse{}, down
			},
			Ready: func(context.Context) error {
				if broken.Load() {
					return down
				}
				return nil
			},
		})
		time.Sleep(5 * time.Second)
		time.AfterFunc(time.Second, func() { queue.send(1) })
		stop()
		if n := len(queue.changes); n != 11 {
			t.Fatalf("%d messages returned to the queue, want 11", n)
		}
		if !strings.Contains(log.String(), "polling paused") || strings.Contains(log.String(), "polling resumed") {
			t.Errorf("log:\n%s", &log)
		}
	})
}

// A batch that was handled, but after which Failing is true, such as one that was pushed without
// marks, is the last one until Ready returns nil.
func TestNoReceiveUntilReadyAfterFailing(t *testing.T) {
	for _, concurrency := range []int{1, 64} {
		synctest.Test(t, func(t *testing.T) {
			queue := newFakeSQS()
			queue.latency = 10 * time.Millisecond
			queue.send(1000)
			var denied, failing atomic.Bool
			var batches, unmarked atomic.Int64
			var log bytes.Buffer
			p := &Poller{SQS: queue, Tuning: Tuning{Concurrency: concurrency}, Log: slog.New(slog.NewTextHandler(&log, nil)),
				Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
					denied.Store(denied.Load() || batches.Add(1) == 1)
					if denied.Load() {
						unmarked.Add(1)
						failing.Store(true)
					}
					return events.SQSEventResponse{}, nil
				},
				Failing: failing.Load,
				Ready: func(context.Context) error {
					if denied.Load() {
						return errors.New("NOPERM this user has no permissions to run the 'set' command")
					}
					failing.Store(false)
					return nil
				},
			}
			stop := start(t, p)
			time.Sleep(10 * time.Minute)
			if n := unmarked.Load(); n != 1 {
				t.Errorf("%d batches were pushed without marks, want only the first", n)
			}
			if s := p.Stats(); !s.BreakerOpen || !strings.Contains(s.Error, "NOPERM") {
				t.Errorf("stats %+v, want the reason", s)
			}
			denied.Store(false)
			time.Sleep(maxProbeDelay + 30*time.Second)
			stop()
			if len(queue.deleted) != 1000 {
				t.Errorf("%d messages deleted after the recovery, want all", len(queue.deleted))
			}
			if !strings.Contains(log.String(), "polling paused") || strings.Count(log.String(), "polling resumed") != 1 {
				t.Errorf("log:\n%s", &log)
			}
		})
	}
}
