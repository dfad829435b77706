package deadletter

import (
	"maps"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// undelivered are the attributes that SNS adds to a message that it puts into the
// dead-letter queue of a subscription. The body is what the subscription would have
// delivered: the envelope or, with raw message delivery, the message, whose own
// attributes are then beside these. SNS's documentation does not list them; they are
// known from what AWS sends (https://github.com/localstack/localstack/issues/6639).
var undelivered = []string{"RequestID", "ErrorCode", "ErrorMessage"}

// readUndelivered finds out whether SNS could not deliver the message, and takes
// out the attributes that say so.
func (m *Message) readUndelivered() {
	if m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)] != "" {
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
