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

// Translate returns the jobs for a message, one for each worker of its topic,
// created at the given time. It also returns the topic's ARN as far as it could
// be read. An error is a *Rejection, and then there are no jobs.
//
// Translate does no I/O, and its result depends on nothing but its arguments.
func (r *Router) Translate(m *events.SQSMessage, at time.Time) (topicARN string, jobs []sidekiq.Job, err error) {
	t := translator{router: r, at: at}
	return t.translate(m, nil)
}

// A translator translates the messages of a batch, one after another, and
// reuses its memory. The jobs share none of it.
type translator struct {
	router *Router
	at     time.Time

	body            []byte           // of the message
	envelopeScanner jsonscan.Scanner // reads body
	argumentScanner jsonscan.Scanner // checks arguments that are JSON
	quoted          []byte           // the message argument if the published message is not JSON
	metadata        []byte           // the metadata argument
	args            []json.RawMessage

	// The topic of the previous message and its workers. The next message is
	// likely to have the same topic.
	topicARN string
	workers  []Worker
}

// translate appends the message's jobs to jobs. With an error it returns no
// jobs at all.
func (t *translator) translate(m *events.SQSMessage, jobs []sidekiq.Job) (topicARN string, _ []sidekiq.Job, err error) {
	t.body = append(t.body[:0], m.Body...)
	e, err := decodeEnvelope(t.body, &t.envelopeScanner)
	if err != nil {
		return "", nil, err
	}
	t.lookUpWorkers(e.TopicARN)
	if len(t.workers) == 0 {
		return t.topicARN, nil, reject(ReasonNoRoute, "no worker is configured for the topic %q", TopicName(t.topicARN))
	}
	message, err := t.buildMessage(e.Message)
	if err != nil {
		return t.topicARN, nil, err
	}
	id := cmp.Or(string(e.MessageID), m.MessageId)
	if id == "" {
		return t.topicARN, nil, reject(ReasonNotEnvelope, "neither the SNS envelope nor SQS gives the message an id")
	}
	trace := traceFields(e.Attributes, m)
	for i := range t.workers {
		w := &t.workers[i]
		args, err := t.buildArguments(w, message, &e, m)
		if err != nil {
			return t.topicARN, nil, err
		}
		job := w.Job(sidekiq.Call{ID: w.JobID(id), Args: args, At: t.at, Trace: trace, Milliseconds: t.router.Milliseconds})
		job.Group = fifoGroup(m)
		jobs = append(jobs, job)
	}
	return t.topicARN, jobs, nil
}

// lookUpWorkers sets the translator's topic and its workers.
func (t *translator) lookUpWorkers(topicARN []byte) {
	if t.workers == nil || t.topicARN != string(topicARN) {
		t.topicARN = string(topicARN)
		t.workers = t.router.Route(t.topicARN).Workers
	}
}

// fifoGroup returns the group that orders a message, "" if none does. Messages
// of standard queues can also have groups, but for fairness, not for order.
func fifoGroup(m *events.SQSMessage) string {
	isStandard := m.EventSourceARN != "" && !strings.HasSuffix(m.EventSourceARN, ".fifo")
	if isStandard {
		return ""
	}
	return m.Attributes["MessageGroupId"]
}

// An argument is the JSON of one argument of a job.
type argument struct {
	json      json.RawMessage
	activeJob error // why an ActiveJob must not get it; nil if it may
}

// buildMessage builds the message argument: a published message that is JSON as
// it is, to the last digit, and any other text as a JSON string.
func (t *translator) buildMessage(message []byte) (argument, error) {
	verdict := t.argumentScanner.Check(message)
	switch {
	case verdict.Syntax != nil:
		t.quoted = jsonscan.AppendQuote(t.quoted[:0], message)
		return argument{json: t.quoted}, nil
	case verdict.Refused != nil:
		return argument{}, reject(ReasonUnacceptable, "the message is JSON that a Sidekiq job cannot carry safely: it has %v; the publisher has to change it", verdict.Refused)
	}
	return argument{json: bytes.TrimSpace(message), activeJob: verdict.ActiveJob}, nil
}

// buildArguments builds the arguments of a worker's job. They are valid until
// the next call.
func (t *translator) buildArguments(w *Worker, message argument, e *envelope, m *events.SQSMessage) ([]json.RawMessage, error) {
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
			a.activeJob = t.argumentScanner.Check(a.json).ActiveJob // the publisher chooses the attributes' names
		}
		if w.ActiveJob && a.activeJob != nil {
			return nil, reject(ReasonUnacceptable, "the %s argument of %s has %v, which ActiveJob would take for its own", arg, w.Class, a.activeJob)
		}
		t.args = append(t.args, a.json)
	}
	return t.args, nil
}

// appendMetadata appends the metadata argument, which says where a message came
// from.
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

// traceFields returns the fields of W3C Trace Context and Baggage among the
// message's attributes. Those of SNS win over those of SQS.
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
