package poller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

type message = types.Message

// The attributes of a message that Handle needs. The configuration may route by any message
// attribute. A message has at most ten, and one without any costs nothing more.
var (
	systemAttributes  = []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SentTimestamp", "MessageGroupId", "AWSTraceHeader"}
	messageAttributes = []string{"All"}
)

const (
	receiveTimeout = 25 * time.Second // SQS ends a long poll after 20 s at most; the rest is for the network
	handleTimeout  = 30 * time.Second // no longer, because another process may have a Redis that works
	largeBatch     = 64 << 10         // minimum bytes of a batch that is worth detaching
)

// poll makes one poll: it receives, calls Handle, and deletes the messages or returns them to the
// queue. It sends the number of messages to the loop as soon as it is known. ctx ends when the Poller
// stops; for the others, see stopContexts.
func (l *loop) poll(ctx, handling, finishing context.Context, reserved int64) outcome {
	tuning := l.tuning()
	messages, err := l.receive(handling, tuning)
	bytes := size(messages)
	l.budget.Received(reserved, len(messages), bytes)
	l.received <- len(messages)
	if err != nil || len(messages) == 0 {
		return outcome{0, err}
	}
	if ctx.Err() != nil && l.handleBroken.Load() { // there is no time to wait until Handle works again
		l.budget.Release(bytes)
		l.returnToQueue(finishing, messages, noDelay)
		return outcome{} // nothing was handled, so it does not show that Handle works
	}
	if bytes > largeBatch {
		detach(messages)
	}
	lease := l.lease(finishing, messages, tuning)
	handled, kept, err := l.handle(handling, messages)
	lease.end()
	l.budget.Release(bytes)
	if ctx.Err() != nil {
		l.returnToQueue(finishing, kept, noDelay)
	} else if err != nil {
		l.returnToQueue(finishing, kept, redeliveryDelay)
	}
	if strings.HasSuffix(l.QueueARN, ".fifo") {
		l.deleter.delete(handled) // now, because their groups are blocked until then
	} else {
		l.deleter.add(handled)
	}
	return outcome{len(messages), err}
}

// size returns the bytes of the messages' bodies and attributes.
func size(messages []message) (bytes int64) {
	for i := range messages {
		bytes += int64(len(aws.ToString(messages[i].Body)))
		for name, a := range messages[i].MessageAttributes {
			bytes += int64(len(name) + len(aws.ToString(a.StringValue)) + len(a.BinaryValue))
		}
	}
	return bytes
}

// detach copies the fields of messages that are needed longer than their bodies. A client may decode a
// response into one allocation, which any of these fields would keep in memory as a whole.
func detach(messages []message) {
	for i := range messages {
		m := &messages[i]
		m.MessageId = aws.String(strings.Clone(aws.ToString(m.MessageId)))
		m.ReceiptHandle = aws.String(strings.Clone(aws.ToString(m.ReceiptHandle)))
		attributes := make(map[string]string, len(m.Attributes))
		for name, value := range m.Attributes {
			attributes[strings.Clone(name)] = strings.Clone(value)
		}
		m.Attributes = attributes
	}
}

func (p *Poller) receive(ctx context.Context, t *Tuning) ([]message, error) {
	ctx, cancel := context.WithTimeout(ctx, receiveTimeout)
	defer cancel()
	out, err := p.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &p.QueueURL,
		MaxNumberOfMessages:         int32(t.maxMessages()),
		WaitTimeSeconds:             int32(t.WaitTime / time.Second),
		VisibilityTimeout:           int32(t.VisibilityTimeout / time.Second),
		MessageSystemAttributeNames: systemAttributes,
		MessageAttributeNames:       messageAttributes,
	}, func(o *sqs.Options) { o.RetryMaxAttempts = 1 }) // the loop retries
	if err != nil {
		p.count(func(s *Stats) { s.Receives.Errors++ })
		return nil, bounded(fmt.Errorf("receiving messages: %w", err))
	}
	p.count(func(s *Stats) {
		if len(out.Messages) == 0 {
			s.Receives.Empty++
			return
		}
		s.Receives.Messages++
		s.Received += int64(len(out.Messages))
	})
	return out.Messages, nil
}

// handle returns the messages that were handled and those to keep in the queue. With an error, it
// keeps all of them.
func (p *Poller) handle(ctx context.Context, messages []message) (handled, kept []message, err error) {
	ctx, cancel := context.WithTimeout(ctx, handleTimeout)
	defer cancel()
	event := p.event(messages)
	for i := range messages {
		messages[i].Body, messages[i].MessageAttributes = nil, nil // the event holds them for as long as Handle needs them
	}
	response, err := p.Handle(ctx, event)
	if err != nil {
		return nil, messages, bounded(err)
	}
	if len(response.BatchItemFailures) == 0 {
		return messages, nil, nil
	}
	failed := make(map[string]bool, len(response.BatchItemFailures))
	for _, failure := range response.BatchItemFailures {
		failed[failure.ItemIdentifier] = true
	}
	for _, m := range messages {
		if failed[aws.ToString(m.MessageId)] {
			kept = append(kept, m)
		} else {
			handled = append(handled, m)
		}
	}
	for _, m := range kept {
		delete(failed, aws.ToString(m.MessageId))
	}
	if len(failed) > 0 { // as in Lambda, because it is unknown which messages are meant
		return nil, messages, errors.New("handling messages: the response names a message that is not in the batch")
	}
	return handled, kept, nil
}

// event returns the event that AWS would pass to a Lambda function.
func (p *Poller) event(messages []message) events.SQSEvent {
	records := make([]events.SQSMessage, len(messages))
	for i := range messages {
		records[i] = Record(&messages[i], p.QueueARN)
	}
	return events.SQSEvent{Records: records}
}

// Record returns a message of the queue with the given ARN as AWS would pass it to a Lambda function.
func Record(m *types.Message, queueARN string) events.SQSMessage {
	record := events.SQSMessage{
		MessageId:      aws.ToString(m.MessageId),
		ReceiptHandle:  aws.ToString(m.ReceiptHandle),
		Body:           aws.ToString(m.Body),
		Attributes:     m.Attributes,
		EventSource:    "aws:sqs",
		EventSourceARN: queueARN,
	}
	for name, a := range m.MessageAttributes {
		if record.MessageAttributes == nil {
			record.MessageAttributes = map[string]events.SQSMessageAttribute{}
		}
		record.MessageAttributes[name] = events.SQSMessageAttribute{
			StringValue: a.StringValue, BinaryValue: a.BinaryValue, DataType: aws.ToString(a.DataType),
		}
	}
	return record
}
