package deadletter

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/handler"
	"scout/internal/poller"
)

// A Message is a message of a dead-letter queue.
type Message struct {
	types.Message         // with an id, a receipt handle and a body
	Source        *Source // where it goes back to; nil if its queue is not configured
	Undelivered   string  // why SNS could not deliver it; "" if it was delivered
	Verdict
}

// ID returns the id that SQS gave the message.
func (m *Message) ID() string { return *m.MessageId }

// Sent returns when the message was sent. Moving it to the dead-letter queue does
// not change that, except in a FIFO queue.
func (m *Message) Sent() time.Time {
	ms, _ := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64)
	return time.UnixMilli(ms)
}

// size returns the number of bytes by which the message counts towards the limit
// of a batch.
func (m *Message) size() int {
	n := len(*m.Body)
	for name, a := range m.MessageAttributes {
		n += len(name) + len(a.BinaryValue)
		for _, text := range []*string{a.DataType, a.StringValue} {
			if text != nil {
				n += len(*text)
			}
		}
	}
	return n
}

// An Outcome is what would become of a message now.
type Outcome string

// The outcomes. Unknown is that of a message whose queue is not configured.
const (
	Job      Outcome = "job"
	Ignored  Outcome = "ignored"
	Rejected Outcome = "rejected"
	Unknown  Outcome = "unknown"
)

// ReasonOtherQueue is the reason of the outcome Unknown.
const ReasonOtherQueue handler.Reason = "other_queue"

// A Verdict says what would become of a message now.
type Verdict struct {
	handler.Translation
	Outcome Outcome
	Reason  handler.Reason // why it is Rejected or Unknown
	Detail  string         // the reason for people; shows nothing of the message's content

	// NeedsID is set if the message would become jobs whose ids depend on the id
	// that SQS gave the message. When it is sent again, it gets another.
	NeedsID bool
}

// succeeds reports whether Scout would take the message.
func (v *Verdict) succeeds() bool { return v.Outcome == Job || v.Outcome == Ignored }

// A Judge says what would become of a message of a configured queue.
type Judge func(q *config.Queue, m *events.SQSMessage) Verdict

// NewJudge returns the Judge that decides as Scout does with a configuration.
func NewJudge(c *config.Config) Judge {
	routers := map[string]*handler.Router{}
	for _, q := range c.Queues {
		routers[q.Label()] = c.Router(q)
	}
	return func(q *config.Queue, m *events.SQSMessage) Verdict {
		v := translate(routers[q.Label()], *m)
		if v.Outcome == Job {
			m.MessageId = ""
			v.NeedsID = translate(routers[q.Label()], *m).Outcome == Rejected
		}
		return v
	}
}

// translate translates a message. A panic is the reason for a rejection, as it is
// in the handler.
func translate(r *handler.Router, m events.SQSMessage) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			v = Verdict{Outcome: Rejected, Reason: handler.ReasonPanic, Detail: "a bug in Scout; please report it"}
		}
	}()
	t, err := r.Translate(&m, time.Now())
	v = Verdict{Translation: t, Outcome: Job}
	if rejection, ok := errors.AsType[*handler.Rejection](err); ok {
		v.Outcome, v.Reason, v.Detail = Rejected, rejection.Reason, rejection.Detail
	} else if t.Ignored {
		v.Outcome = Ignored
	}
	return v
}

func newMessage(received *types.Message, q *Queue, judge Judge) *Message {
	m := &Message{Message: *received, Source: q.sourceOf(received)}
	m.readUndelivered()
	if m.Source == nil {
		m.Verdict = Verdict{Outcome: Unknown, Reason: ReasonOtherQueue, Detail: fmt.Sprintf(
			"it comes from the queue %s, which is not read here; see --queue and --to",
			m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)])}
		return m
	}
	record := poller.Record(&m.Message, m.Source.ARN)
	m.Verdict = judge(m.Source.Config, &record)
	return m
}
