package handler

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// A Translation is what a message becomes: jobs, nothing (Ignored), or, with an
// error, neither.
type Translation struct {
	Source    Source
	Route     string // the key of the configuration that matched; that of the first record of an S3 notification
	Label     string // where the message comes from, for people: a topic's name, an event's source/detail-type, a bucket
	TopicARN  string // "" unless the source is SNS
	MessageID string // assigned by the source; "" if it assigned none, and the message's SQS id takes its place
	Ignored   bool
	Jobs      []sidekiq.Job // in the order of the configuration
}

// Translate translates a message to jobs that are created at the given time. An
// error is a *Rejection. The Translation then has no jobs, but the other fields as
// far as they could be read.
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
	bodyScanner     jsonscan.Scanner // reads body
	argumentScanner jsonscan.Scanner // checks arguments that are JSON
	source          Source           // of the message
	envelope        envelope         // of an SNS message
	items           itemList         // of the message
	chosen          []Worker         // by the route of an item
	quoted          []byte           // the message argument if the published message is text
	metadata        []byte           // the metadata argument
	args            []json.RawMessage
	id              [2]string // of the message's identity
	kept            strings.Builder

	// The topic of the previous message and its route.
	topicARN string
	topic    *route
}

// translate appends the message's jobs to jobs. With an error it returns no
// jobs at all.
func (t *translator) translate(m *events.SQSMessage, jobs []sidekiq.Job) (Translation, error) {
	t.body = append(t.body[:0], m.Body...)
	err := t.read(m)
	result := Translation{Source: t.source}
	if t.items.n > 0 {
		it := t.items.at(0)
		result.Label, result.MessageID = it.label(), it.id
		if it.source == SourceSNS {
			result.TopicARN = it.name
		}
		if it.route != nil {
			result.Route = it.route.Key
		}
	}
	if err != nil {
		return result, err
	}
	before := len(jobs)
	for n := range t.items.n {
		if jobs, err = t.appendJobs(jobs, t.items.at(n), n, m); err != nil {
			return result, err
		}
	}
	result.Jobs, result.Ignored = jobs, len(jobs) == before
	return result, nil
}

// appendJobs appends the jobs of the message's n-th item.
func (t *translator) appendJobs(jobs []sidekiq.Job, it *item, n int, m *events.SQSMessage) ([]sidekiq.Job, error) {
	switch root := it.route; {
	case root == nil:
		return nil, it.rejectUnrouted()
	case root.node.ignores(), it.source == SourceSNS && t.isTestEvent(it.text):
		return jobs, nil
	case it.refused != nil:
		return nil, it.rejectRefused()
	}
	message, unacceptable := t.buildMessage(it.text)
	workers, err := t.choose(it, m, message, unacceptable)
	if err != nil || len(workers) == 0 {
		return jobs, err
	}
	if unacceptable != nil {
		return nil, unacceptable
	}
	identity, err := t.identify(it, n, m, message)
	if err != nil {
		return nil, err
	}
	call := sidekiq.Call{At: t.at, Trace: t.router.traceFields(t.envelopeOf(it), m), Sidekiq: t.router.Sidekiq, Milliseconds: t.router.Milliseconds}
	for i := range workers {
		w := &workers[i]
		call.ID = w.JobID(identity)
		if call.Args, err = t.buildArguments(w, message, it, m); err != nil {
			return nil, err
		}
		job := w.Job(call)
		job.Group = fifoGroup(m)
		jobs = append(jobs, job)
	}
	return jobs, nil
}

func (it *item) rejectUnrouted() error {
	label := it.label()
	switch it.source {
	case SourceEventBridge:
		return reject(ReasonNoRoute, "no worker is configured for the EventBridge event %q; add it to queue.eventbridge, or change the rule that sends it", label)
	case SourceS3:
		return reject(ReasonNoRoute, "no worker is configured for the S3 bucket %q; add it to queue.s3, or end its notifications", label)
	}
	return reject(ReasonNoRoute, "no worker is configured for the topic %q; add the topic to the configuration, or end its subscription", label)
}

func (it *item) rejectRefused() error {
	around := "SNS envelope"
	if it.source == SourceEventBridge {
		around = "EventBridge event"
	}
	return reject(ReasonUnacceptable, "the %s has text that a Sidekiq job cannot carry safely: it has %v; the publisher has to change it", around, it.refused)
}

