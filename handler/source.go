package handler

import (
	"cmp"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/internal/printable"
)

// A Source is what kind of message a message is.
type Source string

// The sources of messages.
const (
	SourceSNS         Source = "sns"         // an SNS notification
	SourceEventBridge Source = "eventbridge" // an EventBridge event
	SourceS3          Source = "s3"          // an event notification of S3
	SourcePlain       Source = "plain"       // any other message
)

// An item is a part of a message that has a route of its own: a record of an S3
// notification, and of any other message the whole. It shares memory with the
// message's body and with the scanner that read it.
type item struct {
	source Source
	name   string // of the source in the identity: the topic's ARN, the event's source, the bucket or the SQS queue
	id     string // "" if the message has none
	text   []byte // what becomes the message argument
	route  *route // nil if none matches

	// refused is set if a Sidekiq job cannot carry what is around the text.
	refused error

	event  *bridgeEvent
	record *s3Record
}

// An itemList holds the items of a message. Most messages have one, which needs no
// allocation.
type itemList struct {
	n     int
	first item
	rest  []item
}

func (l *itemList) reset() { l.n, l.rest = 0, l.rest[:0] }

func (l *itemList) add(it item) {
	if l.n++; l.n == 1 {
		l.first = it
		return
	}
	l.rest = append(l.rest, it)
}

func (l *itemList) at(n int) *item {
	if n == 0 {
		return &l.first
	}
	return &l.rest[n-1]
}

// maxLabel is the maximum length of a label in bytes.
const maxLabel = 256

// label returns where the item comes from, for people.
func (it *item) label() string {
	switch it.source {
	case SourceSNS:
		return TopicName(it.name)
	case SourceEventBridge:
		return printable.Text(it.event.key(), maxLabel)
	case SourceS3:
		return printable.Text(it.name, maxLabel)
	}
	return ""
}

// read finds out what kind of message the translator's body is and sets the
// translator's items. With an error, the items are those that could be read.
func (t *translator) read(m *events.SQSMessage) error {
	t.items.reset()
	t.source = SourcePlain
	if len(t.body) == 0 {
		return reject(ReasonNotEnvelope, "the message has no body; SQS delivers no such message, so look at what made this event")
	}
	members, verdict := t.bodyScanner.Object(t.body)
	t.envelope = envelope{}
	t.envelope.readMembers(members)
	switch {
	case t.envelope.isSNS():
		t.source = SourceSNS
		return t.readNotification(members, verdict.Refused)
	case verdict.Syntax != nil || !jsonscan.IsObject(t.body):
		return t.readPlain(m, verdict.Syntax)
	}
	if e := readBridgeEvent(members); e != nil {
		t.source = SourceEventBridge
		return t.readBridge(e, members, verdict.Refused)
	}
	if records := readRecords(members); records.isTest || records.areS3 {
		t.source = SourceS3
		return t.readS3(&records, verdict.Refused)
	} else if records.other != "" && t.router.plain == nil {
		return reject(ReasonNotEnvelope, "the body has records of %s, for which Scout has no section; set queue.plain to take them", printable.Text(records.other, 100))
	}
	if verdict.Refused != nil {
		if key := duplicateKey(members, decisiveKeys); key != "" {
			return reject(ReasonNotEnvelope, "the body is not an SNS envelope: it has a duplicate key %q", key)
		}
	}
	return t.readPlain(m, nil)
}

// decisiveKeys decide what kind of message an object is.
var decisiveKeys = []string{"Type", "TopicArn", "source", "detail-type", "detail", "Records", "Service", "Event"}

// duplicateKey returns the first of the keys that stands twice among the members,
// "" if none does.
func duplicateKey(members []jsonscan.Member, keys []string) string {
	for _, key := range keys {
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

// addItem adds an item with the table's route for a key.
func (t *translator) addItem(it item, routes *table, key string) {
	it.route = routes.find(key)
	t.items.add(it)
}

// readPlain reads a message that is no other source's. Syntax is set if it is not
// JSON.
func (t *translator) readPlain(m *events.SQSMessage, syntax error) error {
	if t.router.plain != nil {
		t.items.add(item{source: SourcePlain, name: queueName(m), text: t.body, route: t.router.plain})
		return nil
	}
	const hint = "; if it comes from SNS, turn off raw message delivery on the subscription, or set queue.plain to take such messages"
	switch {
	case syntax != nil:
		return reject(ReasonNotEnvelope, "the body is not an SNS envelope: %v%s", syntax, hint)
	case !jsonscan.IsObject(t.body):
		return reject(ReasonNotEnvelope, "the body is not an SNS envelope but another JSON value%s", hint)
	}
	return t.envelope.explain(hint)
}

// queueName returns the name of the SQS queue that a message comes from, "" if the
// message does not say.
func queueName(m *events.SQSMessage) string { return TopicName(m.EventSourceARN) }

// plainID returns what tells a plain message from others of its queue.
func (t *translator) plainID(m *events.SQSMessage, message argument) (string, error) {
	s := t.router.messageID
	id, ok := m.MessageId, true
	switch {
	case s.Attribute != "":
		id, ok = selectAttribute(s.Attribute, nil, m)
	case s.Pointer != "":
		id, ok = selectPointer(s.Pointer, message.json)
	}
	if !ok || id == "" && s != (Selector{}) {
		return "", reject(ReasonUnacceptable, "the message has no %s, which queue.message_id says is its id; the sender has to add it", s)
	}
	return cmp.Or(id, m.MessageId), nil
}
