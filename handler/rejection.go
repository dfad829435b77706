package handler

import (
	"context"
	"errors"
	"fmt"

	"scout/sidekiq"
)

// A Rejection is the error of a message that cannot become a job. The message
// stays in its SQS queue, is redelivered, and ends in the dead-letter queue.
type Rejection struct {
	Reason Reason
	Detail string // for people; shows nothing of the message's content
}

func (r *Rejection) Error() string { return r.Detail }

func reject(reason Reason, format string, args ...any) error {
	return &Rejection{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// A Reason is why a message failed, in a word that can name a metric.
type Reason string

// The first four are likely to fail the message again until its publisher, the
// configuration or Scout changes. The others may pass by themselves.
const (
	ReasonNotEnvelope  Reason = "not_envelope" // the body is of no kind that the configuration takes
	ReasonNoRoute      Reason = "no_route"     // the configuration says nothing about such a message
	ReasonUnacceptable Reason = "unacceptable" // Sidekiq could not load the job, or would lose it when it fails
	ReasonPanic        Reason = "panic"        // a bug in Scout
	ReasonHeldBack     Reason = "held_back"    // FIFO: an earlier message of its group failed
	ReasonQueue        Reason = "queue"        // the Redis key of its Sidekiq queue holds another type
	ReasonRedis        Reason = "redis"        // Redis did not take the job
	ReasonDeadline     Reason = "deadline"     // there was no time left
)

// Reasons lists all reasons.
var Reasons = []Reason{ReasonNotEnvelope, ReasonNoRoute, ReasonUnacceptable, ReasonPanic, ReasonHeldBack, ReasonQueue, ReasonRedis, ReasonDeadline}

// reasonOf returns why a message with the given error failed.
func reasonOf(failure error) Reason {
	if rejection, ok := errors.AsType[*Rejection](failure); ok {
		return rejection.Reason
	}
	switch {
	case errors.Is(failure, sidekiq.ErrHeldBack):
		return ReasonHeldBack
	case errors.Is(failure, sidekiq.ErrQueue):
		return ReasonQueue
	case errors.Is(failure, context.DeadlineExceeded):
		return ReasonDeadline
	default:
		return ReasonRedis
	}
}
