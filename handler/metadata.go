package handler

import (
	"maps"
	"slices"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
)

// appendMetadata appends the metadata argument, which says where an item came
// from. It uses the id of the item's identity.
func (t *translator) appendMetadata(b []byte, it *item, m *events.SQSMessage) []byte {
	b = append(b, `{"source":"`...)
	b = append(append(b, it.source...), '"')
	switch it.source {
	case SourceSNS:
		b = t.appendNotification(b, &t.envelope)
	case SourceEventBridge:
		b = t.appendEvent(b, it.event)
	case SourceS3:
		b = appendRecord(b, it.record)
	case SourcePlain:
		b = appendMember(b, "message_id", t.id[0])
		b = appendAttributes(b, m)
	}
	b = appendMember(b, "sqs_message_id", m.MessageId)
	b = append(b, `,"receive_count":`...)
	count, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return append(strconv.AppendInt(b, int64(count), 10), '}')
}

// appendMember appends a comma, a name that needs no escapes, and a string.
func appendMember[T []byte | string](b []byte, name string, value T) []byte {
	b = append(append(b, `,"`...), name...)
	return jsonscan.AppendQuote(append(b, `":`...), value)
}

func (t *translator) appendNotification(b []byte, e *envelope) []byte {
	b = appendMember(b, "topic", TopicName(t.topicARN))
	b = appendMember(b, "topic_arn", t.topicARN)
	b = appendMember(b, "message_id", t.id[0])
	if e.Subject == nil {
		b = append(b, `,"subject":null`...)
	} else {
		b = appendMember(b, "subject", e.Subject)
	}
	b = appendMember(b, "timestamp", e.Timestamp)
	b = append(b, `,"attributes":{`...)
	for i, a := range e.Attributes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonscan.AppendQuote(b, a.Name), ':')
		b = jsonscan.AppendQuote(b, a.Value)
	}
	return append(b, '}')
}

// appendEvent appends the event's own source as event_source.
func (t *translator) appendEvent(b []byte, e *bridgeEvent) []byte {
	b = appendMember(b, "event_source", e.Source)
	b = appendMember(b, "detail_type", e.DetailType)
	b = appendMember(b, "message_id", t.id[0])
	b = appendMember(b, "timestamp", e.Time)
	b = appendMember(b, "account", e.Account)
	return appendMember(b, "region", e.Region)
}

func appendRecord(b []byte, r *s3Record) []byte {
	b = appendMember(b, "bucket", r.bucket)
	b = appendMember(b, "key", r.decodedKey())
	b = appendMember(b, "event", r.event)
	b = appendMember(b, "timestamp", r.time)
	return appendMember(b, "region", r.region)
}

// appendAttributes appends the message attributes of SQS that are not binary, by
// name.
func appendAttributes(b []byte, m *events.SQSMessage) []byte {
	b = append(b, `,"attributes":{`...)
	first := true
	for _, name := range slices.Sorted(maps.Keys(m.MessageAttributes)) {
		value, ok := selectAttribute(name, nil, m)
		if !ok {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(jsonscan.AppendQuote(b, name), ':')
		b = jsonscan.AppendQuote(b, value)
	}
	return append(b, '}')
}
