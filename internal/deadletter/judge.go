package deadletter

import (
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"scout/config"
	"scout/handler"
	"scout/internal/explain"
)

// Unknown is the outcome of a message that comes from a queue that is not read here.
const Unknown explain.Outcome = "unknown"

// ReasonOtherQueue is the reason of the outcome Unknown.
const ReasonOtherQueue handler.Reason = "other_queue"

// Reasons lists the reasons that a Verdict can have.
var Reasons = []handler.Reason{handler.ReasonNotEnvelope, handler.ReasonNoRoute, handler.ReasonUnacceptable, handler.ReasonPanic, ReasonOtherQueue}

// A Verdict says what would become of a message now.
type Verdict struct {
	explain.Result

	// NeedsID is set if the message would become jobs whose ids depend on the id
	// that SQS gave the message. When it is sent again, it gets another.
	NeedsID bool
}

// succeeds reports whether Scout would take the message.
func (v *Verdict) succeeds() bool { return v.Rejection == nil }

// Outcome returns what becomes of the message.
func (v *Verdict) Outcome() explain.Outcome {
	if v.Reason() == ReasonOtherQueue {
		return Unknown
	}
	return v.Result.Outcome()
}

// Reason returns why the message would be rejected, "" if it would not.
func (v *Verdict) Reason() handler.Reason {
	if v.Rejection == nil {
		return ""
	}
	return v.Rejection.Reason
}

// A Judge says what would become of a message of a configured queue. It is called
// concurrently.
type Judge func(q config.Queue, m events.SQSMessage) Verdict

// NewJudge returns the Judge that decides as Scout does with a configuration.
func NewJudge(c *config.Config) Judge {
	var mu sync.Mutex
	explainer := explain.New(c)
	return func(q config.Queue, m events.SQSMessage) (v Verdict) {
		mu.Lock()
		defer mu.Unlock()
		defer func() {
			if p := recover(); p != nil { // as in the handler, but not yet in a log
				v.Rejection = &handler.Rejection{Reason: handler.ReasonPanic, Detail: "Scout panics over the message; please report it as a bug"}
			}
		}()
		v.Result = explainer.Explain(q, m)
		if v.Result.Outcome() == explain.Job {
			m.MessageId = ""
			without := explainer.Explain(q, m)
			v.NeedsID = without.Rejection != nil
		}
		return v
	}
}
