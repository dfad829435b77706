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
	HasTopic   bool   // there is a TopicArn, of any type
	TopicARN   []byte // nil unless it is a string
	MessageID  []byte // assigned by SNS, the same each time SNS delivers the message; empty if there is none
	OddID      bool   // the MessageId is neither a string nor null
	Message    []byte
	Subject    []byte // nil if there is none
	Timestamp  []byte
	Attributes []attribute
}

// An attribute is a message attribute in an envelope.
type attribute struct{ Name, Type, Value []byte }

// isSNS reports whether the envelope is one that SNS sends: a notification, or a
// message about the subscription.
func (e *envelope) isSNS() bool { return e.HasTopic && isSNSType(string(e.Type)) }

func isSNSType(kind string) bool {
	return kind == "Notification" || kind == "SubscriptionConfirmation" || kind == "UnsubscribeConfirmation"
}

// envelopeKeys are the keys of an SNS envelope that Scout reads.
var envelopeKeys = []string{"Type", "TopicArn", "Message", "MessageId", "Subject", "Timestamp", "MessageAttributes"}

// readNotification reads a message of SNS.
func (t *translator) readNotification(members []jsonscan.Member, refused error) error {
	e := &t.envelope
	if refused != nil {
		if key := duplicateKey(members, envelopeKeys); key != "" {
			return reject(ReasonNotEnvelope, "the body is not an SNS envelope: it has a duplicate key %q", key)
		}
	}
	isKnown := t.topicARN != "" && string(e.TopicARN) == t.topicARN
	if !isKnown && !isTopicARN(e.TopicARN) {
		return e.explain("")
	}
	t.lookUpTopic(e.TopicARN)
	t.items.add(item{
		source: SourceSNS, name: t.topicARN, id: t.keep(e.MessageID), text: e.Message, route: t.topic, refused: refused,
	})
	if string(e.Type) != "Notification" || e.Message == nil || e.OddID {
		return e.explain("")
	}
	return nil
}

// lookUpTopic sets the translator's topic and its route. The next message is likely
// to have the topic of the previous one.
func (t *translator) lookUpTopic(topicARN []byte) {
	if t.topicARN == "" || t.topicARN != string(topicARN) {
		t.topicARN = string(topicARN)
		t.topic = t.router.findTopic(t.topicARN)
	}
}

func (e *envelope) readMembers(members []jsonscan.Member) {
	for _, m := range members {
		switch string(m.Key) {
		case "Type":
			e.Type = m.String
		case "TopicArn":
			e.TopicARN, e.HasTopic = m.String, true
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

// explain returns what keeps the envelope from being that of a notification, nil
// if nothing does. The hint says what to do if SNS did not send it.
func (e *envelope) explain(hint string) error {
	topic := string(e.TopicARN)
	switch kind := string(e.Type); {
	case !isSNSType(kind):
		return reject(ReasonNotEnvelope, `the body is not an SNS notification: it has no "Type": "Notification"%s`, hint)
	case e.TopicARN == nil:
		return reject(ReasonNotEnvelope, `the SNS envelope has no string "TopicArn"%s`, hint)
	case !isTopicARN(e.TopicARN):
		return reject(ReasonNotEnvelope, `the SNS envelope's TopicArn is not the ARN of an SNS topic, but "%s"`, printable.Text(topic, 100))
	case kind == "SubscriptionConfirmation":
		return reject(ReasonNotEnvelope, "a subscription to the topic %s waits to be confirmed; to confirm it, open the SubscribeURL in this message's body", TopicName(topic))
	case kind == "UnsubscribeConfirmation":
		return reject(ReasonNotEnvelope, "the subscription to the topic %s has been cancelled, and its restoration waits to be confirmed; to restore it, open the SubscribeURL in this message's body", TopicName(topic))
	case e.Message == nil:
		return reject(ReasonNotEnvelope, `the SNS envelope has no string "Message"`)
	case e.OddID:
		return reject(ReasonNotEnvelope, `the SNS envelope's MessageId is not a string`)
	}
	return nil
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
