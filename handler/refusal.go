package handler

import (
	"context"
	"errors"
	"fmt"

	"scout/sidekiq"
)

// A Refusal says why a message did not become a job. The message stays in its
// SQS queue, comes back, and ends in the dead-letter queue.
type Refusal struct {
	Reason Reason
	Detail string // for people; shows nothing of the message's content
}

func (r *Refusal) Error() string { return r.Detail }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// A Reason is why a message failed, in a word that can name a metric.
type Reason string

// The first four are the message's fault, and it will fail again unless the
// configuration changes. The others may pass.
const (
	ReasonNotEnvelope  Reason = "not_envelope" // the body is no SNS notification
	ReasonNoRoute      Reason = "no_route"     // its topic is not in the configuration
	ReasonUnacceptable Reason = "unacceptable" // Sidekiq could not load the job, or lose it
	ReasonPanic        Reason = "panic"        // a fault of Scout's own
	ReasonHeldBack     Reason = "held_back"    // FIFO: an earlier message of its group failed
	ReasonQueue        Reason = "queue"        // the key of its Sidekiq queue holds something else
	ReasonRedis        Reason = "redis"        // Redis did not take the job
	ReasonDeadline     Reason = "deadline"     // there was no time left
)

// Reasons are all reasons.
var Reasons = []Reason{ReasonNotEnvelope, ReasonNoRoute, ReasonUnacceptable, ReasonPanic, ReasonHeldBack, ReasonQueue, ReasonRedis, ReasonDeadline}

// reasonOf is why a message with the given failure failed. redis is what a
// call of Push returned, if there was one: what shares it is not the
// message's own.
func reasonOf(failure, redis error) Reason {
	if refusal, ok := errors.AsType[*Refusal](failure); ok {
		return refusal.Reason
	}
	switch {
	case errors.Is(failure, sidekiq.ErrHeldBack):
		return ReasonHeldBack
	case redis == nil || !errors.Is(failure, redis):
		return ReasonQueue
	case errors.Is(failure, context.DeadlineExceeded):
		return ReasonDeadline
	default:
		return ReasonRedis
	}
}
