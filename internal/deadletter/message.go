package deadletter

import (
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

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

// Receives returns how often the message was received.
func (m *Message) Receives() int {
	n, _ := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])
	return n
}

// Group returns the message group, "" if the message has none.
func (m *Message) Group() string {
	return m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]
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

func newMessage(received *types.Message, q *Queue, judge Judge) *Message {
	m := &Message{Message: *received, Source: q.sourceOf(received)}
	m.readUndelivered()
	if m.Source == nil {
		m.Rejection = &handler.Rejection{Reason: ReasonOtherQueue, Detail: describeOther(received)}
		return m
	}
	m.Verdict = judge(*m.Source.Config, poller.Record(&m.Message, m.Source.ARN))
	return m
}

// describeOther says why a message has no Source.
func describeOther(m *types.Message) string {
	if arn := m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)]; arn != "" {
		return fmt.Sprintf("it comes from the queue %s, whose messages are not read here; choose that queue with --queue, or send all to one queue with --to", arn)
	}
	return "SQS does not say which queue it comes from, and there are several; choose one with --to"
}
