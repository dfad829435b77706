package handler

import (
	"strings"

	"scout/internal/jsonscan"
)

// An envelope is what SNS wraps a published message in before it sends it to
// a queue. See "Amazon SNS message formats", HTTP/HTTPS notification JSON
// format, in the Amazon SNS Developer Guide; the same JSON is sent to SQS.
//
// The fields are parts of the message's body and of the scanner that read it.
type envelope struct {
	TopicARN   []byte
	MessageID  []byte // of SNS; the same when SNS sends again
	Message    []byte
	Subject    []byte // nil if the message has none
	Timestamp  []byte
	Attributes []attribute
}

// An attribute is a message attribute as SNS writes it into the envelope.
type attribute struct{ Name, Type, Value []byte }

// decodeEnvelope reads an envelope, with its keys matched exactly: a decoder
// that ignores case, as encoding/json does, would let "topicarn" override
// "TopicArn".
func decodeEnvelope(body []byte, scanner *jsonscan.Scanner) (e envelope, err error) {
	members, verdict := scanner.Object(body)
	switch {
	case verdict.Syntax != nil:
		return e, refuse(ReasonNotEnvelope, "the body is no SNS envelope: %v%s", verdict.Syntax, rawHint)
	case !jsonscan.IsObject(body):
		return e, refuse(ReasonNotEnvelope, "the body is no SNS envelope but another JSON value%s", rawHint)
	case verdict.Refused != nil:
		return e, refuse(ReasonNotEnvelope, "the body is no SNS envelope: %v", verdict.Refused)
	}
	var kind []byte
	for _, m := range members {
		switch string(m.Key) {
		case "Type":
			kind = m.String
		case "TopicArn":
			e.TopicARN = m.String
		case "Message":
			e.Message = m.String
		case "MessageId":
			e.MessageID = m.String
		case "Subject":
			e.Subject = m.String
		case "Timestamp":
			e.Timestamp = m.String
		case "MessageAttributes":
			e.Attributes = decodeAttributes(m.Value)
		}
	}
	if string(kind) != "Notification" {
		return e, refuse(ReasonNotEnvelope, `the body is no SNS notification: it has no "Type": "Notification"%s`, rawHint)
	}
	for _, required := range []struct {
		key   string
		value []byte
	}{{"TopicArn", e.TopicARN}, {"Message", e.Message}, {"MessageId", e.MessageID}} {
		if required.value == nil {
			return e, refuse(ReasonNotEnvelope, "the SNS envelope has no string %q", required.key)
		}
	}
	return e, nil
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
		a := attribute{Name: name}
		for key, value := range jsonscan.Members(value) {
			switch string(key) {
			case "Type":
				a.Type = text(value)
			case "Value":
				a.Value = text(value)
			}
		}
		attributes = append(attributes, a)
	}
	return attributes
}

// text decodes a string. It returns nil for any other value.
func text(value []byte) []byte {
	if !jsonscan.IsString(value) {
		return nil
	}
	return jsonscan.Unquote(value)
}

// TopicName is the last part of a topic's ARN.
func TopicName(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }
