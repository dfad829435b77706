package handler

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

// A Handler handles batches of messages. It is safe for concurrent use.
type Handler struct {
	Router *Router
	Client Pusher
	Log    *slog.Logger // nil: slog.Default()

	// MaxReceiveCount is that of the queue's redrive policy: how often a
	// message is received before it goes to the dead-letter queue. It is
	// logged with each rejected message, unless it is 0.
	MaxReceiveCount int

	// ReleaseBodies allows Process to empty the Body of each record of the
	// event once it needs it no more, so that large messages and their jobs
	// are not both in memory while Redis takes the jobs.
	ReleaseBodies bool

	// Detailed makes Process return Stats.Results.
	Detailed bool
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
//     in Redis, the configuration ignores it, or it is in Sidekiq's dead set.
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
	if h.Detailed {
		b.results = make([]Result, len(b.messages))
	}
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
	t.kept.Grow(len(b.messages) * len("00000000-0000-0000-0000-000000000000")) // the ids of SNS
	failedGroups := map[string]bool{}
	for i := range b.messages {
		m := &b.messages[i]
		group := fifoGroup(m)
		if failedGroups[group] {
			b.failures[i] = reject(ReasonHeldBack, "an earlier message of its group failed")
			h.log().InfoContext(ctx, heldBackText, "sqs_message_id", b.sqsID(i))
			continue
		}
		translation, dead, err := h.translateSafely(ctx, &t, m, b.jobs)
		b.keepTranslation(i, translation)
		b.labels[i] = translation.Label
		if translation.Source == SourceSNS {
			b.snsIDs[i] = translation.MessageID
		}
		if h.ReleaseBodies {
			m.Body = ""
		}
		if dead != nil {
			b.set(i, special{rejection: err})
			b.jobs = append(b.jobs, *dead)
			b.messageOf = append(b.messageOf, i)
			continue
		}
		if err != nil {
			b.failures[i] = err
			failedGroups[group] = group != ""
			h.logRejection(ctx, b, i, err)
			continue
		}
		if translation.Ignored {
			b.set(i, special{ignored: true})
			h.log().DebugContext(ctx, "message ignored", "sqs_message_id", b.sqsID(i), "topic", b.labels[i])
			continue
		}
		for range translation.Jobs[len(b.jobs):] {
			b.messageOf = append(b.messageOf, i)
		}
		b.jobs = translation.Jobs
	}
}

// translateSafely keeps a panic over one message from failing the rest of the
// batch. With an error, it also returns what goes into the dead set instead of the
// message's jobs, nil if the message stays in its SQS queue.
func (h *Handler) translateSafely(ctx context.Context, t *translator, m *events.SQSMessage, before []sidekiq.Job) (_ Translation, dead *sidekiq.Job, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = h.reportPanic(ctx, p)
		}
	}()
	translation, err := t.translate(m, before)
	if err == nil {
		return translation, nil, nil
	}
	if job, ok := t.deadLetter(m, err); ok {
		return translation, &job, err
	}
	return translation, nil, err
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
