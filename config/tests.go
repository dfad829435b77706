package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"scout/handler"
	"scout/internal/jsonscan"
)

// A Test is a message, or an event with several messages, and the expected result. At
// most one of Topic and Event is set; if neither is, the message is Body. Exactly one
// of Jobs, Rejected and Ignored is set.
type Test struct {
	Name       string
	Topic      string            // name or ARN of an SNS topic
	Message    string            // published to the topic
	Attributes map[string]string // of the message
	Event      string            // the path of a file
	Body       string            // of an SQS message
	Queue      string            // the label of the SQS queue; "" for the only one, or the one that the event names

	Jobs     []ExpectedJob
	Rejected handler.Reason
	Ignored  bool

	node node
}

// An ExpectedJob lists the keys that a job must have.
type ExpectedJob []ExpectedKey

// An ExpectedKey is a key of a job with its value in JSON.
type ExpectedKey struct {
	Name  string
	Value json.RawMessage
}

// Place returns where the test is: the file or other source, the line, and the key,
// such as tests[3].
func (t *Test) Place() (source string, line int, key string) {
	return t.node.source, t.node.line, t.node.path.String()
}

// Error returns an error about one of the test's keys.
func (t *Test) Error(key, format string, args ...any) *Error {
	n := t.node.child(key)
	return &Error{n.source, n.line, n.path.String(), fmt.Sprintf(format, args...)}
}

// LoadTests loads tests for the configuration from a file that holds a list of them. If
// the file is invalid, the error is an [Errors].
func (c *Config) LoadTests(file string) ([]Test, error) {
	text, err := readFile(file)
	if err != nil {
		return nil, err
	}
	doc := &document{source: file}
	root, bad := doc.parse(text, yaml.SequenceNode)
	if bad != nil {
		return nil, Errors{bad}
	}
	tests := c.readTests(root)
	if len(doc.errs) > 0 {
		return nil, doc.errs.inOrder()
	}
	return tests, nil
}

// tests is the list of tests. It has no read, because readTests needs the queues.
func (c *Config) tests() value {
	return value{
		describer: listOf{definition{"test", "a test"}},
		show:      func(bool) any { return nil },
	}
}

// readTests reads a list of tests. The queues must have been read before.
func (c *Config) readTests(n node) (tests []Test) {
	for _, item := range n.list() {
		t := Test{node: item}
		if !item.is(yaml.MappingNode) {
			continue
		}
		t.section(c).read(item)
		if source, _, _ := t.Place(); t.Event != "" && !filepath.IsAbs(t.Event) && !strings.HasPrefix(source, ssmPrefix) {
			t.Event = filepath.Join(filepath.Dir(source), t.Event)
		}
		tests = append(tests, t)
	}
	return tests
}

// section reads t.
func (t *Test) section(c *Config) value {
	keys := []key{
		{name: "name", value: single(&t.Name, line), example: "an order",
			doc: "The name of the test in the output; its topic or file if absent."},
		{name: "topic", value: single(&t.Topic, testTopic), example: "orders",
			doc: "The SNS topic, by name or full ARN, to which message is published."},
		{name: "message", value: freeText(&t.Message), example: "{id: 1}",
			doc: "The text that is published to the topic, or YAML that becomes JSON."},
		{name: "attributes", value: attributeValues(&t.Attributes), example: "{event_type: order.created}",
			doc: "The attributes of the message: of SNS with topic, and of SQS with body."},
		{name: "event", value: single(&t.Event, line), example: "events/order.json",
			doc: "A file with a Lambda event or the body of a message, relative to the file of the test, instead of topic or body."},
		{name: "body", value: freeText(&t.Body), example: `{"source": shop.billing, "detail-type": Invoice Paid, "detail": {"id": 1}}`,
			doc: "The body of an SQS message, instead of topic or event: text, or YAML that becomes JSON."},
		{name: "queue", value: single(&t.Queue, line), example: "myapp_queue",
			doc: "The SQS queue of the message, if there are several and the event does not name its own."},
		{name: "jobs", value: expectedJobs(&t.Jobs), example: "[{class: OrderWorker, queue: default, args: [{id: 1}]}]",
			doc: "Exactly the jobs that must be made, in this order; of each, only the keys given are compared."},
		{name: "rejected", value: single(&t.Rejected, rejectedReason), example: "no_route",
			doc: "The reason why the message must be rejected, instead of jobs: not_envelope, no_route or unacceptable."},
		{name: "ignored", value: single(&t.Ignored, isTrue), example: "true",
			doc: "The message must be ignored, instead of jobs."},
	}
	return section(keys, func(n node) {
		t.checkInput(n)
		if given := n.count("jobs", "rejected", "ignored"); given != 1 {
			n.fail("must have exactly one of jobs, rejected and ignored")
		}
		t.checkQueue(c, n)
	})
}

// checkInput checks that there is one message or event.
func (t *Test) checkInput(n node) {
	topic, message := n.child("topic"), n.child("message")
	switch {
	case n.count("topic", "event", "body") != 1:
		n.fail("must have exactly one of topic, event and body")
	case topic.value != nil && message.value == nil:
		message.fail("is required with %s", topic.path)
	case topic.value == nil && message.value != nil:
		message.fail("requires topic; the key for the body of an SQS message is body")
	}
	if attributes := n.child("attributes"); attributes.value != nil && n.child("event").value != nil {
		attributes.fail("cannot be combined with event, which has its own")
	}
}

