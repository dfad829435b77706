package handler

import (
	"strings"

	"scout/internal/jsonscan"
)

// An envelope is the JSON object in which SNS delivers a published message to a
// queue. See "HTTP/HTTPS notification JSON format" in the Amazon SNS Developer
// Guide; SQS gets the same JSON.
//
// The fields share memory with the message's body and with the scanner that
// read it.
type envelope struct {
	TopicARN   []byte
	MessageID  []byte // assigned by SNS; the same each time SNS delivers the message
	Message    []byte
	Subject    []byte // nil if there is none
	Timestamp  []byte
	Attributes []attribute
}

// An attribute is a message attribute in an envelope.
type attribute struct{ Name, Type, Value []byte }

// decodeEnvelope decodes an envelope. It matches keys exactly, because a decoder
// that ignores case, as encoding/json does, would let "topicarn" override
// "TopicArn".
func decodeEnvelope(body []byte, scanner *jsonscan.Scanner) (e envelope, err error) {
	members, verdict := scanner.Object(body)
	switch {
	case verdict.Syntax != nil:
		return e, reject(ReasonNotEnvelope, "the body is not an SNS envelope: %v%s", verdict.Syntax, rawDeliveryHint)
	case !jsonscan.IsObject(body):
		return e, reject(ReasonNotEnvelope, "the body is not an SNS envelope but another JSON value%s", rawDeliveryHint)
	case verdict.Refused != nil:
		return e, reject(ReasonNotEnvelope, "the body is not an SNS envelope: %v", verdict.Refused)
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
		return e, reject(ReasonNotEnvelope, `the body is not an SNS notification: it has no "Type": "Notification"%s`, rawDeliveryHint)
	}
	for _, required := range []struct {
		key   string
		value []byte
	}{{"TopicArn", e.TopicARN}, {"Message", e.Message}, {"MessageId", e.MessageID}} {
		if required.value == nil {
			return e, reject(ReasonNotEnvelope, "the SNS envelope has no string %q", required.key)
		}
	}
	return e, nil
}

const rawDeliveryHint = "; if it comes from SNS, turn off raw message delivery on the subscription"

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
				a.Type = decodeString(value)
			case "Value":
				a.Value = decodeString(value)
			}
		}
		attributes = append(attributes, a)
	}
	return attributes
}

// decodeString decodes a JSON string. It returns nil for any other value.
func decodeString(value []byte) []byte {
	if !jsonscan.IsString(value) {
		return nil
	}
	return jsonscan.Unquote(value)
}

// TopicName returns the last part of a topic's ARN.
func TopicName(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }
