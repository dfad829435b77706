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

// What to ask SQS for besides the body: what the handler reads.
var (
	systemAttributes = []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameSentTimestamp,
		types.MessageSystemAttributeNameMessageGroupId,
	}
	messageAttributes = []string{"traceparent", "tracestate", "baggage"}
)

// cycle is one poll: it receives, hands over, and deletes or gives back. It
// sends how many messages it got as soon as it knows. ctx ends when the Poller
// is to stop, the others some time later.
func (r *run) cycle(ctx, handling, finishing context.Context) outcome {
	tuning := r.tuning()
	messages, err := r.receive(handling, tuning)
	r.received <- len(messages)
	if err != nil || len(messages) == 0 {
		return outcome{0, err}
	}
	if ctx.Err() != nil && r.broken.Load() {
		r.giveBack(finishing, messages, atOnce) // there is no time to wait until it passes
		return outcome{messages: len(messages)}
	}
	hand := r.take(messages, tuning)
	handled, kept, err := r.handle(handling, messages)
	r.release(hand)
	if ctx.Err() != nil && len(kept) > 0 {
		r.giveBack(finishing, kept, atOnce)
	} else if err != nil {
		r.counters.fail(err)
		r.giveBack(finishing, kept, backOff)
	}
	if strings.HasSuffix(r.QueueARN, ".fifo") {
		r.deleter.delete(handled) // until then, nobody gets the next messages of their groups
	} else {
		r.deleter.add(handled)
	}
	return outcome{len(messages), err}
}

// receiveTimeout is the longest that SQS lets a long poll wait, 20 s, and some
// time for the network. SQS ends a long poll by itself, after the queue's own
// time if WaitTime is 0; what takes longer is a dead connection.
const receiveTimeout = 25 * time.Second

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
	}, func(o *sqs.Options) {
		o.RetryMaxAttempts = 1 // the timeout is for one; the Poller tries again
	})
	if err != nil {
		err = fmt.Errorf("receiving messages: %w", err)
		p.counters.errors.Add(1)
		p.counters.fail(err)
		return nil, err
	}
	if len(out.Messages) == 0 {
		p.counters.empty.Add(1)
		return nil, nil
	}
	p.counters.messages.Add(1)
	p.counters.received.Add(int64(len(out.Messages)))
	return out.Messages, nil
}

// handleTimeout is how long Handle may take. The messages stay hidden for as
// long; but somebody else may get them to Redis sooner.
const handleTimeout = 30 * time.Second

// handle returns the messages that were handled and those to keep. An error
// means that none was handled.
func (p *Poller) handle(ctx context.Context, messages []message) (handled, kept []message, err error) {
	ctx, cancel := context.WithTimeout(ctx, handleTimeout)
	defer cancel()
	response, err := p.Handle(ctx, p.event(messages))
	if err != nil {
		return nil, messages, err
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
	for _, m := range messages {
		delete(failed, aws.ToString(m.MessageId))
	}
	if len(failed) > 0 {
		// As in Lambda: who knows which messages are meant.
		return nil, messages, errors.New("the handler reported the failure of a message that it was not given")
	}
	return handled, kept, nil
}

// event is what AWS would give a Lambda function for these messages.
func (p *Poller) event(messages []message) events.SQSEvent {
	records := make([]events.SQSMessage, len(messages))
	for i, m := range messages {
		records[i] = events.SQSMessage{
			MessageId:      aws.ToString(m.MessageId),
			ReceiptHandle:  aws.ToString(m.ReceiptHandle),
			Body:           aws.ToString(m.Body),
			Attributes:     m.Attributes,
			EventSource:    "aws:sqs",
			EventSourceARN: p.QueueARN,
		}
		for name, a := range m.MessageAttributes {
			if records[i].MessageAttributes == nil {
				records[i].MessageAttributes = map[string]events.SQSMessageAttribute{}
			}
			records[i].MessageAttributes[name] = events.SQSMessageAttribute{
				StringValue: a.StringValue,
				BinaryValue: a.BinaryValue,
				DataType:    aws.ToString(a.DataType),
			}
		}
	}
	return events.SQSEvent{Records: records}
}
