// Package configtest runs the tests of a configuration: messages with the expected
// results. It uses neither Redis nor SQS. Start at [Run].
package configtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"scout/config"
	"scout/handler"
	"scout/internal/explain"
)

// A Result is the result of a test.
type Result struct {
	Test        *config.Test
	Differences []Difference // none if the test passed
}

// Title returns the name of the test or, if it has none, the origin of its message.
func (r Result) Title() string {
	t := r.Test
	switch {
	case t.Name != "":
		return t.Name
	case t.Topic != "":
		return "topic " + t.Topic
	case t.Event != "":
		return "event " + filepath.Base(t.Event)
	}
	return "body"
}

// Run runs tests of the configuration. If it cannot run all of them, the error is a
// [config.Errors], and there are no results.
func Run(c *config.Config, tests []config.Test) ([]Result, error) {
	r := runner{config: c, explainer: explain.New(c)}
	results := make([]Result, len(tests))
	for i := range tests {
		t := &tests[i]
		results[i] = Result{t, compare(t, r.explain(t))}
	}
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return results, nil
}

type runner struct {
	config    *config.Config
	explainer *explain.Explainer
	errs      config.Errors
}

// explain returns the outcomes of the messages of a test. It records an error if it
// cannot read the messages or does not know their queue.
func (r *runner) explain(t *config.Test) (results []explain.Result) {
	for _, m := range r.messages(t) {
		queues := r.explainer.Queues(&m)
		if t.Queue != "" {
			queues = r.queue(t.Queue)
		}
		if len(queues) > 1 {
			r.fail(t, "queue", "is required, because a message of the event does not name one of the configured queues")
			return nil
		}
		results = append(results, r.explainer.Explain(queues[0], m))
	}
	return results
}

func (r *runner) fail(t *config.Test, key, format string, args ...any) {
	r.errs = append(r.errs, t.Error(key, format, args...))
}

func (r *runner) queue(label string) []config.Queue {
	for _, q := range r.config.Queues {
		if q.Label() == label {
			return []config.Queue{q}
		}
	}
	return nil // never: config checks that the queue of a test is configured
}

// Values of messages that tests do not choose.
const (
	messageID = "00000000-0000-0000-0000-000000000000" // of SNS and of SQS
	timestamp = "2000-01-01T00:00:00.000Z"
	topics    = "arn:aws:sns:us-east-1:000000000000:" // the start of the ARN of a topic
)

// messages returns the messages of a test.
func (r *runner) messages(t *config.Test) (messages []events.SQSMessage) {
	switch {
	case t.Event != "":
		return r.readEvent(t)
	case t.Topic != "":
		arn, ok := r.topicARN(t)
		if !ok {
			r.fail(t, "topic", "is the name of several topics in the configuration; use a full ARN")
			return nil
		}
		return []events.SQSMessage{message(envelope(arn, t))}
	}
	m := message(t.Body)
	m.MessageAttributes = map[string]events.SQSMessageAttribute{}
	for name, value := range t.Attributes {
		m.MessageAttributes[name] = events.SQSMessageAttribute{StringValue: &value, DataType: "String"}
	}
	return []events.SQSMessage{m}
}

func message(body string) events.SQSMessage {
	return events.SQSMessage{MessageId: messageID, Body: body, Attributes: map[string]string{"ApproximateReceiveCount": "1"}}
}

func (r *runner) readEvent(t *config.Test) (messages []events.SQSMessage) {
	text, err := explain.ReadFile(t.Event)
	if err != nil {
		if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
			err = pathErr.Err
		}
		r.fail(t, "event", "cannot be read: %v; the path is relative to the file of the test", err)
		return nil
	}
	for _, m := range explain.Parse(text) {
		if m.IsBody {
			m.SQSMessage = message(m.Body)
		}
		messages = append(messages, m.SQSMessage)
	}
	if len(messages) == 0 {
		r.fail(t, "event", "has no messages")
	}
	return messages
}

// topicARN returns the ARN of the topic of a test. A name stands for the ARN with that
// name in the configuration or, if there is none, for an ARN of a made-up account. It
// reports false if the configuration has several ARNs with that name.
func (r *runner) topicARN(t *config.Test) (arn string, ok bool) {
	if strings.HasPrefix(t.Topic, "arn:") {
		return t.Topic, true
	}
	queues := r.config.Queues
	if t.Queue != "" {
		queues = r.queue(t.Queue)
	}
	for _, route := range queues[0].Topics {
		switch {
		case route.Key == t.Topic:
			return topics + t.Topic, true
		case !strings.HasPrefix(route.Key, "arn:") || handler.TopicName(route.Key) != t.Topic:
		case arn != "":
			return "", false
		default:
			arn = route.Key
		}
	}
	return cmp.Or(arn, topics+t.Topic), true
}

// envelope returns the body of the message that SNS would send to a queue.
func envelope(arn string, t *config.Test) string {
	type attribute struct{ Type, Value string }
	e := struct {
		Type, MessageId, TopicArn, Message, Timestamp string
		MessageAttributes                             map[string]attribute `json:",omitempty"`
	}{"Notification", messageID, arn, t.Message, timestamp, map[string]attribute{}}
	for name, value := range t.Attributes {
		e.MessageAttributes[name] = attribute{"String", value}
	}
	text, _ := json.Marshal(e) // cannot fail: it has only texts
	return string(text)
}
