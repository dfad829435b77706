package handler

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"scout/internal/printable"
	"scout/sidekiq"
)

func (h *Handler) log() *slog.Logger { return cmp.Or(h.Log, slog.Default()) }

// maxIDLength is the maximum of what is logged of an id, in bytes, because others
// choose it.
const maxIDLength = 100

func (b *batch) snsID(i int) string { return printable.Text(b.snsIDs[i], maxIDLength) }

func (b *batch) sqsID(i int) string { return printable.Text(b.messages[i].MessageId, maxIDLength) }

// logRejection logs why message i was rejected.
func (h *Handler) logRejection(ctx context.Context, b *batch, i int, rejection error, more ...any) {
	attrs := append([]any{
		"sqs_message_id", b.sqsID(i), "sns_message_id", b.snsID(i), "topic", b.labels[i],
		"reason", reasonOf(rejection), "error", rejection, "receive_count", printable.Text(b.messages[i].Attributes["ApproximateReceiveCount"], maxIDLength),
	}, more...)
	if h.MaxReceiveCount > 0 {
		attrs = append(attrs, "max_receive_count", h.MaxReceiveCount)
	}
	h.log().WarnContext(ctx, "message rejected", attrs...)
}

// heldBackText is logged for a message that fails because an earlier one of
// its group did.
const heldBackText = "message held back"

// logResult logs the result of job n, unless it is an error that it shares with
// other jobs.
func (h *Handler) logResult(ctx context.Context, b *batch, n int, result sidekiq.Result) {
	level, text := slog.LevelDebug, "job enqueued"
	rejection := b.special[b.messageOf[n]].rejection
	switch {
	case result.Outcome == sidekiq.Dead:
		h.logRejection(ctx, b, b.messageOf[n], rejection, "dead_set", "added")
		return
	case errors.Is(result.Err, sidekiq.ErrDeadSet):
		h.logRejection(ctx, b, b.messageOf[n], rejection, "dead_set", result.Err)
		return
	case result.Outcome == sidekiq.Unmarked:
		level, text = slog.LevelWarn, "job enqueued without a marker; a redelivery would enqueue it again"
	case result.Outcome == sidekiq.Duplicate:
		text = "job was a duplicate"
	case errors.Is(result.Err, sidekiq.ErrHeldBack):
		level, text = slog.LevelInfo, heldBackText
	case errors.Is(result.Err, sidekiq.ErrQueue):
		level, text = slog.LevelError, "job rejected by its queue"
	case result.Err != nil:
		return // buildResponse logs it once
	}
	if !h.log().Enabled(ctx, level) {
		return
	}
	i, job := b.messageOf[n], &b.jobs[n]
	attrs := []any{
		"sqs_message_id", b.sqsID(i), "sns_message_id", b.snsID(i), "topic", b.labels[i],
		"class", job.Class, "queue", job.Queue, "jid", job.JID,
	}
	if result.Err != nil {
		attrs = append(attrs, "error", result.Err)
	}
	h.log().Log(ctx, level, text, attrs...)
}

// reportPanic logs a panic and returns it as an error. The panic's value may
// show a message, so only the debug log has it.
func (h *Handler) reportPanic(ctx context.Context, p any) error {
	h.log().ErrorContext(ctx, "panic recovered", "stack", string(debug.Stack()))
	h.log().DebugContext(ctx, "panic recovered", "value", p)
	return reject(ReasonPanic, "Scout panicked; this is a bug, and the log shows where")
}
