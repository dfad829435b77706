package handler

import (
	"encoding/json"
	"errors"
	"slices"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// What entries of Sidekiq's dead set say about themselves.
const (
	rejectedClass = "Scout::RejectedMessage" // of a message without a route
	rejectedError = "Scout::Rejected"        // the class of the error
)

// deadLetter returns entries of Sidekiq's dead set for a rejected message, the last
// that was translated: one for each job that the message's routes would have made,
// or a single one if they cannot be told. It reports false if the message stays in
// its SQS queue.
func (t *translator) deadLetter(m *events.SQSMessage, failure error) (sidekiq.Job, bool) {
	r, ok := errors.AsType[*Rejection](failure)
	if !ok || t.router.DeadSet == "" || r.Reason != ReasonNotEnvelope && r.Reason != ReasonNoRoute && r.Reason != ReasonUnacceptable {
		return sidekiq.Job{}, false
	}
	job := sidekiq.Job{Group: fifoGroup(m)}
	if r.Reason == ReasonUnacceptable {
		job.Dead = t.deadJobs(m, r)
	}
	if job.Dead == nil {
		job.Dead = t.deadMessage(m, r)
	}
	return job, job.Dead != nil
}

// deadJobs returns an entry for each job of the message. It returns nil if a route
// or an id cannot be told.
func (t *translator) deadJobs(m *events.SQSMessage, r *Rejection) (entries []sidekiq.DeadEntry) {
	for n := range t.items.n {
		it := t.items.at(n)
		if it.route == nil || it.refused != nil && it.route.node.workers == nil { // nothing ambiguous may choose
			return nil
		}
		message, unacceptable := t.buildMessage(it.text)
		workers, err := t.choose(it, m, message, unacceptable)
		if err != nil {
			return nil
		}
		identity, err := t.identify(it, n, m, message)
		if err != nil {
			return nil
		}
		if unacceptable != nil {
			message.json = jsonscan.AppendQuote(nil, it.text)
		}
		for i := range workers {
			w := &workers[i]
			call := sidekiq.Call{ID: w.JobID(identity), Args: t.deadArguments(w, message.json, it, m), Trace: t.router.traceFields(t.envelopeOf(it), m)}
			entries = append(entries, t.deadEntry(w, call, r))
		}
	}
	return entries
}

// deadArguments builds a worker's arguments. What Ruby could not load, or ActiveJob
// would take for its own, becomes a string.
func (t *translator) deadArguments(w *Worker, message json.RawMessage, it *item, m *events.SQSMessage) []json.RawMessage {
	wanted := w.Args
	if len(wanted) == 0 {
		wanted = []Arg{ArgMessage}
	}
	args := make([]json.RawMessage, len(wanted))
	for i, arg := range wanted {
		args[i] = message
		if arg == ArgMetadata {
			args[i] = t.appendMetadata(nil, it, m)
		}
		verdict := t.argumentScanner.Check(args[i])
		if verdict.Refused != nil || w.ActiveJob && verdict.ActiveJob != nil {
			args[i] = jsonscan.AppendQuote(nil, []byte(args[i]))
		}
	}
	return args
}

// deadMessage returns an entry with the message's body. It returns nil if the message
// has no id.
func (t *translator) deadMessage(m *events.SQSMessage, r *Rejection) []sidekiq.DeadEntry {
	w := Worker{JobTemplate: sidekiq.JobTemplate{Class: rejectedClass, Queue: t.router.DeadSet, Retry: sidekiq.Int(0)}}
	body, err := t.buildMessage(t.body)
	if err != nil {
		body.json = jsonscan.AppendQuote(nil, t.body)
	}
	body.json = slices.Clone(body.json) // buildMessage may be called again
	identity := sidekiq.Identity{Kind: string(SourcePlain), Source: queueName(m), ID: []string{m.MessageId}}
	if t.items.n == 1 {
		it := t.items.at(0)
		message, _ := t.buildMessage(it.text)
		if own, err := t.identify(it, 0, m, message); err == nil {
			identity = own
		}
	}
	if identity.ID[0] == "" {
		return nil
	}
	call := sidekiq.Call{ID: w.JobID(identity), Args: []json.RawMessage{body.json}}
	return []sidekiq.DeadEntry{t.deadEntry(&w, call, r)}
}

func (t *translator) deadEntry(w *Worker, call sidekiq.Call, r *Rejection) sidekiq.DeadEntry {
	call.At, call.Milliseconds = t.at, t.router.Milliseconds
	return w.DeadEntry(call, rejectedError, string(r.Reason)+": "+r.Detail)
}
