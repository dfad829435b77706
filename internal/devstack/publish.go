package devstack

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"scout/internal/uuid"
)

const maxSubject = 100 // characters

// Notification is a message to publish to a topic.
type Notification struct {
	Message         string
	Subject         string // optional
	Attributes      map[string]Attribute
	GroupID         string // required for FIFO topics
	DeduplicationID string // FIFO topics only

	TraceHeader string // the X-Ray header of the publisher's request; optional

	// Structure is empty or "json". With "json", Message is a JSON object of strings, of which queues
	// receive "sqs" or, without it, "default", which is required.
	Structure string
}

// Publish sends a notification to every queue that is subscribed to the topic and returns its id. A
// FIFO topic does not send duplicates; it returns the id of the first notification. If a queue no
// longer exists, the dead-letter queue of its subscription gets the notification, with attributes that
// say why. If a queue rejects the notification, Publish logs that to Log and still succeeds.
func (s *Server) Publish(topicARN string, n Notification) (messageID string, err error) {
	result, err := s.publish(topicARN, n)
	return result.id, err
}

func (s *Server) publish(topicARN string, n Notification) (result sendResult, err error) {
	err = s.withTopic(topicARN, func(t *topic) error {
		if err := n.check(t); err != nil {
			return err
		}
		if n.Message, err = n.forQueues(); err != nil {
			return err
		}
		result = s.fanOut(t, n, time.Now())
		return nil
	})
	return result, err
}

// fanOut delivers the notification to all subscribers of the topic, unless it is a duplicate.
func (s *Server) fanOut(t *topic, n Notification, now time.Time) sendResult {
	result := sendResult{id: uuid.New()}
	if t.fifo() {
		if n.DeduplicationID == "" {
			n.DeduplicationID = contentID(n.Message)
		}
		if first, ok := t.recent.find(n.DeduplicationID, now); ok {
			return first
		}
		result.sequence = sequenceNumber(t.published + 1)
		t.recent.remember(n.DeduplicationID, result, now)
	}
	t.published++
	for _, sub := range t.subscriptions {
		if err := s.deliver(sub, n, result, now); err != nil && s.Log != nil {
			s.Log.Warn("notification not delivered", "topic", t.arn, "queue", sub.queueARN, "message_id", result.id, "error", err)
		}
	}
	return result
}

// deliver sends the notification to the subscribed queue, in an envelope or raw. A FIFO queue orders and
// de-duplicates notifications by the ids of their publisher. A standard queue would reject a
// de-duplication id, so it receives none.
func (s *Server) deliver(sub *subscription, n Notification, result sendResult, now time.Time) error {
	var failure map[string]Attribute
	q := queueByARN(s.queues, sub.queueARN)
	if q == nil {
		q, failure = queueByARN(s.queues, sub.deadLetterARN), undelivered(errQueueDoesNotExist)
	}
	if q == nil {
		return errQueueDoesNotExist
	}
	in := sendInput{GroupID: n.GroupID, Attributes: map[string]Attribute{}}
	if n.TraceHeader != "" {
		in.SystemAttributes = map[string]Attribute{traceHeader: {DataType: "String", StringValue: n.TraceHeader}}
	}
	if q.fifo {
		in.DeduplicationID = n.DeduplicationID
	}
	if sub.raw {
		in.Body = n.Message
		maps.Copy(in.Attributes, n.Attributes)
	} else {
		in.Body = n.envelope(sub, result, now)
	}
	maps.Copy(in.Attributes, failure)
	_, err := q.send(in, now)
	return err
}

// undelivered returns the attributes that SNS adds to a message in the dead-letter queue of a
// subscription. See https://github.com/localstack/localstack/issues/6639.
func undelivered(cause *apiError) map[string]Attribute {
	text := func(s string) Attribute { return Attribute{DataType: "String", StringValue: s} }
	return map[string]Attribute{"RequestID": text(uuid.New()), "ErrorCode": text(cause.query), "ErrorMessage": text(cause.message)}
}

// size is the number of bytes that count towards the limits.
func (n Notification) size() int { return len(n.Message) + attributesSize(n.Attributes) }

// check returns the error with which the topic rejects the notification.
func (n Notification) check(t *topic) error {
	if n.Message == "" {
		return errInvalidParameter("Message", "Empty message")
	}
	if n.size() > t.maxSize() {
		return errInvalidParameter("Message", fmt.Sprintf("Message too long: %d bytes, the maximum is %d", n.size(), t.maxSize()))
	}
	if utf8.RuneCountInString(n.Subject) > maxSubject || strings.ContainsFunc(n.Subject, unicode.IsControl) {
		return errInvalidParameter("Subject",
			fmt.Sprintf("it must have a maximum of %d characters and no line breaks or control characters", maxSubject))
	}
	if reason := invalidAttribute(n.Attributes); reason != "" {
		return errInvalidParameter("MessageAttributes", reason)
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

// forQueues returns the message that queues receive.
func (n Notification) forQueues() (string, error) {
	switch n.Structure {
	case "":
		return n.Message, nil
	case "json":
	default:
		return "", errInvalidParameter("MessageStructure", `it must be "json" or unset`)
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
