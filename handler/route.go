package handler

import "scout/sidekiq"

// A Route names the workers that get a job for each message of a topic.
type Route struct {
	// Topic is a topic's name, its full ARN, or a pattern for names in
	// which * stands for any number of characters and ? for one.
	Topic   string
	Workers []Worker
}

// A Worker describes the job that one Sidekiq class gets for a message: the
// template, which is the same for all messages, and which parts of the message
// become its arguments.
type Worker struct {
	sidekiq.JobTemplate
	Args []Arg // in the order of the perform method's parameters; empty: ArgMessage alone
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
