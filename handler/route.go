package handler

import (
	"iter"

	"scout/sidekiq"
)

// Routes map the messages of a queue to outcomes, by their source. A message
// that no route matches is rejected.
type Routes struct {
	Topics      []Route // SNS: the key is a topic's name, its full ARN, or a pattern for names
	EventBridge []Route // the key matches the whole text source/detail-type
	S3          []Route // the key is a bucket

	// Plain is for all other messages, such as those of raw message delivery; nil
	// rejects them.
	Plain Outcome

	// MessageID selects the identity of plain messages; the zero value is the SQS id.
	MessageID Selector
}

// A Route is a key of the configuration and the outcome of the messages that it
// matches. In a key that is a pattern, * stands for any number of characters and ?
// for one. An exact key takes precedence over patterns, and a longer pattern over a
// shorter one.
type Route struct {
	Key     string
	Outcome Outcome
}

// An Outcome is the result for a message: a job for a [Worker], all outcomes of a
// [List], nothing ([Ignore]), or an outcome that depends on the message ([Choice]).
type Outcome interface {
	compile(*matches) *node
	workers(yield func(Worker) bool) bool
}

// A List has all its outcomes. If one of them rejects a message, the message is
// rejected. A message is ignored if all of them ignore it.
type List []Outcome

// Ignore means that a message gets no job and can be deleted.
type Ignore struct{}

// A Choice is made by something in the message.
type Choice struct {
	By   Selector
	To   []Route // the keys match what By selects
	Else Outcome // for messages that match no key; nil rejects them
}

// A Worker describes the job that one Sidekiq class gets for a message: the
// template, which is the same for all messages, and which parts of the message
// become its arguments.
type Worker struct {
	sidekiq.JobTemplate
	Args []Arg // in the order of the perform method's parameters; empty: ArgMessage alone
}

// Workers yields the workers that an outcome names, for any message.
func Workers(o Outcome) iter.Seq[Worker] {
	return func(yield func(Worker) bool) {
		if o != nil {
			o.workers(yield)
		}
	}
}

func (w Worker) workers(yield func(Worker) bool) bool { return yield(w) }

func (Ignore) workers(func(Worker) bool) bool { return true }

func (l List) workers(yield func(Worker) bool) bool {
	for _, o := range l {
		if !o.workers(yield) {
			return false
		}
	}
	return true
}

func (c Choice) workers(yield func(Worker) bool) bool {
	for _, r := range c.To {
		if !r.Outcome.workers(yield) {
			return false
		}
	}
	return c.Else == nil || c.Else.workers(yield)
}

// An Arg is one argument of a job.
type Arg int

// The arguments that a job can have.
const (
	ArgMessage  Arg = iota // the published message
	ArgMetadata            // an object that says where the message came from
)

// String returns the argument's name in the configuration.
func (a Arg) String() string {
	if a == ArgMetadata {
		return "metadata"
	}
	return "message"
}
