package main

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"scout/handler"
	"scout/internal/devstack"
	"scout/sidekiq"
)

// newResult returns the Result of a message of the topic orders. Its job has the given
// arguments.
func newResult(args string, pushed ...sidekiq.Result) handler.Result {
	r := handler.Result{
		Message:     &events.SQSMessage{MessageId: "sqs-id-1234", Attributes: map[string]string{"ApproximateReceiveCount": "2"}},
		Translation: handler.Translation{Source: handler.SourceSNS, Label: "orders", MessageID: "sns-id-1234"},
		Pushed:      pushed,
	}
	for range pushed {
		r.Translation.Jobs = append(r.Translation.Jobs, sidekiq.Job{JID: "9648e0ef0123456789abcdef", Class: "OrderWorker", Queue: "default", Payload: []byte(`{"class":"OrderWorker","args":` + args + `}`)})
	}
	return r
}

// printed returns the output for a result, with a fixed clock.
func printed(p *messagePrinter, r handler.Result) string {
	var b bytes.Buffer
	p.w = &b
	p.observe(handler.Stats{Received: 1, Results: []handler.Result{r}})
	return regexp.MustCompile(`(?m)^(\x1b\[2m)?\d\d:\d\d:\d\d `).ReplaceAllString(b.String(), "${1}00:00:00 ")
}

func TestPrintsMessages(t *testing.T) {
	enqueued, duplicate := sidekiq.Result{Outcome: sidekiq.Enqueued}, sidekiq.Result{Outcome: sidekiq.Duplicate}
	rejected := newResult("")
	rejected.Err = &handler.Rejection{Reason: handler.ReasonNoRoute, Detail: "no worker"}
	dead := rejected
	dead.Dead = true
	ignored := newResult("")
	ignored.Translation.Ignored = true
	heldBack := handler.Result{Message: &events.SQSMessage{MessageId: "sqs-id-1234", EventSourceARN: "arn:aws:sqs:us-east-1:1:app.fifo"}, Err: &handler.Rejection{Reason: handler.ReasonHeldBack, Detail: "an earlier message failed"}}
	failed := newResult("[1]", enqueued, sidekiq.Result{Err: errors.New("no\x1broom")})
	failed.Err = errors.New("no\x1broom")
	for name, test := range map[string]struct {
		result handler.Result
		want   string
	}{
		"enqueued":     {newResult(`[{"id":1}]`, enqueued), "00:00:00 ✓ orders 9648e0ef → OrderWorker (default) {\"id\":1}\n"},
		"duplicate":    {newResult(`[1]`, duplicate), "00:00:00 = orders 9648e0ef → OrderWorker (default) duplicate\n"},
		"ignored":      {ignored, "00:00:00 · orders sns-id-… ignored\n"},
		"rejected":     {rejected, "00:00:00 ✗ orders sns-id-… rejected: no worker (no_route, receive 2 of 5)\n"},
		"dead":         {dead, "00:00:00 ✗ orders sns-id-… rejected: no worker (no_route, receive 2 of 5, in the dead set)\n"},
		"held back":    {heldBack, "00:00:00 ✗ app.fifo sqs-id-… failed: an earlier message failed (held_back)\n"},
		"half failed":  {failed, "00:00:00 ✓ orders 9648e0ef → OrderWorker (default) 1\n00:00:00 ✗ orders 9648e0ef → OrderWorker (default) failed: no\\u001broom\n"},
		"bidi":         {newResult("[\"\u202e\"]", enqueued), "00:00:00 ✓ orders 9648e0ef → OrderWorker (default) \"\\u202e\"\n"},
		"several args": {newResult(`[{"id": 1.0}, "x"]`, enqueued), "00:00:00 ✓ orders 9648e0ef → OrderWorker (default) {\"id\":1.0}, \"x\"\n"},
	} {
		if got := printed(newMessagePrinter(nil, false), test.result); got != test.want {
			t.Errorf("%s: got\n%swant\n%s", name, got, test.want)
		}
	}
}

func TestCutsLinesToTheTerminal(t *testing.T) {
	long := newResult(`["`+strings.Repeat("ü", 500)+`"]`, sidekiq.Result{Outcome: sidekiq.Enqueued})
	for width, want := range map[int]int{0: maxLine, 80: 80, 300: 300, 10: 0} {
		p := newMessagePrinter(nil, false)
		p.width = func() int { return width }
		line := strings.TrimSuffix(printed(p, long), "\n")
		if n := utf8.RuneCountInString(line); want > 0 && n != want || !strings.HasSuffix(line, "…") {
			t.Errorf("in a terminal of %d columns, the line has %d: %s", width, n, line)
		}
		p.verbose, p.color = true, true
		if got := printed(p, long); strings.Count(got, "ü") < 500 || !strings.Contains(got, "\x1b[32m✓ \x1b[0morders") || strings.Count(got, "\n") != 2 {
			t.Errorf("verbose and in color: %q", got)
		}
	}
}

// TestDeadLetterNamesItsMessage checks that the line of a dead letter has the topic
// and id that the lines of its rejections have.
func TestDeadLetterNamesItsMessage(t *testing.T) {
	var b bytes.Buffer
	p := newMessagePrinter(&b, false)
	r := newResult("")
	r.Err = &handler.Rejection{Reason: handler.ReasonNoRoute, Detail: "no worker"}
	printed(p, r)
	p.w = &b
	for range 2 {
		p.printDeadLetter(devstack.DeadLetter{MessageID: r.Message.MessageId, Queue: "app", DeadLetterQueue: "app_dead", Receives: 5})
	}
	if got := b.String(); !strings.Contains(got, " † orders sns-id-… moved to the dead-letter queue app_dead after 5 receives\n") || !strings.Contains(got, " † app sqs-id-… moved") {
		t.Errorf("printed %s", got)
	}
	p.observe(handler.Stats{Failed: map[handler.Reason]int{handler.ReasonRedis: 1, handler.ReasonHeldBack: 1, handler.ReasonNoRoute: 2}})
	p.summary()
	if got := b.String(); !regexp.MustCompile(`failed, held_back +1\nrejected, no_route +2\nfailed, redis +1\nmoved to a dead-letter queue +2\n`).MatchString(got) {
		t.Errorf("the summary is %s", got)
	}
}

// TestDevLog checks the lines of the log of scout dev.
func TestDevLog(t *testing.T) {
	var b bytes.Buffer
	log := newLog(&b, newDevLog)
	log.Info("polling started", "queue", "x")
	log.Warn("message rejected", "topic", "x")
	log.With("sqs_queue", "app").Warn("polling paused", "error", "no\x1b Redis")
	log.Error("reload failed", "error", "line 1\nline 2")
	log.Info("configuration reloaded", "queues", 1)
	log.close()
	got := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`).ReplaceAllString(b.String(), "00:00:00")
	want := "00:00:00 ! polling paused  sqs_queue: app  error: no\\u001b Redis\n" +
		"00:00:00 ! reload failed\n           line 1\n           line 2\n00:00:00 · configuration reloaded\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
