package handler

import (
	"scout/internal/jsonscan"
	"scout/internal/printable"
)

// An envelope is the JSON object in which SNS delivers a published message to a
// queue. See "HTTP/HTTPS notification JSON format" in the Amazon SNS Developer
// Guide; SQS gets the same JSON.
//
// The fields share memory with the message's body and with the scanner that
// read it.
type envelope struct {
	Type       []byte
	TopicARN   []byte // of an SNS topic, see isTopicARN
	MessageID  []byte // assigned by SNS, the same each time SNS delivers the message; empty if there is none
	OddID      bool   // the MessageId is neither a string nor null
	Message    []byte
	Subject    []byte // nil if there is none
	Timestamp  []byte
	Attributes []attribute

	// Refused is set if a Sidekiq job cannot carry the envelope's text; see
	// jsonscan.Verdict.
	Refused error
}

// An attribute is a message attribute in an envelope.
type attribute struct{ Name, Type, Value []byte }

// decodeEnvelope decodes an envelope. It matches keys exactly, because a decoder
// that ignores case, as encoding/json does, would let "topicarn" override
// "TopicArn". With an error, the envelope has its topic and its id, if these are
// valid. A topic ARN that is known to be valid is not checked again.
func decodeEnvelope(body []byte, scanner *jsonscan.Scanner, knownTopic string) (e envelope, err error) {
	members, verdict := scanner.Object(body)
	switch {
	case len(body) == 0:
		return e, reject(ReasonNotEnvelope, "the message has no body; SQS delivers no such message, so look at what made this event")
	case verdict.Syntax != nil:
		return e, reject(ReasonNotEnvelope, "the body is not an SNS envelope: %v%s", verdict.Syntax, rawDeliveryHint)
	case !jsonscan.IsObject(body):
		return e, reject(ReasonNotEnvelope, "the body is not an SNS envelope but another JSON value%s", rawDeliveryHint)
	}
	e.readMembers(members)
	if e.Refused = verdict.Refused; e.Refused != nil {
		if key := duplicateKey(members); key != "" {
			return envelope{}, reject(ReasonNotEnvelope, "the body is not an SNS envelope: it has a duplicate key %q", key)
		}
	}
	return e, e.check(knownTopic)
}

func (e *envelope) readMembers(members []jsonscan.Member) {
	for _, m := range members {
		switch string(m.Key) {
		case "Type":
			e.Type = m.String
		case "TopicArn":
			e.TopicARN = m.String
		case "Message":
			e.Message = m.String
		case "MessageId":
			e.MessageID = m.String
			e.OddID = m.String == nil && string(m.Value) != "null"
		case "Subject":
			e.Subject = m.String
		case "Timestamp":
			e.Timestamp = m.String
		case "MessageAttributes":
			e.Attributes = decodeAttributes(m.Value)
		}
	}
}

// check returns an error unless the envelope is that of a notification. It
// removes an invalid topic.
func (e *envelope) check(knownTopic string) error {
	topic := e.TopicARN
	isKnown := knownTopic != "" && string(topic) == knownTopic
	if !isKnown && !isTopicARN(topic) {
		e.TopicARN = nil
	}
	switch kind := string(e.Type); {
	case kind != "Notification" && kind != "SubscriptionConfirmation" && kind != "UnsubscribeConfirmation":
		return reject(ReasonNotEnvelope, `the body is not an SNS notification: it has no "Type": "Notification"%s`, rawDeliveryHint)
	case topic == nil:
		return reject(ReasonNotEnvelope, `the SNS envelope has no string "TopicArn"`)
	case e.TopicARN == nil:
		return reject(ReasonNotEnvelope, `the SNS envelope's TopicArn is not the ARN of an SNS topic, but "%s"`, printable.Text(string(topic), 100))
	case kind == "SubscriptionConfirmation":
		return reject(ReasonNotEnvelope, "a subscription to the topic %s waits to be confirmed; to confirm it, open the SubscribeURL in this message's body", TopicName(string(topic)))
	case kind == "UnsubscribeConfirmation":
		return reject(ReasonNotEnvelope, "the subscription to the topic %s has been cancelled, and its restoration waits to be confirmed; to restore it, open the SubscribeURL in this message's body", TopicName(string(topic)))
	case e.Message == nil:
		return reject(ReasonNotEnvelope, `the SNS envelope has no string "Message"`)
	case e.OddID:
		return reject(ReasonNotEnvelope, `the SNS envelope's MessageId is not a string`)
	}
	return nil
}

const rawDeliveryHint = "; if it comes from SNS, turn off raw message delivery on the subscription"

// duplicateKey returns a key of an SNS envelope that stands twice among the
// members, "" if none does.
func duplicateKey(members []jsonscan.Member) string {
	for _, key := range []string{"Type", "TopicArn", "Message", "MessageId", "Subject", "Timestamp", "MessageAttributes"} {
		n := 0
		for _, m := range members {
			if string(m.Key) == key {
				n++
			}
		}
		if n > 1 {
			return key
		}
	}
	return ""
}

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
