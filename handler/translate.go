package handler

import (
	"bytes"
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
	e, err := decodeEnvelope([]byte(m.Body))
	if err != nil {
		return "", nil, err
	}
	workers := r.Route(e.TopicARN).Workers
	if len(workers) == 0 {
		return e.TopicARN, nil, refuse(NoRoute, "no worker is configured for the topic %q", TopicName(e.TopicARN))
	}
	message, err := messageArgument(e.Message)
	if err != nil {
		return e.TopicARN, nil, err
	}
	id := e.MessageID
	if id == "" {
		id = m.MessageId
	}
	if id == "" {
		return e.TopicARN, nil, refuse(NotEnvelope, "neither the SNS envelope nor SQS gives the message an id")
	}
	metadata := func() []byte { return e.metadata(m) }
	trace := traceFields(e, m)
	jobs = make([]sidekiq.Job, 0, len(workers))
	for i := range workers {
		w := &workers[i]
		args, err := w.arguments(message, metadata)
		if err != nil {
			return e.TopicARN, nil, err
		}
		job := w.Job(sidekiq.Call{ID: w.NewID(id), Args: args, At: at, Trace: trace, Milliseconds: r.Milliseconds})
		job.Group = fifoGroup(m)
		jobs = append(jobs, job)
	}
	return e.TopicARN, jobs, nil
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

// messageArgument makes an argument of the published message: its JSON as it
// is, to the last digit, and any other text as a JSON string.
func messageArgument(message []byte) (argument, error) {
	verdict := jsonscan.Check(message)
	switch {
	case verdict.Syntax != nil:
		return argument{json: jsonscan.AppendQuote(nil, message)}, nil
	case verdict.Refused != nil:
		return argument{}, refuse(Unacceptable, "the message is JSON that Sidekiq could not load, or not save if the job failed: %v; the publisher has to change it", verdict.Refused)
	}
	return argument{json: bytes.TrimSpace(message), activeJob: verdict.ActiveJob}, nil
}

// arguments are those that the worker asks for.
func (w *Worker) arguments(message argument, metadata func() []byte) ([]json.RawMessage, error) {
	wanted := w.Args
	if len(wanted) == 0 {
		wanted = []Arg{Message}
	}
	args := make([]json.RawMessage, len(wanted))
	for i, arg := range wanted {
		a := message
		if arg == Metadata {
			a.json = metadata()
			a.activeJob = jsonscan.Check(a.json).ActiveJob // the attributes' names are the publisher's
		}
		if w.ActiveJob && a.activeJob != nil {
			return nil, refuse(Unacceptable, "the %s argument of %s has %v, which ActiveJob would take for its own", arg, w.Class, a.activeJob)
		}
		args[i] = a.json
	}
	return args, nil
}

// metadata is the argument that tells where a message came from.
func (e *envelope) metadata(m *events.SQSMessage) []byte {
	b := append(make([]byte, 0, 512), `{"topic":`...)
	b = jsonscan.AppendQuote(b, TopicName(e.TopicARN))
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
func traceFields(e *envelope, m *events.SQSMessage) []sidekiq.TraceField {
	var fields []sidekiq.TraceField
	for _, key := range []string{"traceparent", "tracestate", "baggage"} {
		if value := attributeValue(key, e, m); value != "" {
			fields = append(fields, sidekiq.TraceField{Key: key, Value: value})
		}
	}
	return fields
}

func attributeValue(name string, e *envelope, m *events.SQSMessage) string {
	for _, a := range e.Attributes {
		if a.Name == name && a.Type == "String" {
			return a.Value
		}
	}
	if value := m.MessageAttributes[name].StringValue; value != nil {
		return *value
	}
	return ""
}
