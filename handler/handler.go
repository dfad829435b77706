// Package handler turns a batch of SQS messages into Sidekiq jobs and tells
// which messages failed. Start at Handler; Router.Translate is what happens to
// a single message.
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

// A Handler handles batches. It is safe for concurrent use.
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
// ReportBatchItemFailures, and what it returns means what it means there:
//
//   - A message that is not in the response is done: all its jobs are in
//     Redis, and it may be deleted.
//   - A message in BatchItemFailures is to be kept: it comes back after its
//     visibility timeout. The log says why it failed.
//   - An error means that the whole batch is to be kept: Redis took nothing of
//     it, and the caller should slow down, or a message failed that has no id
//     to be listed by. What was pushed all the same is recognised when the
//     batch comes back.
//
// In a FIFO queue, no message is pushed behind a failed one of its group.
// Handle stops in time before ctx's deadline, to be able to answer, and fails
// what is left.
func (h *Handler) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	response, _, err := h.Process(ctx, event)
	return response, err
}

// Process is Handle and also returns the batch's Stats, which are valid
// whatever the error.
func (h *Handler) Process(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, Stats, error) {
	ctx, cancel := withMargin(ctx)
	defer cancel()
	now := time.Now()
	b := newBatch(event.Records)
	h.translate(ctx, b, now)
	h.push(ctx, b)
	response, err := h.respond(ctx, b)
	return response, b.stats(now), err
}

// withMargin ends the context early enough for an answer before the deadline:
// by 1 s or a tenth of the time, but never by more than half of it.
func withMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	margin := min(max(time.Second, left/10), left/2)
	return context.WithDeadline(ctx, deadline.Add(-margin))
}

// translate makes the jobs of all messages that can be pushed.
func (h *Handler) translate(ctx context.Context, b *batch, now time.Time) {
	t := translator{router: h.Router, at: now}
	failedGroups := map[string]bool{}
	for i := range b.messages {
		m := &b.messages[i]
		group := fifoGroup(m)
		if failedGroups[group] {
			b.failures[i] = refuse(ReasonHeldBack, "an earlier message of its group failed")
			h.log().InfoContext(ctx, heldBack, "message_id", m.MessageId)
			continue
		}
		topic, jobs, err := h.translateSafely(ctx, &t, m, b.jobs)
		if err != nil {
			b.failures[i] = err
			failedGroups[group] = group != ""
			h.log().WarnContext(ctx, "message refused", "message_id", m.MessageId, "topic", TopicName(topic),
				"reason", reasonOf(err, nil), "error", err, "receive_count", m.Attributes["ApproximateReceiveCount"])
			continue
		}
		for range jobs[len(b.jobs):] {
			b.owners = append(b.owners, i)
		}
		b.jobs = jobs
	}
}

// translateSafely keeps a panic over one message from the rest of the batch.
func (h *Handler) translateSafely(ctx context.Context, t *translator, m *events.SQSMessage, before []sidekiq.Job) (topic string, jobs []sidekiq.Job, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = h.panicked(ctx, p)
		}
	}()
	return t.translate(m, before)
}

// panicked reports a panic. Its value may show a message, so that only the
// debug log has it.
func (h *Handler) panicked(ctx context.Context, p any) error {
	h.log().ErrorContext(ctx, "panic", "stack", string(debug.Stack()))
	h.log().DebugContext(ctx, "panic", "value", p)
	return refuse(ReasonPanic, "Scout panicked; this is a bug, and the log shows where")
}

// push pushes the jobs and records what became of them.
func (h *Handler) push(ctx context.Context, b *batch) {
	if len(b.jobs) == 0 {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			b.pushErr = h.panicked(ctx, p)
			for n := range b.jobs {
				b.record(n, sidekiq.Result{Err: b.pushErr})
			}
		}
	}()
	start := time.Now()
	results, err := h.Client.Push(ctx, b.jobs)
	b.pushedAt, b.pushErr = time.Now(), err
	b.pushTime = b.pushedAt.Sub(start)
	for n, result := range results {
		b.record(n, result)
		h.logResult(ctx, b, n, result)
	}
}

const heldBack = "message held back behind a failed one of its group"

func (h *Handler) logResult(ctx context.Context, b *batch, n int, result sidekiq.Result) {
	level, message := slog.LevelDebug, "job pushed"
	switch {
	case result.Outcome == sidekiq.Unmarked:
		level, message = slog.LevelWarn, "job pushed, but not remembered: if the message comes again, so will the job"
	case result.Outcome == sidekiq.Duplicate:
		message = "job was pushed before"
	case errors.Is(result.Err, sidekiq.ErrHeldBack):
		level, message = slog.LevelInfo, heldBack
	case result.Err != nil && reasonOf(result.Err, b.pushErr) == ReasonQueue:
		level, message = slog.LevelError, "job refused by its queue"
	case result.Err != nil:
		return // of one cause with others, which is logged once
	}
	if !h.log().Enabled(ctx, level) {
		return
	}
	attrs := []any{"message_id", b.messages[b.owners[n]].MessageId, "jid", b.jobs[n].JID, "queue", b.jobs[n].Queue}
	if result.Err != nil {
		attrs = append(attrs, "error", result.Err)
	}
	h.log().Log(ctx, level, message, attrs...)
}

// respond says which messages are to be kept.
func (h *Handler) respond(ctx context.Context, b *batch) (events.SQSEventResponse, error) {
	if b.pushErr != nil {
		h.log().ErrorContext(ctx, "not all jobs were pushed", "jobs", len(b.jobs), "pushed", b.pushed, "error", b.pushErr)
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
			// An empty identifier would mean the same, less clearly.
			return events.SQSEventResponse{}, fmt.Errorf("message %d of the batch has no id to report its failure by: %w", i+1, failure)
		default:
			listed[id] = true
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
		}
	}
	return response, nil
}

func (h *Handler) log() *slog.Logger { return cmp.Or(h.Log, slog.Default()) }
