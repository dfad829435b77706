package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

// A Handler handles batches of messages. It is safe for concurrent use.
type Handler struct {
	Router *Router
	Client Pusher
	Log    *slog.Logger // nil: slog.Default()
}

// A Pusher is the part of *sidekiq.Client that a Handler uses.
type Pusher interface {
	Push(context.Context, []sidekiq.Job) ([]sidekiq.Result, error)
}

// Handle pushes the jobs for the messages of a batch, in the batch's order.
// It has the signature of a Lambda function for SQS with
// ReportBatchItemFailures, and its results have the same meaning:
//
//   - A message that is not in the response can be deleted: all its jobs are
//     in Redis.
//   - A message in BatchItemFailures must be kept: it is redelivered after its
//     visibility timeout. The log says why it failed.
//   - An error means that the whole batch must be kept. Either Redis took
//     nothing of it, and the caller should slow down, or a message failed that
//     has no id to be listed by. Jobs that were pushed nevertheless are
//     duplicates when the batch is redelivered.
//
// In a FIFO queue, nothing is pushed after a failed message of its group.
// Handle stops early enough before ctx's deadline to return a response, and
// fails the messages that are left.
func (h *Handler) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	response, _, err := h.Process(ctx, event)
	return response, err
}

// Process is like Handle and also returns the batch's Stats, which are valid
// whatever the error.
func (h *Handler) Process(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, Stats, error) {
	ctx, cancel := withMargin(ctx)
	defer cancel()
	now := time.Now()
	b := newBatch(event.Records)
	h.translateMessages(ctx, b, now)
	h.pushJobs(ctx, b)
	response, err := h.buildResponse(ctx, b)
	return response, b.stats(now), err
}

// withMargin ends the context early enough to return a response before the
// deadline: by 1 s or a tenth of the remaining time, whichever is longer, but
// never by more than half of it.
func withMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	margin := min(max(time.Second, left/10), left/2)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// translateMessages builds the jobs of all messages that can be pushed.
func (h *Handler) translateMessages(ctx context.Context, b *batch, now time.Time) {
	t := translator{router: h.Router, at: now}
	failedGroups := map[string]bool{}
	for i := range b.messages {
		m := &b.messages[i]
		group := fifoGroup(m)
		if failedGroups[group] {
			b.failures[i] = reject(ReasonHeldBack, "an earlier message of its group failed")
			h.log().InfoContext(ctx, heldBackText, "message_id", m.MessageId)
			continue
		}
		topic, jobs, err := h.translateSafely(ctx, &t, m, b.jobs)
		if err != nil {
			b.failures[i] = err
			failedGroups[group] = group != ""
			h.log().WarnContext(ctx, "message rejected", "message_id", m.MessageId, "topic", TopicName(topic),
				"reason", reasonOf(err), "error", err, "receive_count", m.Attributes["ApproximateReceiveCount"])
			continue
		}
		for range jobs[len(b.jobs):] {
			b.messageOf = append(b.messageOf, i)
		}
		b.jobs = jobs
	}
}

// translateSafely keeps a panic over one message from failing the rest of the
// batch.
func (h *Handler) translateSafely(ctx context.Context, t *translator, m *events.SQSMessage, before []sidekiq.Job) (topic string, jobs []sidekiq.Job, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = h.reportPanic(ctx, p)
		}
	}()
	return t.translate(m, before)
}

// reportPanic logs a panic and returns it as an error. The panic's value may
// show a message, so only the debug log has it.
func (h *Handler) reportPanic(ctx context.Context, p any) error {
	h.log().ErrorContext(ctx, "panic recovered", "stack", string(debug.Stack()))
	h.log().DebugContext(ctx, "panic recovered", "value", p)
	return reject(ReasonPanic, "Scout panicked; this is a bug, and the log shows where")
}

// pushJobs pushes the jobs and records their results.
func (h *Handler) pushJobs(ctx context.Context, b *batch) {
	if len(b.jobs) == 0 {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			b.pushErr = h.reportPanic(ctx, p)
			for n := range b.jobs {
				b.recordResult(n, sidekiq.Result{Err: b.pushErr})
			}
		}
	}()
	start := time.Now()
	results, err := h.Client.Push(ctx, b.jobs)
	b.pushedAt, b.pushErr = time.Now(), err
	b.pushDuration = b.pushedAt.Sub(start)
	for n, result := range results {
		b.recordResult(n, result)
		h.logResult(ctx, b, n, result)
	}
}

// heldBackText is logged for a message that fails because an earlier one of
// its group did.
const heldBackText = "message held back"

func (h *Handler) logResult(ctx context.Context, b *batch, n int, result sidekiq.Result) {
	level, text := slog.LevelDebug, "job enqueued"
	switch {
	case result.Outcome == sidekiq.Unmarked:
		level, text = slog.LevelWarn, "job enqueued without a marker; a redelivery would enqueue it again"
	case result.Outcome == sidekiq.Duplicate:
		text = "job was a duplicate"
	case errors.Is(result.Err, sidekiq.ErrHeldBack):
		level, text = slog.LevelInfo, heldBackText
	case errors.Is(result.Err, sidekiq.ErrQueue):
		level, text = slog.LevelError, "job rejected by its queue"
	case result.Err != nil:
		return // buildResponse logs the error that these jobs share
	}
	if !h.log().Enabled(ctx, level) {
		return
	}
	attrs := []any{"message_id", b.messages[b.messageOf[n]].MessageId, "jid", b.jobs[n].JID, "queue", b.jobs[n].Queue}
	if result.Err != nil {
		attrs = append(attrs, "error", result.Err)
	}
	h.log().Log(ctx, level, text, attrs...)
}

// buildResponse lists the messages that must be kept.
func (h *Handler) buildResponse(ctx context.Context, b *batch) (events.SQSEventResponse, error) {
	if b.pushErr != nil {
		h.log().ErrorContext(ctx, "jobs not pushed", "jobs", len(b.jobs), "pushed", b.pushed, "error", b.pushErr)
		if b.pushed == 0 {
			return events.SQSEventResponse{}, b.pushErr
		}
	}
	response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	listed := map[string]bool{}
	for i, failure := range b.failures {
		id := b.messages[i].MessageId
		switch {
		case failure == nil || listed[id]:
		case id == "":
			// An empty identifier would mean the same, but less clearly.
			return events.SQSEventResponse{}, fmt.Errorf("message %d of the batch has no id by which to report its failure: %w", i+1, failure)
		default:
			listed[id] = true
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
		}
	}
	return response, nil
}

func (h *Handler) log() *slog.Logger { return cmp.Or(h.Log, slog.Default()) }
