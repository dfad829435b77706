package poller

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// What to ask SQS for besides the body: what the handler reads.
var (
	systemAttributes = []types.MessageSystemAttributeName{
		types.MessageSystemAttributeNameApproximateReceiveCount,
		types.MessageSystemAttributeNameSentTimestamp,
		types.MessageSystemAttributeNameMessageGroupId,
	}
	messageAttributes = []string{"traceparent", "tracestate", "baggage"}
)

// stopTimeout is how long handling and deleting may take once ctx has ended.
const stopTimeout = 4 * time.Second

// limit returns a context for work that goes on after ctx has ended, but for
// stopTimeout only, and for d in any case.
func limit(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(stopTimeout, cancel) })
	return limited, func() { stop(); cancel() }
}

// cycle is one poll: it receives, hands over and deletes. It sends how many
// messages it got as soon as it knows.
func (p *Poller) cycle(ctx context.Context, received chan<- int) outcome {
	messages, err := p.receive(ctx)
	received <- len(messages)
	if err != nil || len(messages) == 0 {
		return outcome{0, err}
	}
	handled, err := p.handle(ctx, messages)
	p.deleteMessages(ctx, handled)
	return outcome{len(messages), err}
}

// receiveTimeout is the longest that SQS lets a long poll wait, 20 s, and some
// time for the network. SQS ends a long poll by itself, after the queue's own
// time if WaitTime is 0; what takes longer is a dead connection.
const receiveTimeout = 25 * time.Second

func (p *Poller) receive(ctx context.Context) ([]types.Message, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), receiveTimeout)
	defer cancel()
	out, err := p.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &p.QueueURL,
		MaxNumberOfMessages:         int32(p.maxMessages()),
		WaitTimeSeconds:             int32(p.WaitTime / time.Second),
		VisibilityTimeout:           int32(p.VisibilityTimeout / time.Second),
		MessageSystemAttributeNames: systemAttributes,
		MessageAttributeNames:       messageAttributes,
	}, func(o *sqs.Options) {
		o.RetryMaxAttempts = 1 // the timeout is for one; the Poller tries again
	})
	if err != nil {
		return nil, fmt.Errorf("receiving messages: %w", err)
	}
	return out.Messages, nil
}

// handle returns the messages that were handled. An error means that none was.
func (p *Poller) handle(ctx context.Context, messages []types.Message) ([]types.Message, error) {
	ctx, cancel := limit(ctx, p.handleTimeout())
	defer cancel()
	response, err := p.Handle(ctx, p.event(messages))
	if err != nil {
		return nil, err
	}
	keep := make(map[string]bool, len(response.BatchItemFailures))
	for _, failure := range response.BatchItemFailures {
		keep[failure.ItemIdentifier] = true
	}
	var handled []types.Message
	for _, m := range messages {
		if !keep[aws.ToString(m.MessageId)] {
			handled = append(handled, m)
		}
	}
	for _, m := range messages {
		delete(keep, aws.ToString(m.MessageId))
	}
	if len(keep) > 0 {
		// As in Lambda: who knows which messages are meant.
		return nil, errors.New("the handler reported the failure of a message that it was not given")
	}
	return handled, nil
}

// handleTimeout is how long Handle may take: not until others see the messages
// again. SQS's own visibility timeout is 30 s if nobody changed it.
func (p *Poller) handleTimeout() time.Duration {
	if p.VisibilityTimeout > 0 {
		return p.VisibilityTimeout * 4 / 5
	}
	return 24 * time.Second
}

// event is what AWS would give a Lambda function for these messages.
func (p *Poller) event(messages []types.Message) events.SQSEvent {
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

// deleteTries is how often the deletion of a message is tried, besides what
// the SDK does.
const deleteTries = 3

// deleteMessages deletes messages. One that cannot be deleted comes again, and its
// jobs are recognised then.
func (p *Poller) deleteMessages(ctx context.Context, messages []types.Message) {
	ctx, cancel := limit(ctx, 30*time.Second)
	defer cancel()
	for try := 1; len(messages) > 0 && try <= deleteTries; try++ {
		if try > 1 {
			time.Sleep(time.Duration(try) * 50 * time.Millisecond)
		}
		messages = p.deleteBatch(ctx, messages)
	}
	for _, m := range messages {
		p.log().Warn("message not deleted; it will come again", "message_id", aws.ToString(m.MessageId))
	}
}

// deleteBatch returns the messages whose deletion may be tried again.
func (p *Poller) deleteBatch(ctx context.Context, messages []types.Message) (again []types.Message) {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(messages))
	for i, m := range messages {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
	}
	out, err := p.SQS.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &p.QueueURL, Entries: entries})
	if err != nil {
		p.log().Warn("deleting messages failed", "messages", len(messages), "error", err)
		return messages
	}
	for _, f := range out.Failed {
		i, err := strconv.Atoi(aws.ToString(f.Id))
		if err != nil || i >= len(messages) {
			continue
		}
		if !f.SenderFault {
			again = append(again, messages[i])
			continue
		}
		// Most often a receipt handle that ran out because handling took longer than the visibility timeout.
		p.log().Warn("message not deleted; it will come again", "message_id", aws.ToString(messages[i].MessageId), "code", aws.ToString(f.Code))
	}
	return again
}