// checkQueue checks that the queue is one of the configured ones.
func (t *Test) checkQueue(c *Config, n node) {
	var labels []string
	for _, q := range c.Queues {
		if q.Label() != "" {
			labels = append(labels, q.Label())
		}
	}
	queue := n.child("queue")
	switch {
	case queue.value == nil && len(labels) > 1 && n.child("event").value == nil:
		queue.fail("is required, because the configuration has several queues: %s", strings.Join(labels, ", "))
	case t.Queue != "" && len(labels) == 0:
		queue.fail("must be absent, because the configuration names no queue")
	case t.Queue != "" && !slices.Contains(labels, t.Queue):
		hint := ""
		if meant := closest(t.Queue, labels); meant != "" {
			hint = fmt.Sprintf("did you mean %q? ", meant)
		}
		queue.fail("is not a queue of the configuration; %sallowed: %s", hint, strings.Join(labels, ", "))
	}
}

// count returns how many of the keys there are.
func (n node) count(keys ...string) (count int) {
	for _, key := range keys {
		if n.child(key).value != nil {
			count++
		}
	}
	return count
}

var testTopic = form[string]{shape: shape{pattern: "^[A-Za-z0-9_.:-]+$"}, parse: func(text string) (string, error) {
	if err := checkTopic(text); err != nil || strings.ContainsAny(text, "*?") {
		return "", errors.New("must be the name of a topic, or its full ARN")
	}
	return text, nil
}}

// rejectedReason is a reason that does not depend on Redis or SQS.
var rejectedReason = form[handler.Reason]{shape: shape{enum: "[not_envelope, no_route, unacceptable]"}, parse: func(text string) (handler.Reason, error) {
	reasons := []string{string(handler.ReasonNotEnvelope), string(handler.ReasonNoRoute), string(handler.ReasonUnacceptable)}
	if slices.Contains(reasons, text) {
		return handler.Reason(text), nil
	}
	hint := ""
	if meant := closest(text, reasons); meant != "" {
		hint = fmt.Sprintf("; did you mean %q?", meant)
	}
	return "", fmt.Errorf("must be not_envelope, no_route or unacceptable%s", hint)
}}

var isTrue = form[bool]{shape: shape{enum: "[true, 'true', 'True', 'TRUE']"}, parse: func(text string) (bool, error) {
	if b, err := parseBool(text); err != nil || !b {
		return false, errors.New("must be true, or absent")
	}
	return true, nil
}}

// freeText is any text, or a mapping or list, which becomes JSON.
func freeText(target *string) value {
	return value{describer: definition{"json", "a text, a mapping or a list"}, read: func(n node) {
		switch {
		case n.value == nil:
		case n.value.Kind == yaml.ScalarNode:
			*target, _ = n.text()
		default:
			*target = string(n.appendJSON(nil))
		}
	}}
}

// attributeValues is a mapping of names to texts.
func attributeValues(target *map[string]string) value {
	return value{describer: definition{"attributes", "a mapping of names to texts"}, read: func(n node) {
		if n.value != nil {
			*target = map[string]string{}
		}
		for name, child := range n.mapping() {
			if text, ok := child.text(); ok {
				(*target)[name] = text
			}
		}
	}}
}

// jobKeys are the usual keys of jobs, which errors suggest. A job can also have others,
// from the options of its class.
var jobKeys = []string{"class", "queue", "args", "retry", "retry_for", "backtrace", "dead", "tags", "wrapped", "jid",
	"traceparent", "tracestate", "baggage"}

func expectedJobs(target *[]ExpectedJob) value {
	return value{describer: listOf{definition{"job", "a mapping with keys of jobs"}}, read: func(n node) {
		if n.value == nil {
			return
		}
		if n.value.Kind == yaml.SequenceNode && len(n.value.Content) == 0 {
			n.fail("must not be empty; write rejected or ignored instead")
			return
		}
		for _, item := range n.list() {
			job := ExpectedJob{}
			for name, child := range item.mapping() {
				if meant := closest(name, jobKeys); meant != "" && meant != name {
					child.fail("did you mean %q? Keys of jobs are: %s, and the options of the class", meant, strings.Join(jobKeys, ", "))
				}
				job = append(job, ExpectedKey{name, child.appendJSON(nil)})
			}
			*target = append(*target, job)
		}
	}}
}

// appendJSON appends the value as JSON: a mapping as an object, and numbers with their
// digits. It records errors for numbers that JSON cannot have.
func (n node) appendJSON(b []byte) []byte {
	switch n.value.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for key, child := range n.mapping() {
			b = append(appendComma(b), quoted(key)...)
			b = child.appendJSON(append(b, ':'))
		}
		return append(b, '}')
	case yaml.SequenceNode:
		b = append(b, '[')
		for _, child := range n.children() {
			b = child.appendJSON(appendComma(b))
		}
		return append(b, ']')
	}
	if !n.is(yaml.ScalarNode) {
		return b
	}
	text := n.value.Value
	const explicit = yaml.TaggedStyle | yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	switch tag := n.value.ShortTag(); {
	case tag == "!!null":
		return append(b, "null"...)
	case tag == "!!bool":
		return append(b, strings.ToLower(text)...)
	case n.value.Style&explicit == 0 && json.Valid([]byte(text)): // a number: no other plain text is JSON
		return append(b, text...)
	case tag == "!!int" || tag == "!!float":
		n.fail("is a number that JSON cannot have; write it as in JSON, or quote it")
	}
	return append(b, quoted(text)...)
}

// appendComma appends a comma unless the next element is the first.
func appendComma(b []byte) []byte {
	if last := b[len(b)-1]; last == '{' || last == '[' {
		return b
	}
	return append(b, ',')
}

func quoted(text string) []byte { return jsonscan.AppendQuote(nil, text) }
