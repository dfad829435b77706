package devstack

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const maxSubject = 100 // characters

// Notification is what is published to a topic.
type Notification struct {
	Message         string
	Subject         string // optional
	Attributes      map[string]Attribute
	GroupID         string // required by FIFO topics
	DeduplicationID string // FIFO topics only

	// Structure is empty or "json". Then Message is an object with a string for "default", and another one for "sqs"
	// if queues shall get that instead.
	Structure string
}

// Publish sends a notification to every queue that is subscribed to the topic, and returns its id. A duplicate in a
// FIFO topic is not sent, and has the id of the first. A queue that refuses the notification does not get it; see Log.
func (s *Server) Publish(topicARN string, n Notification) (messageID string, err error) {
	a, err := s.publish(topicARN, n)
	return a.id, err
}

func (s *Server) publish(topicARN string, n Notification) (a accepted, err error) {
	err = s.withTopic(topicARN, func(t *topic) error {
		if err := n.check(t); err != nil {
			return err
		}
		if n.Message, err = n.forQueues(); err != nil {
			return err
		}
		a = s.fanOut(t, n, time.Now())
		return nil
	})
	return a, err
}

// fanOut delivers the notification to all subscribers of the topic, unless it is a duplicate.
func (s *Server) fanOut(t *topic, n Notification, now time.Time) accepted {
	a := accepted{id: newID()}
	if t.fifo() {
		if n.DeduplicationID == "" {
			n.DeduplicationID = contentID(n.Message)
		}
		if first, ok := t.recent.find(n.DeduplicationID, now); ok {
			return first
		}
		a.sequence = sequenceNumber(t.published + 1)
		t.recent.remember(n.DeduplicationID, a, now)
	}
	t.published++
	for _, sub := range t.subscriptions {
		if err := s.deliver(sub, n, a, now); err != nil && s.Log != nil {
			s.Log.Warn("notification not delivered", "topic", t.arn, "queue", sub.queueARN, "message_id", a.id, "error", err)
		}
	}
	return a
}

// deliver sends the notification to the subscribed queue, in an envelope or raw. FIFO queues order and de-duplicate
// it by the ids of the publisher; a standard one has no use for a de-duplication id, and would refuse it.
func (s *Server) deliver(sub *subscription, n Notification, a accepted, now time.Time) error {
	q := queueByARN(s.queues, sub.queueARN)
	if q == nil {
		return errQueueDoesNotExist
	}
	d := draft{GroupID: n.GroupID}
	if q.fifo {
		d.DeduplicationID = n.DeduplicationID
	}
	if sub.raw {
		d.Body, d.Attributes = n.Message, n.Attributes
	} else {
		d.Body = n.envelope(sub, a, now)
	}
	_, err := q.send(d, now)
	return err
}

// size is what counts towards the limits.
func (n Notification) size() int { return len(n.Message) + attributesSize(n.Attributes) }

// check returns why the topic refuses the notification.
func (n Notification) check(t *topic) error {
	if n.Message == "" {
		return errInvalidParameter("Message", "Empty message")
	}
	if n.size() > t.maxSize() {
		return errInvalidParameter("Message", fmt.Sprintf("Message too long: %d bytes of at most %d", n.size(), t.maxSize()))
	}
	if utf8.RuneCountInString(n.Subject) > maxSubject || strings.ContainsFunc(n.Subject, unicode.IsControl) {
		return errInvalidParameter("Subject",
			fmt.Sprintf("it must have at most %d characters, and no line breaks or control characters", maxSubject))
	}
	if fault := attributesFault(n.Attributes); fault != "" {
		return errInvalidParameter("MessageAttributes", fault)
	}
	switch {
	case n.GroupID != "" && !validFIFOID.MatchString(n.GroupID):
		return errInvalidParameter("MessageGroupId", "it must have 1 to 128 alphanumeric and punctuation characters")
	case n.DeduplicationID != "" && !validFIFOID.MatchString(n.DeduplicationID):
		return errInvalidParameter("MessageDeduplicationId", "it must have 1 to 128 alphanumeric and punctuation characters")
	case !t.fifo() && n.DeduplicationID != "":
		return errInvalidParameter("MessageDeduplicationId",
			"The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	case t.fifo() && n.GroupID == "":
		return errInvalidParameter("MessageGroupId", "The MessageGroupId parameter is required for FIFO topics")
	case t.fifo() && n.DeduplicationID == "" && !t.contentDedup():
		return errInvalidParameter("MessageDeduplicationId",
			"The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// forQueues returns the message that queues get.
func (n Notification) forQueues() (string, error) {
	switch n.Structure {
	case "":
		return n.Message, nil
	case "json":
	default:
		return "", errInvalidParameter("MessageStructure", `it must be "json" if given`)
	}
	var byProtocol map[string]any
	if err := json.Unmarshal([]byte(n.Message), &byProtocol); err != nil {
		return "", errInvalidParameter("Message Structure", "JSON message body failed to parse")
	}
	fallback, ok := byProtocol["default"].(string)
	if !ok {
		return "", errInvalidParameter("Message Structure", "No default entry in JSON message body")
	}
	if message, ok := byProtocol["sqs"].(string); ok {
		return message, nil
	}
	return fallback, nil
}
