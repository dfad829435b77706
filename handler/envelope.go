package handler

import (
	"strings"

	"scout/internal/jsonscan"
)

// An envelope is what SNS wraps a published message in before it sends it to
// a queue. See "Amazon SNS message formats", HTTP/HTTPS notification JSON
// format, in the Amazon SNS Developer Guide; the same JSON is sent to SQS.
//
// The fields are parts of the message's body.
type envelope struct {
	TopicARN   string
	MessageID  string // of SNS; the same when SNS sends again
	Message    []byte
	Subject    []byte // nil if the message has none
	Timestamp  []byte
	Attributes []attribute
}

// An attribute is a message attribute as SNS writes it into the envelope.
type attribute struct{ Name, Type, Value string }

// decodeEnvelope reads an envelope, with its keys matched exactly: a decoder
// that ignores case, as encoding/json does, would let "topicarn" override
// "TopicArn".
func decodeEnvelope(body []byte) (*envelope, error) {
	verdict := jsonscan.Check(body)
	switch {
	case verdict.Syntax != nil:
		return nil, refuse(NotEnvelope, "the body is no SNS envelope: %v%s", verdict.Syntax, rawHint)
	case !jsonscan.IsObject(body):
		return nil, refuse(NotEnvelope, "the body is no SNS envelope but another JSON value%s", rawHint)
	case verdict.Refused != nil:
		return nil, refuse(NotEnvelope, "the body is no SNS envelope: %v", verdict.Refused)
	}
	var kind, topic, message, id, subject, timestamp, attributes []byte
	for key, value := range jsonscan.Members(body) {
		switch string(key) {
		case "Type":
			kind = value
		case "TopicArn":
			topic = value
		case "Message":
			message = value
		case "MessageId":
			id = value
		case "Subject":
			subject = value
		case "Timestamp":
			timestamp = value
		case "MessageAttributes":
			attributes = value
		}
	}
	if string(text(kind)) != "Notification" {
		return nil, refuse(NotEnvelope, `the body is no SNS notification: it has no "Type": "Notification"%s`, rawHint)
	}
	for _, required := range []struct {
		key   string
		value []byte
	}{{"TopicArn", topic}, {"Message", message}, {"MessageId", id}} {
		if !jsonscan.IsString(required.value) {
			return nil, refuse(NotEnvelope, "the SNS envelope has no string %q", required.key)
		}
	}
	return &envelope{
		TopicARN:   string(text(topic)),
		MessageID:  string(text(id)),
		Message:    text(message),
		Subject:    text(subject),
		Timestamp:  text(timestamp),
		Attributes: decodeAttributes(attributes),
	}, nil
}

// text decodes a string. It returns nil for any other value.
func text(value []byte) []byte {
	if !jsonscan.IsString(value) {
		return nil
	}
	return jsonscan.Unquote(value)
}

const rawHint = "; if it comes from SNS, turn off raw message delivery on the subscription"

func decodeAttributes(object []byte) []attribute {
	if !jsonscan.IsObject(object) {
		return nil
	}
	var attributes []attribute
	for name, value := range jsonscan.Members(object) {
		if !jsonscan.IsObject(value) {
			continue
		}
		a := attribute{Name: string(name)}
		for key, value := range jsonscan.Members(value) {
			switch string(key) {
			case "Type":
				a.Type = string(text(value))
			case "Value":
				a.Value = string(text(value))
			}
		}
		attributes = append(attributes, a)
	}
	return attributes
}

// TopicName is the last part of a topic's ARN.
func TopicName(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }
