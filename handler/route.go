package handler

import "scout/sidekiq"

// A Route sends the messages of a topic to its workers.
type Route struct {
	// Topic is a topic's name, its full ARN, or a pattern over the name in
	// which * stands for any number of characters and ? for one.
	Topic   string
	Workers []Worker
}

// A Worker is a Sidekiq worker and what it is called with.
type Worker struct {
	sidekiq.JobTemplate
	Args []Arg // in the order of the perform method's parameters; empty: Message alone
}

// An Arg is one argument of a job.
type Arg int

// What a job can be given.
const (
	ArgMessage  Arg = iota // the published message
	ArgMetadata            // an object that tells where it came from
)

// String is the argument's name in the configuration.
func (a Arg) String() string {
	if a == ArgMetadata {
		return "metadata"
	}
	return "message"
}
