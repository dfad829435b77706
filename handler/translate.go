package handler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// Translate returns the jobs that a message makes, one for each worker of its
// topic, and the topic's ARN as far as it could be read. An error is a
// *Refusal, and then there are no jobs at all: a message is taken whole or not.
//
// Translate does no I/O and depends on nothing but its arguments.
func (r *Router) Translate(m *events.SQSMessage, at time.Time) (topicARN string, jobs []sidekiq.Job, err error) {
	t := translator{router: r, at: at}
	return t.translate(m, nil)
}

// A translator translates the messages of a batch, one after another in the
// same memory. The jobs have memory of their own.
type translator struct {
	router *Router
	at     time.Time

	body     []byte           // the message's, as bytes
	envelope jsonscan.Scanner // over body
	argument jsonscan.Scanner // over the arguments that are JSON
	text     []byte           // the argument if the published message is not JSON
	metadata []byte
	args     []json.RawMessage

	// The topic of the message before, most likely that of the next one too.
	topicARN string
	workers  []Worker
}

// translate appends the message's jobs to jobs. With an error, it returns no jobs.
func (t *translator) translate(m *events.SQSMessage, jobs []sidekiq.Job) (topicARN string, _ []sidekiq.Job, err error) {
	t.body = append(t.body[:0], m.Body...)
	e, err := decodeEnvelope(t.body, &t.envelope)
	if err != nil {
		return "", nil, err
	}
	t.route(e.TopicARN)
	if len(t.workers) == 0 {
		return t.topicARN, nil, refuse(ReasonNoRoute, "no worker is configured for the topic %q", TopicName(t.topicARN))
	}
	message, err := t.message(e.Message)
	if err != nil {
		return t.topicARN, nil, err
	}
	id := cmp.Or(string(e.MessageID), m.MessageId)
	if id == "" {
		return t.topicARN, nil, refuse(ReasonNotEnvelope, "neither the SNS envelope nor SQS gives the message an id")
	}
	trace := traceFields(e.Attributes, m)
	for i := range t.workers {
		w := &t.workers[i]
		args, err := t.arguments(w, message, &e, m)
		if err != nil {
			return t.topicARN, nil, err
		}
		job := w.Job(sidekiq.Call{ID: w.JobID(id), Args: args, At: t.at, Trace: trace, Milliseconds: t.router.Milliseconds})
		job.Group = fifoGroup(m)
		jobs = append(jobs, job)
	}
	return t.topicARN, jobs, nil
}

// route finds the workers of a topic.
func (t *translator) route(topicARN []byte) {
	if t.workers == nil || t.topicARN != string(topicARN) {
		t.topicARN = string(topicARN)
		t.workers = t.router.Route(t.topicARN).Workers
	}
}

// fifoGroup is the group in which a message has its order, "" if it has none.
// Messages of standard queues may have groups too, for fairness, not order.
func fifoGroup(m *events.SQSMessage) string {
	isStandard := m.EventSourceARN != "" && !strings.HasSuffix(m.EventSourceARN, ".fifo")
	if isStandard {
		return ""
	}
	return m.Attributes["MessageGroupId"]
}

// An argument is one of a job's, and what an ActiveJob would make of it.
type argument struct {
	json      json.RawMessage
	activeJob error // why an ActiveJob must not get it
}

// message makes an argument of the published message: its JSON as it is, to
// the last digit, and any other text as a JSON string.
func (t *translator) message(message []byte) (argument, error) {
	verdict := t.argument.Check(message)
	switch {
	case verdict.Syntax != nil:
		t.text = jsonscan.AppendQuote(t.text[:0], message)
		return argument{json: t.text}, nil
	case verdict.Refused != nil:
		return argument{}, refuse(ReasonUnacceptable, "the message is JSON that Sidekiq could not load, or not save if the job failed: %v; the publisher has to change it", verdict.Refused)
	}
	return argument{json: bytes.TrimSpace(message), activeJob: verdict.ActiveJob}, nil
}

// arguments are those that the worker asks for, valid until the next call.
func (t *translator) arguments(w *Worker, message argument, e *envelope, m *events.SQSMessage) ([]json.RawMessage, error) {
	wanted := w.Args
	if len(wanted) == 0 {
		wanted = []Arg{ArgMessage}
	}
	t.args = t.args[:0]
	for _, arg := range wanted {
		a := message
		if arg == ArgMetadata {
			t.metadata = e.appendMetadata(t.metadata[:0], m)
			a.json = t.metadata
			a.activeJob = t.argument.Check(a.json).ActiveJob // the attributes' names are the publisher's
		}
		if w.ActiveJob && a.activeJob != nil {
			return nil, refuse(ReasonUnacceptable, "the %s argument of %s has %v, which ActiveJob would take for its own", arg, w.Class, a.activeJob)
		}
		t.args = append(t.args, a.json)
	}
	return t.args, nil
}

// appendMetadata appends the argument that tells where a message came from.
func (e *envelope) appendMetadata(b []byte, m *events.SQSMessage) []byte {
	b = append(b, `{"topic":`...)
	b = jsonscan.AppendQuote(b, TopicName(string(e.TopicARN)))
	b = append(b, `,"topic_arn":`...)
	b = jsonscan.AppendQuote(b, e.TopicARN)
	b = append(b, `,"message_id":`...)
	b = jsonscan.AppendQuote(b, e.MessageID)
	b = append(b, `,"subject":`...)
	if e.Subject == nil {
		b = append(b, "null"...)
	} else {
		b = jsonscan.AppendQuote(b, e.Subject)
	}
	b = append(b, `,"timestamp":`...)
	b = jsonscan.AppendQuote(b, e.Timestamp)
	b = append(b, `,"attributes":{`...)
	for i, a := range e.Attributes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonscan.AppendQuote(b, a.Name), ':')
		b = jsonscan.AppendQuote(b, a.Value)
	}
	b = append(b, `},"sqs_message_id":`...)
	b = jsonscan.AppendQuote(b, m.MessageId)
	b = append(b, `,"receive_count":`...)
	count, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	return append(strconv.AppendInt(b, int64(count), 10), '}')
}

// traceFields are the fields of W3C Trace Context and Baggage that came with
// the message, in attributes of SNS or else of SQS.
func traceFields(attributes []attribute, m *events.SQSMessage) []sidekiq.TraceField {
	var fields []sidekiq.TraceField
	for _, key := range []string{"traceparent", "tracestate", "baggage"} {
		if value := attributeValue(key, attributes, m); value != "" {
			fields = append(fields, sidekiq.TraceField{Key: key, Value: value})
		}
	}
	return fields
}

func attributeValue(name string, attributes []attribute, m *events.SQSMessage) string {
	for _, a := range attributes {
		if string(a.Name) == name && string(a.Type) == "String" {
			return string(a.Value)
		}
	}
	if value := m.MessageAttributes[name].StringValue; value != nil {
		return *value
	}
	return ""
}
