package handler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-lambda-go/events"

	"scout/internal/test/env"
	"scout/sidekiq"
)

// pusher makes a function a Pusher.
type pusher func(context.Context, []sidekiq.Job) ([]sidekiq.Result, error)

func (p pusher) Push(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
	return p(ctx, jobs)
}

// newTestHandler returns a handler that pushes to an embedded Redis.
func newTestHandler(t *testing.T) (*Handler, *miniredis.Miniredis) {
	t.Helper()
	server := miniredis.RunT(t)
	client, err := sidekiq.NewClient(sidekiq.Options{URL: "redis://" + server.Addr(), DedupTTL: time.Hour, RetryFor: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return &Handler{Router: testRouter, Client: client, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}, server
}

// event returns a batch of the messages, with the ids m0, m1 and so on.
func event(messages ...*events.SQSMessage) events.SQSEvent {
	var e events.SQSEvent
	for i, m := range messages {
		m.MessageId = fmt.Sprint("m", i)
		m.Body = strings.Replace(m.Body, `"sns-1"`, fmt.Sprintf(`"sns-%d"`, i), 1)
		e.Records = append(e.Records, *m)
	}
	return e
}

// failed returns the ids in a response, separated by spaces.
func failed(response events.SQSEventResponse) string {
	var ids []string
	for _, f := range response.BatchItemFailures {
		ids = append(ids, f.ItemIdentifier)
	}
	return strings.Join(ids, " ")
}

// args returns the arguments of the jobs in a queue, in the order in which
// Sidekiq runs them, separated by spaces.
func args(t *testing.T, server *miniredis.Miniredis, queue string) string {
	t.Helper()
	return strings.Join(env.Arguments(env.Queued(t, server.Addr(), "queue:"+queue)), " ")
}

func TestHandlePartialBatch(t *testing.T) {
	h, server := newTestHandler(t)
	batch := event(notification("orders", "1"), notification("nowhere", "2"), notification("orders", "3"), &events.SQSMessage{Body: "poison"}, notification("orders", `{"a":1e999}`), notification("orders", "4"))
	batch.Records[2].Attributes["SentTimestamp"] = fmt.Sprint(time.Now().Add(-time.Minute).UnixMilli())
	response, stats, err := h.Process(t.Context(), batch)
	if err != nil || failed(response) != "m1 m3 m4" {
		t.Errorf("failed = %q, %v; want m1 m3 m4", failed(response), err)
	}
	if got := args(t, server, "default"); got != "1 3 4" {
		t.Errorf("queue = %s, want 1 3 4", got)
	}
	if stats.Received != 6 || stats.Enqueued != 3 || stats.Duplicate != 0 || stats.Failed[ReasonNoRoute] != 1 || stats.Failed[ReasonNotEnvelope] != 1 || stats.Failed[ReasonUnacceptable] != 1 {
		t.Errorf("stats = %+v", stats)
	}
	if stats.Push <= 0 || stats.Age < time.Minute || stats.Age > 2*time.Minute {
		t.Errorf("push %v, age %v", stats.Push, stats.Age)
	}

	response, stats, err = h.Process(t.Context(), batch) // redelivered
	if err != nil || failed(response) != "m1 m3 m4" || args(t, server, "default") != "1 3 4" {
		t.Errorf("redelivered: failed = %q, %v; queue = %s", failed(response), err, args(t, server, "default"))
	}
	if stats.Enqueued != 0 || stats.Duplicate != 3 {
		t.Errorf("redelivered: stats = %+v", stats)
	}
}

func TestHandleNoJobs(t *testing.T) {
	h := &Handler{Router: testRouter, Client: pusher(func(context.Context, []sidekiq.Job) ([]sidekiq.Result, error) {
		t.Error("Push was called without jobs")
		return nil, nil
	})}
	for name, e := range map[string]events.SQSEvent{"empty": {}, "all rejected": event(notification("nowhere", "1"))} {
		if _, err := h.Handle(t.Context(), e); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHandleSeveralWorkers(t *testing.T) {
	h, server := newTestHandler(t)
	server.Set("queue:low", "of another type")
	response, err := h.Handle(t.Context(), event(notification("fan", "1"), notification("orders", "2")))
	if err != nil || failed(response) != "m0" {
		t.Errorf("failed = %q, %v; want m0, because one of its two jobs was not pushed", failed(response), err)
	}
	server.Del("queue:low")
	response, err = h.Handle(t.Context(), event(notification("fan", "1")))
	if err != nil || failed(response) != "" {
		t.Errorf("after the repair: failed = %q, %v", failed(response), err)
	}
	for queue, want := range map[string]int{"default": 2, "low": 1} {
		if jobs, _ := server.List("queue:" + queue); len(jobs) != want {
			t.Errorf("%d jobs in %s, want %d", len(jobs), queue, want)
		}
	}
}

func TestHandleRedisDown(t *testing.T) {
	h, server := newTestHandler(t)
	server.Close()
	if response, err := h.Handle(t.Context(), event(notification("orders", "1"), &events.SQSMessage{Body: "poison"})); err == nil {
		t.Errorf("response = %v and no error, though Redis took nothing", response)
	}
	if response, err := h.Handle(t.Context(), event(&events.SQSMessage{Body: "poison"})); err != nil || failed(response) != "m0" {
		t.Errorf("failed = %q, %v; want m0 and no error, because Redis was not needed", failed(response), err)
	}
}

// Messages whose jobs Redis took are done; only the others are redelivered.
func TestHandleRedisTookSome(t *testing.T) {
	down := errors.New("connection refused")
	h := &Handler{
		Router: testRouter,
		Client: pusher(func(_ context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
			return []sidekiq.Result{{Outcome: sidekiq.Duplicate}, {Err: down}, {Outcome: sidekiq.Unmarked}, {Err: fmt.Errorf("%w: WRONGTYPE", sidekiq.ErrQueue)}}, down
		}),
	}
	response, stats, err := h.Process(t.Context(), event(notification("orders", "1"), notification("orders", "2"), notification("orders", "3"), notification("orders", "4")))
	if err != nil || failed(response) != "m1 m3" {
		t.Errorf("failed = %q, %v; want m1 m3", failed(response), err)
	}
	if stats.Duplicate != 1 || stats.Enqueued != 1 || stats.Failed[ReasonRedis] != 1 || stats.Failed[ReasonQueue] != 1 {
		t.Errorf("stats = %+v", stats)
	}
}

func TestHandleFIFO(t *testing.T) {
	h, server := newTestHandler(t)
	server.Set("queue:low", "of another type")
	var batch events.SQSEvent
	for i, c := range []struct{ topic, group string }{
		{"orders", "a"}, {"orders", "b"}, {"nowhere", "a"}, {"orders", "a"}, {"audit-1", "b"}, {"orders", "b"}, {"orders", "c"},
	} {
		m := notification(c.topic, fmt.Sprint(i))
		m.MessageId = fmt.Sprint("m", i)
		m.Body = strings.Replace(m.Body, `"sns-1"`, fmt.Sprintf(`"sns-%d"`, i), 1)
		m.Attributes["MessageGroupId"] = c.group
		m.EventSourceARN = "arn:aws:sqs:us-east-1:123456789012:app.fifo"
		batch.Records = append(batch.Records, *m)
	}
	response, stats, err := h.Process(t.Context(), batch)
	if err != nil || failed(response) != "m2 m3 m4 m5" {
		t.Errorf("failed = %q, %v; want m2 m3 (after a message without a route) m4 m5 (after a job that was not pushed)", failed(response), err)
	}
	if got := args(t, server, "default"); got != "0 1 6" {
		t.Errorf("queue = %s, want 0 1 6", got)
	}
	if stats.Failed[ReasonHeldBack] != 2 || stats.Failed[ReasonNoRoute] != 1 || stats.Failed[ReasonQueue] != 1 {
		t.Errorf("stats = %+v", stats)
	}

	for i := range batch.Records { // without the queue's ARN, the messages stay in order
		batch.Records[i].EventSourceARN = ""
	}
	if response, err := h.Handle(t.Context(), batch); err != nil || failed(response) != "m2 m3 m4 m5" {
		t.Errorf("without the queue's ARN: failed = %q, %v; want m2 m3 m4 m5", failed(response), err)
	}
	for i := range batch.Records { // a standard queue with groups for fairness
		batch.Records[i].EventSourceARN = "arn:aws:sqs:us-east-1:123456789012:app"
	}
	if response, err := h.Handle(t.Context(), batch); err != nil || failed(response) != "m2 m4" {
		t.Errorf("standard queue: failed = %q, %v; want m2 m4", failed(response), err)
	}
}

func TestHandleMessageWithoutID(t *testing.T) {
	h, server := newTestHandler(t)
	good := event(notification("orders", "1"), notification("orders", "2"))
	good.Records[0].MessageId = ""
	if response, err := h.Handle(t.Context(), good); err != nil || failed(response) != "" {
		t.Errorf("failed = %q, %v; want none", failed(response), err)
	}
	bad := event(notification("nowhere", "1"), notification("orders", "2"), notification("orders", "3"))
	bad.Records[0].MessageId = ""
	if response, err := h.Handle(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "message 1 of the batch has no id") {
		t.Errorf("failed = %q, %v; want an error, because a failed message that is not listed would be deleted", failed(response), err)
	}
	if got := args(t, server, "default"); got != "1 2 3" {
		t.Errorf("queue = %s, want 1 2 3", got)
	}
}

func TestHandleListsAnIDOnce(t *testing.T) {
	h, _ := newTestHandler(t)
	e := event(notification("nowhere", "1"), notification("nowhere", "2"))
	e.Records[1].MessageId = "m0"
	if response, err := h.Handle(t.Context(), e); err != nil || failed(response) != "m0" {
		t.Errorf("failed = %q, %v; want m0 once", failed(response), err)
	}
}

func TestHandlePanics(t *testing.T) {
	var log bytes.Buffer
	h := &Handler{Router: nil, Client: nil, Log: slog.New(slog.NewTextHandler(&log, nil))}
	response, err := h.Handle(t.Context(), event(notification("orders", "1"), &events.SQSMessage{Body: "poison"}))
	if err != nil || failed(response) != "m0 m1" {
		t.Errorf("failed = %q, %v; want m0 m1", failed(response), err)
	}
	h.Router = testRouter
	if response, err := h.Handle(t.Context(), event(notification("orders", "1"))); err == nil {
		t.Errorf("failed = %q and no error after a panic in Push", failed(response))
	}
	if !strings.Contains(log.String(), "handler.go") {
		t.Error("the log does not show where the panic happened")
	}
}

func TestHandleKeepsTimeToRespond(t *testing.T) {
	for _, c := range []struct{ timeout, margin time.Duration }{
		{time.Minute, 6 * time.Second}, {5 * time.Second, time.Second}, {time.Second, 500 * time.Millisecond},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
		defer cancel()
		deadline, _ := ctx.Deadline()
		h := &Handler{Router: testRouter, Client: pusher(func(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
			d, ok := ctx.Deadline()
			if margin := deadline.Sub(d); !ok || (margin-c.margin).Abs() > 50*time.Millisecond {
				t.Errorf("of %v, %v are kept for the response, want %v", c.timeout, margin, c.margin)
			}
			return []sidekiq.Result{{Outcome: sidekiq.Enqueued}}, nil
		})}
		if _, err := h.Handle(ctx, event(notification("orders", "1"))); err != nil {
			t.Error(err)
		}
	}
}

func TestHandlePastDeadline(t *testing.T) {
	h, server := newTestHandler(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if response, err := h.Handle(ctx, event(notification("orders", "1"))); err == nil {
		t.Errorf("failed = %q and no error, though nothing was pushed", failed(response))
	}
	if got := args(t, server, "default"); got != "" {
		t.Errorf("queue = %s, want nothing", got)
	}
}

func TestLogsShowNoContent(t *testing.T) {
	var log bytes.Buffer
	h, server := newTestHandler(t)
	h.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server.Set("queue:low", "of another type")
	for _, message := range []string{`{"s3cret":1,"s3cret":2}`, `s3cret`, `{"s3cret":1e999}`} {
		_, _ = h.Handle(t.Context(), event(notification("orders", message), notification("audit-1", message), &events.SQSMessage{Body: message}))
	}
	if strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "message rejected") {
		t.Errorf("log:\n%s", log.String())
	}
}

// logLines returns the attributes in the log's lines with the given text, up to
// the jid if there is one.
func logLines(log, text string) string {
	var lines []string
	for line := range strings.Lines(log) {
		if _, attrs, ok := strings.Cut(strings.TrimSpace(line), "msg="+strconv.Quote(text)+" "); ok {
			attrs, _, _ = strings.Cut(attrs, " jid=")
			lines = append(lines, attrs)
		}
	}
	return strings.Join(lines, "\n")
}

func TestLogNamesMessagesAndJobs(t *testing.T) {
	var log bytes.Buffer
	h, _ := newTestHandler(t)
	h.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	batch := event(notification("aj", "1"), notification("nowhere", "2"), &events.SQSMessage{Body: "poison", Attributes: map[string]string{"ApproximateReceiveCount": "4"}})
	batch.Records[1].Body = strings.Replace(batch.Records[1].Body, "sns-1", `\u001b[31m`+strings.Repeat("x", 1000), 1)
	for _, maximum := range []int{0, 5} {
		log.Reset()
		h.MaxReceiveCount = maximum
		if _, err := h.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		enqueued, maxCount := "job enqueued", ""
		if maximum > 0 {
			enqueued, maxCount = "job was a duplicate", " max_receive_count=5"
		}
		if got, want := logLines(log.String(), enqueued), "sqs_message_id=m0 sns_message_id=sns-0 topic=aj class=SyncJob queue=default"; got != want {
			t.Errorf("%s: got  %s\nwant %s", enqueued, got, want)
		}
		want := `sqs_message_id=m1 sns_message_id=\u001b[31m` + strings.Repeat("x", 90) + `… topic=nowhere reason=no_route error="no worker is configured for the topic \"nowhere\"; add the topic to the configuration, or end its subscription" receive_count=2` + maxCount + "\n" +
			`sqs_message_id=m2 sns_message_id="" topic="" reason=not_envelope error="the body is not an SNS envelope: not JSON: expected a value at byte 0; if it comes from SNS, turn off raw message delivery on the subscription, or set queue.plain to take such messages" receive_count=4` + maxCount
		if got := logLines(log.String(), "message rejected"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// What SQS, or an endpoint in its place, calls a message is bounded in the log.
func TestLogBoundsIDs(t *testing.T) {
	long := "\x1b[31m" + strings.Repeat("x", 100_000)
	for name, group := range map[string]string{"standard": "", "FIFO": "g"} {
		var log bytes.Buffer
		h, _ := newTestHandler(t)
		h.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		batch := event(notification("nowhere", "1"), notification("orders", "2"), notification("debug", "3"))
		for i := range batch.Records {
			m := &batch.Records[i]
			m.MessageId = fmt.Sprint(long, i)
			m.Attributes = map[string]string{"ApproximateReceiveCount": long}
			if i < 2 && group != "" {
				m.Attributes["MessageGroupId"] = group
			}
		}
		if _, err := h.Handle(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		if n := log.Len(); n > 3000 || bytes.Contains(log.Bytes(), []byte("\x1b")) {
			t.Errorf("%s: %d bytes of log:\n%.3000s", name, n, log.String())
		}
	}
}

func TestReleaseBodies(t *testing.T) {
	for _, release := range []bool{false, true} {
		batch := event(notification("orders", "1"), &events.SQSMessage{Body: "poison"})
		h := &Handler{
			Router: testRouter, Log: slog.New(slog.DiscardHandler), ReleaseBodies: release,
			Client: pusher(func(_ context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
				if (batch.Records[0].Body == "") != release || (batch.Records[1].Body == "") != release {
					t.Errorf("ReleaseBodies %t: while pushing, the bodies are %q and %q", release, batch.Records[0].Body, batch.Records[1].Body)
				}
				return []sidekiq.Result{{Outcome: sidekiq.Enqueued}}, nil
			}),
		}
		if response, err := h.Handle(t.Context(), batch); err != nil || failed(response) != "m1" {
			t.Errorf("failed = %q, %v; want m1", failed(response), err)
		}
	}
}

// Besides the jobs themselves, translating a batch takes memory for a few copies
// of its largest message, not of all.
func TestTranslatesLargeMessagesInLittleMemory(t *testing.T) {
	for name, message := range map[string]string{
		"JSON":              `{"s":"` + strings.Repeat("x", 200_000) + `"}`,
		"JSON with escapes": `{"s":"` + strings.Repeat(`x\n`, 60_000) + `"}`,
		"text":              strings.Repeat("line\n", 40_000),
	} {
		t.Run(name, func(t *testing.T) {
			records := make([]events.SQSMessage, 10)
			for i := range records {
				records[i] = *notification("orders", message)
			}
			h := &Handler{Router: testRouter, Log: slog.New(slog.DiscardHandler)}
			b := newBatch(records)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			h.translateMessages(t.Context(), b, time.Now())
			runtime.ReadMemStats(&after)
			want := 7 * len(records[0].Body)
			for _, job := range b.jobs {
				want += len(job.Payload)
			}
			if got := after.TotalAlloc - before.TotalAlloc; len(b.jobs) != len(records) || got > uint64(want) {
				t.Errorf("%d bytes were allocated for %d jobs, want at most %d", got, len(b.jobs), want)
			}
		})
	}
}

func TestHandleLatencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Handler{
			Router: testRouter,
			Log:    slog.New(slog.NewTextHandler(t.Output(), nil)),
			Client: pusher(func(context.Context, []sidekiq.Job) ([]sidekiq.Result, error) {
				time.Sleep(2 * time.Second)
				return []sidekiq.Result{
					{Outcome: sidekiq.Enqueued},
					{Outcome: sidekiq.Duplicate}, {Outcome: sidekiq.Unmarked}, // both of one message
					{Outcome: sidekiq.Duplicate},
					{Err: errors.New("WRONGTYPE")},
					{Outcome: sidekiq.Enqueued},
					{Outcome: sidekiq.Enqueued},
				}, nil
			}),
		}
		batch := event(notification("orders", "1"), notification("fan", "2"), notification("orders", "3"), notification("orders", "4"),
			notification("nowhere", "5"), notification("orders", "6"), notification("orders", "7"))
		for i, age := range []time.Duration{time.Minute, time.Second, time.Hour, time.Hour, time.Hour, -time.Minute} {
			batch.Records[i].Attributes["SentTimestamp"] = fmt.Sprint(time.Now().Add(-age).UnixMilli())
		}
		_, stats, err := h.Process(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		// The message from the future counts as just sent; the one without a time does not count.
		if want := []time.Duration{62 * time.Second, 3 * time.Second, 0}; !slices.Equal(stats.Latencies, want) {
			t.Errorf("latencies = %v, want %v", stats.Latencies, want)
		}
		if stats.Enqueued != 4 || stats.Age != time.Hour {
			t.Errorf("stats = %+v", stats)
		}
	})
}

// BenchmarkDecode measures the part of Handle without I/O: from messages to jobs.
func BenchmarkDecode(b *testing.B) {
	h := &Handler{Router: testRouter}
	benchmarkBatches(b, func(e events.SQSEvent) error {
		batch := newBatch(e.Records)
		h.translateMessages(b.Context(), batch, time.Now())
		return errors.Join(batch.failures...)
	})
}

func BenchmarkHandle(b *testing.B) {
	done := pusher(func(_ context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
		results := make([]sidekiq.Result, len(jobs))
		for i := range results {
			results[i].Outcome = sidekiq.Enqueued
		}
		return results, nil
	})
	h := &Handler{Router: testRouter, Client: done, Log: slog.New(slog.DiscardHandler)}
	benchmarkBatches(b, func(e events.SQSEvent) error {
		_, err := h.Handle(b.Context(), e)
		return err
	})
}

// benchmarkBatches measures what is done with batches of several sizes, of
// messages of about 1 KB.
func benchmarkBatches(b *testing.B, do func(events.SQSEvent) error) {
	message := `{"order":{"id":123456789,"lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"ABC-123","quantity":2,"price":12.5},`, 18), ",") + `]}}`
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			messages := make([]*events.SQSMessage, n)
			for i := range messages {
				messages[i] = notification("orders", message)
			}
			e := event(messages...)
			b.ReportAllocs()
			for b.Loop() {
				if err := do(e); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
		})
	}
}

// With Detailed, Process also returns the outcome of each message.
func TestProcessDetailed(t *testing.T) {
	h, server := newTestHandler(t)
	h.Detailed = true
	server.Set("queue:low", "of another type")
	batch := event(notification("orders", "1"), notification("nowhere", "2"), notification("fan", "3"))
	_, stats, err := h.Process(t.Context(), batch)
	if err != nil || len(stats.Results) != 3 {
		t.Fatalf("%d results, %v", len(stats.Results), err)
	}
	first, second, third := stats.Results[0], stats.Results[1], stats.Results[2]
	if first.Message.Body != batch.Records[0].Body || first.Translation.Route != "orders" || first.Err != nil || first.Reason() != "" {
		t.Errorf("the first is %+v", first)
	}
	if len(first.Pushed) != 1 || first.Pushed[0].Outcome != sidekiq.Enqueued || !bytes.Contains(first.Translation.Jobs[0].Payload, []byte(`"args":[1]`)) {
		t.Errorf("the job of the first is %+v, %+v", first.Translation.Jobs, first.Pushed)
	}
	if second.Reason() != ReasonNoRoute || second.Translation.Label != "nowhere" || len(second.Pushed) != 0 {
		t.Errorf("the second is %+v", second)
	}
	if third.Reason() != ReasonQueue || len(third.Translation.Jobs) != 2 || len(third.Pushed) != 2 || (third.Pushed[0].Err == nil) == (third.Pushed[1].Err == nil) {
		t.Errorf("the third is %+v", third)
	}
	h.Detailed = false
	if _, stats, _ := h.Process(t.Context(), batch); stats.Results != nil {
		t.Errorf("without Detailed: %+v", stats.Results)
	}
}