// ignores reports whether a node ignores messages.
func (n *node) ignores() bool { return n.workers == nil && n.list == nil && n.choice == nil }

// choose returns the workers that an item's route has for it, none if it ignores
// it. They are valid until the next call. If the message is unacceptable, nothing
// in it can be selected.
func (t *translator) choose(it *item, m *events.SQSMessage, message argument, unacceptable error) ([]Worker, error) {
	root := it.route.node
	if root.workers != nil {
		return root.workers, nil
	}
	t.chosen = t.chosen[:0]
	err := t.appendChosen(root, it, m, message, unacceptable)
	return t.chosen, err
}

func (t *translator) appendChosen(n *node, it *item, m *events.SQSMessage, message argument, unacceptable error) error {
	for _, child := range n.list {
		if err := t.appendChosen(child, it, m, message, unacceptable); err != nil {
			return err
		}
	}
	if n.choice == nil {
		t.chosen = append(t.chosen, n.workers...)
		return nil
	}
	var text string
	var ok bool
	by := n.choice.by
	switch {
	case by.Attribute != "":
		text, ok = selectAttribute(by.Attribute, t.envelopeOf(it), m)
	case unacceptable != nil:
		return unacceptable
	default:
		text, ok = selectPointer(by.Pointer, message.json)
	}
	if ok {
		if found := n.choice.to.find(text); found != nil {
			return t.appendChosen(found.node, it, m, message, unacceptable)
		}
	}
	if n.choice.fallback != nil {
		return t.appendChosen(n.choice.fallback, it, m, message, unacceptable)
	}
	if ok {
		return reject(ReasonNoRoute, "the route %q chooses by %s, and that of the message fits no key; add a key to the route, or add else", it.route.Key, by)
	}
	return reject(ReasonNoRoute, "the route %q chooses by %s, which the message lacks; add else to the route, or change the sender", it.route.Key, by)
}

// envelopeOf returns the SNS envelope around an item, nil if there is none.
func (t *translator) envelopeOf(it *item) *envelope {
	if it.source == SourceSNS {
		return &t.envelope
	}
	return nil
}

// identify returns what tells the message's n-th item from all others. It is valid
// until the next call.
func (t *translator) identify(it *item, n int, m *events.SQSMessage, message argument) (sidekiq.Identity, error) {
	identity := sidekiq.Identity{Kind: string(it.source), Source: it.name}
	if it.source == SourceS3 {
		var ok bool
		if identity.ID, ok = it.record.identity(m.MessageId, n); !ok {
			return identity, reject(ReasonNotEnvelope, "neither the S3 notification nor SQS gives the message an id")
		}
		return identity, nil
	}
	t.id = [2]string{cmp.Or(it.id, m.MessageId)}
	identity.ID = t.id[:1]
	switch it.source {
	case SourcePlain:
		id, err := t.plainID(m, message)
		if err != nil {
			return identity, err
		}
		t.id[0] = id
	case SourceEventBridge:
		if replay := it.event.Replay; len(replay) > 0 {
			t.id[1] = string(replay)
			identity.ID = t.id[:2]
		}
	}
	if t.id[0] == "" {
		return identity, reject(ReasonNotEnvelope, "neither the message nor SQS gives the message an id")
	}
	return identity, nil
}

// keep returns a string that stays valid. All strings of a batch share memory.
func (t *translator) keep(b []byte) string {
	start := t.kept.Len()
	t.kept.Write(b)
	return t.kept.String()[start:]
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
	case verdict.Syntax != nil && !utf8.Valid(message): // SNS's envelope was checked before
		return argument{}, reject(ReasonUnacceptable, "the message is text that a Sidekiq job cannot carry safely: it has invalid UTF-8; the publisher has to change it")
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
func (t *translator) buildArguments(w *Worker, message argument, it *item, m *events.SQSMessage) ([]json.RawMessage, error) {
	wanted := w.Args
	if len(wanted) == 0 {
		wanted = []Arg{ArgMessage}
	}
	t.args = t.args[:0]
	for _, arg := range wanted {
		a := message
		if arg == ArgMetadata {
			t.metadata = t.appendMetadata(t.metadata[:0], it, m)
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
