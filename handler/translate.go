package handler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// A Translation is what a message becomes.
type Translation struct {
	TopicARN  string        // "" if the message does not name its topic
	MessageID string        // assigned by SNS; "" if it assigned none, and the message's SQS id takes its place
	Jobs      []sidekiq.Job // one for each worker of the topic
}

// Translate translates a message to jobs that are created at the given time. An
// error is a *Rejection. The Translation then has no jobs, but the topic and the
// id as far as they could be read.
//
// Translate does no I/O, and its result depends on nothing but its arguments.
func (r *Router) Translate(m *events.SQSMessage, at time.Time) (Translation, error) {
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
	quoted          []byte           // the message argument if the published message is text
	metadata        []byte           // the metadata argument
	args            []json.RawMessage
	id              [1]string // of the message's identity
	kept            strings.Builder

	// The topic of the previous message and its workers. The next message is
	// likely to have the same topic.
	topicARN string
	workers  []Worker
}

// translate appends the message's jobs to jobs. With an error it returns no
// jobs at all.
func (t *translator) translate(m *events.SQSMessage, jobs []sidekiq.Job) (Translation, error) {
	t.body = append(t.body[:0], m.Body...)
	e, err := decodeEnvelope(t.body, &t.envelopeScanner, t.topicARN)
	if err != nil {
		return Translation{TopicARN: string(e.TopicARN), MessageID: string(e.MessageID)}, err
	}
	t.lookUpWorkers(e.TopicARN)
	result := Translation{TopicARN: t.topicARN, MessageID: t.keep(e.MessageID)}
	switch {
	case len(t.workers) == 0:
		return result, reject(ReasonNoRoute, "no worker is configured for the topic %q; add the topic to the configuration, or end its subscription", TopicName(t.topicARN))
	case e.Refused != nil:
		return result, reject(ReasonUnacceptable, "the SNS envelope has text that a Sidekiq job cannot carry safely: it has %v; the publisher has to change it", e.Refused)
	}
	message, err := t.buildMessage(e.Message)
	if err != nil {
		return result, err
	}
	t.id[0] = cmp.Or(result.MessageID, m.MessageId)
	if t.id[0] == "" {
		return result, reject(ReasonNotEnvelope, "neither the SNS envelope nor SQS gives the message an id")
	}
	call := sidekiq.Call{At: t.at, Trace: t.router.traceFields(e.Attributes, m), Sidekiq: t.router.Sidekiq, Milliseconds: t.router.Milliseconds}
	for i := range t.workers {
		w := &t.workers[i]
		call.ID = w.JobID(sidekiq.Identity{Kind: "sns", Source: t.topicARN, ID: t.id[:]})
		if call.Args, err = t.buildArguments(w, message, &e, m); err != nil {
			return result, err
		}
		job := w.Job(call)
		job.Group = fifoGroup(m)
		jobs = append(jobs, job)
	}
	result.Jobs = jobs
	return result, nil
}

// keep returns a string that stays valid. All strings of a batch share memory.
func (t *translator) keep(b []byte) string {
	start := t.kept.Len()
	t.kept.Write(b)
	return t.kept.String()[start:]
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
// it is, to the last digit, and any other text as a JSON string. A number alone
// that Ruby could not read is such a text: it is likely to be an id.
func (t *translator) buildMessage(message []byte) (argument, error) {
	verdict := t.argumentScanner.Check(message)
	switch {
	case verdict.Syntax != nil, verdict.Refused != nil && jsonscan.IsNumber(message):
		t.quoted = jsonscan.AppendQuote(slices.Grow(t.quoted[:0], len(message)+len(`""`)), message)
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
			t.metadata = t.appendMetadata(t.metadata[:0], e, m)
			a.json = t.metadata
			a.activeJob = t.argumentScanner.Check(a.json).ActiveJob // the publisher chooses the attributes' names
		}
		if w.ActiveJob && a.activeJob != nil {
			return nil, reject(ReasonUnacceptable, "the %s argument of %s has %v, which ActiveJob would take for its own; the publisher has to rename it", arg, w.Class, a.activeJob)
		}
		t.args = append(t.args, a.json)
	}
	return t.args, nil
}

// appendMetadata appends the metadata argument, which says where a message came
// from.
func (t *translator) appendMetadata(b []byte, e *envelope, m *events.SQSMessage) []byte {
	b = append(b, `{"topic":`...)
	b = jsonscan.AppendQuote(b, TopicName(t.topicARN))
	b = append(b, `,"topic_arn":`...)
	b = jsonscan.AppendQuote(b, t.topicARN)
	b = append(b, `,"message_id":`...)
	b = jsonscan.AppendQuote(b, t.id[0])
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
