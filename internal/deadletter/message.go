package deadletter

import (
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/handler"
	"scout/internal/explain"
	"scout/internal/poller"
	"scout/internal/printable"
)

// A Message is a message of a dead-letter queue.
type Message struct {
	types.Message         // with an id, a receipt handle and a body
	Source        *Source // the queue to which it returns; nil if its queue is not configured
	Undelivered   string  // why SNS could not deliver it; "" if it was delivered
	Verdict
}

// A Verdict is the outcome that a message would have now.
type Verdict struct {
	explain.Result

	// NeedsID reports whether the message would become jobs whose ids depend on the id
	// that SQS gave it. A message that is sent again gets a new id.
	NeedsID bool
}

// Unknown is the outcome of a message that comes from a queue without a configuration
// here.
const Unknown explain.Outcome = "unknown"

// ReasonOtherQueue is the reason of the outcome Unknown.
const ReasonOtherQueue handler.Reason = "other_queue"

// Reasons lists the reasons that a Verdict can have.
var Reasons = []handler.Reason{handler.ReasonNotEnvelope, handler.ReasonNoRoute, handler.ReasonUnacceptable, handler.ReasonPanic, ReasonOtherQueue}

// Reason returns why the message would be rejected, "" if it would not.
func (v *Verdict) Reason() handler.Reason {
	if v.Rejection == nil {
		return ""
	}
	return v.Rejection.Reason
}

// Outcome returns the outcome of the message.
func (v *Verdict) Outcome() explain.Outcome {
	if v.Reason() == ReasonOtherQueue {
		return Unknown
	}
	return v.Result.Outcome()
}

// A Judge returns the Verdict on a message of a configured queue. It is called
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
			if p := recover(); p != nil { // the handler recovers, too, but no log has this panic
				v.Rejection = &handler.Rejection{Reason: handler.ReasonPanic, Detail: "Scout panics over the message; please report it as a bug"}
			}
		}()
		v.Result = explainer.Explain(q, m)
		if v.Result.Outcome() == explain.Job {
			m.MessageId = ""
			v.NeedsID = explainer.Explain(q, m).Rejection != nil
		}
		return v
	}
}

func newMessage(received *types.Message, q *Queue, judge Judge) *Message {
	m := &Message{Message: *received, Source: q.sourceOf(received)}
	m.readUndelivered()
	if m.Source != nil {
		m.Verdict = judge(*m.Source.Config, poller.Record(&m.Message, m.Source.ARN))
		return m
	}
	detail := "SQS does not say which queue it comes from, and there are several; choose one with --to"
	if arn := m.attribute(types.MessageSystemAttributeNameDeadLetterQueueSourceArn); arn != "" {
		detail = fmt.Sprintf("it comes from the queue %s, whose messages are not read here; choose that queue with --queue, or send all to one queue with --to", arn)
	}
	m.Rejection = &handler.Rejection{Reason: ReasonOtherQueue, Detail: detail}
	return m
}

// undelivered are the attributes that SNS adds to a message in the dead-letter queue of
// a subscription. The body is the body that SNS could not deliver: the envelope or,
// with raw message delivery, the message. With raw message delivery, the message's own
// attributes are beside these. SNS's documentation does not list them. They are known
// from messages that AWS sends (https://github.com/localstack/localstack/issues/6639).
var undelivered = []string{"RequestID", "ErrorCode", "ErrorMessage"}

// readUndelivered sets Undelivered if SNS could not deliver the message. It then
// removes the attributes that SNS added.
func (m *Message) readUndelivered() {
	if m.attribute(types.MessageSystemAttributeNameDeadLetterQueueSourceArn) != "" {
		return // it was delivered
	}
	published := maps.Clone(m.MessageAttributes)
	for _, name := range undelivered {
		delete(published, name)
	}
	if len(published) > len(m.MessageAttributes)-len(undelivered) {
		return
	}
	text := func(name string) string { return aws.ToString(m.MessageAttributes[name].StringValue) }
	m.Undelivered = printable.Text(text("ErrorCode")+": "+text("ErrorMessage"), 500)
	m.MessageAttributes = published
}

// attribute returns an attribute of the message from SQS, "" if it has none.
func (m *Message) attribute(name types.MessageSystemAttributeName) string {
	return m.Attributes[string(name)]
}

// ID returns the id that SQS gave the message.
func (m *Message) ID() string { return *m.MessageId }

// Sent returns when the message was sent. Moving it to the dead-letter queue does
// not change that, except in a FIFO queue.
func (m *Message) Sent() time.Time {
	ms, _ := strconv.ParseInt(m.attribute(types.MessageSystemAttributeNameSentTimestamp), 10, 64)
	return time.UnixMilli(ms)
}

// Receives returns the number of times that the message was received.
func (m *Message) Receives() int {
	n, _ := strconv.Atoi(m.attribute(types.MessageSystemAttributeNameApproximateReceiveCount))
	return n
}

// Group returns the message group, "" if the message has none.
func (m *Message) Group() string {
	return m.attribute(types.MessageSystemAttributeNameMessageGroupId)
}
