package poller

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Whatever SQS answers to a deletion, only messages that it reports as deleted are counted, and the
// others are retried.
func TestOddDeleteResponses(t *testing.T) {
	failed := func(id *string, senderFault bool) types.BatchResultErrorEntry {
		return types.BatchResultErrorEntry{Id: id, SenderFault: senderFault, Code: aws.String("Code")}
	}
	for name, c := range map[string]struct {
		answer func(*sqs.DeleteMessageBatchOutput) // to each of three attempts
		stats  Stats                               // of three messages
		calls  int
		unused string // an id that the log has to show
	}{
		"as documented": {func(*sqs.DeleteMessageBatchOutput) {}, Stats{Deleted: 3}, 1, ""},
		"negative id": {func(out *sqs.DeleteMessageBatchOutput) {
			out.Failed = append(out.Failed, failed(aws.String("-1"), true))
		}, Stats{Deleted: 3}, 1, "-1"},
		"id that is too large": {func(out *sqs.DeleteMessageBatchOutput) {
			out.Failed = append(out.Failed, failed(aws.String("3"), false))
		}, Stats{Deleted: 3}, 1, "3"},
		"huge id": {func(out *sqs.DeleteMessageBatchOutput) {
			out.Failed = append(out.Failed, failed(aws.String("99999999999999999999"), true))
		}, Stats{Deleted: 3}, 1, "99999999999999999999"},
		"id that is text": {func(out *sqs.DeleteMessageBatchOutput) {
			out.Successful[0].Id = aws.String("zero")
		}, Stats{Deleted: 2, DeletesFailed: 1}, 3, "zero"},
		"no id":                {func(out *sqs.DeleteMessageBatchOutput) { out.Failed = append(out.Failed, failed(nil, true)) }, Stats{Deleted: 3}, 1, `id \"\"`},
		"a message is missing": {func(out *sqs.DeleteMessageBatchOutput) { out.Successful = out.Successful[1:] }, Stats{Deleted: 2, DeletesFailed: 1}, 3, ""},
		"all are missing":      {func(out *sqs.DeleteMessageBatchOutput) { out.Successful = nil }, Stats{DeletesFailed: 3}, 3, ""},
		"a message is in both": {func(out *sqs.DeleteMessageBatchOutput) {
			out.Failed = append(out.Failed, failed(aws.String("0"), true))
		}, Stats{Deleted: 2, DeletesFailed: 1}, 1, ""},
		"a message fails twice": {func(out *sqs.DeleteMessageBatchOutput) {
			f := failed(aws.String("0"), true)
			out.Failed = append(out.Failed, f, f)
		}, Stats{Deleted: 2, DeletesFailed: 1}, 1, ""},
		"a message is deleted twice": {func(out *sqs.DeleteMessageBatchOutput) {
			out.Successful = append(out.Successful, out.Successful...)
		}, Stats{Deleted: 3}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				queue.send(3)
				queue.deleteAnswer = c.answer
				var log bytes.Buffer
				p := &Poller{SQS: queue, Log: slog.New(slog.NewTextHandler(&log, nil))}
				stop := start(t, p)
				time.Sleep(time.Second)
				stop()
				if s := p.Stats(); s.Deleted != c.stats.Deleted || s.DeletesFailed != c.stats.DeletesFailed || len(queue.deletes) != c.calls {
					t.Errorf("%d deleted, %d failed after %d calls, want %d, %d and %d", s.Deleted, s.DeletesFailed, len(queue.deletes), c.stats.Deleted, c.stats.DeletesFailed, c.calls)
				}
				if got := strings.Contains(log.String(), "level=ERROR"); got != (c.unused != "") || !strings.Contains(log.String(), c.unused) {
					t.Errorf("the log has to show the unknown id %q:\n%s", c.unused, &log)
				}
			})
		})
	}
}

// Only messages whose visibility SQS reports as changed count as returned.
func TestOddVisibilityResponses(t *testing.T) {
	for name, c := range map[string]struct {
		answer   func(*sqs.ChangeMessageVisibilityBatchOutput)
		returned int64 // of three messages
		log      string
	}{
		"as documented":        {func(*sqs.ChangeMessageVisibilityBatchOutput) {}, 3, ""},
		"a message is missing": {func(out *sqs.ChangeMessageVisibilityBatchOutput) { out.Successful = out.Successful[1:] }, 2, "lacks 1 of 3 messages"},
		"negative id": {func(out *sqs.ChangeMessageVisibilityBatchOutput) {
			out.Failed = []types.BatchResultErrorEntry{{Id: aws.String("-1")}}
		}, 3, "-1"},
		"a message fails": {func(out *sqs.ChangeMessageVisibilityBatchOutput) {
			out.Successful = out.Successful[1:]
			out.Failed = []types.BatchResultErrorEntry{{Id: aws.String("0"), Code: aws.String("Expired\x1b[2J")}}
		}, 2, `SQS rejected 1 of 3 messages: Expired\\u001b[2J`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				queue.send(3)
				queue.changeAnswer = c.answer
				var log bytes.Buffer
				p := &Poller{SQS: queue, Log: slog.New(slog.NewTextHandler(&log, nil)), Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
					return events.SQSEventResponse{}, errors.New("connection refused")
				}}
				stop := start(t, p)
				time.Sleep(time.Second)
				stop()
				if n := p.Stats().Returned; n != c.returned {
					t.Errorf("%d messages returned, want %d", n, c.returned)
				}
				if got := strings.Contains(log.String(), "not returned"); got != (c.log != "") || !strings.Contains(log.String(), c.log) {
					t.Errorf("the log has to say %q:\n%s", c.log, &log)
				}
			})
		})
	}
}

// The text of errors from Handle and Ready is bounded and escaped wherever it is
// shown.
func TestErrorTextsAreBounded(t *testing.T) {
	hostile := errors.New("\x1b[31m" + strings.Repeat("A", 3_000_000))
	for name, p := range map[string]*Poller{
		"Handle": {Handle: func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
			return events.SQSEventResponse{}, hostile
		}},
		"Ready":          {Ready: func(context.Context) error { return hostile }},
		"ReceiveMessage": {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := newFakeSQS()
				queue.send(3)
				if name == "ReceiveMessage" {
					queue.receiveErr = hostile
				}
				var log bytes.Buffer
				p.SQS, p.Log = queue, slog.New(slog.NewTextHandler(&log, nil))
				stop := start(t, p)
				time.Sleep(time.Millisecond)
				if s := p.Stats(); len(s.Error) < 100 || len(s.Error) > 1100 || strings.Contains(s.Error, "\x1b") {
					t.Errorf("Stats show %d bytes: %.50q", len(s.Error), s.Error)
				}
				time.Sleep(10 * time.Second)
				stop()
				if log.Len() > 5000 {
					t.Errorf("%d bytes were logged", log.Len())
				}
			})
		})
	}
}
