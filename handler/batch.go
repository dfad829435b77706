package handler

import (
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

// Stats count what became of the messages of a batch. Each is counted once:
// Received = Enqueued + Duplicate + those in Failed.
type Stats struct {
	Received  int
	Enqueued  int            // at least one job was new
	Duplicate int            // all jobs were in Redis before
	Failed    map[Reason]int // nil if none
	Push      time.Duration  // how long Redis took, 0 if it was not asked
	Age       time.Duration  // of the oldest message, since it was sent to SQS

	// Latencies are those of the enqueued messages, in their order: from when
	// a message was sent to SQS until Redis had it. One that does not say
	// when it was sent is left out.
	Latencies []time.Duration
}

// A batch is the state of one call of Handle.
type batch struct {
	messages []events.SQSMessage
	failures []error // of each message, nil while it has none
	fresh    []bool  // of each message, whether one of its jobs was new

	jobs     []sidekiq.Job
	owners   []int // for each job the index of its message
	pushed   int   // jobs that are in Redis
	pushErr  error
	pushTime time.Duration
	pushedAt time.Time
}

func newBatch(messages []events.SQSMessage) *batch {
	return &batch{
		messages: messages,
		failures: make([]error, len(messages)),
		fresh:    make([]bool, len(messages)),
		jobs:     make([]sidekiq.Job, 0, len(messages)),
		owners:   make([]int, 0, len(messages)),
	}
}

// record takes the result of job n. A message with several jobs fails with
// the first failure among them.
func (b *batch) record(n int, result sidekiq.Result) {
	i := b.owners[n]
	if result.Outcome != sidekiq.NotPushed {
		b.pushed++
	}
	if result.Outcome == sidekiq.Enqueued || result.Outcome == sidekiq.Unmarked {
		b.fresh[i] = true
	}
	if b.failures[i] == nil {
		b.failures[i] = result.Err
	}
}

// stats sums the batch up, which was received at the given time.
func (b *batch) stats(received time.Time) Stats {
	s := Stats{Received: len(b.messages), Push: b.pushTime, Latencies: make([]time.Duration, 0, len(b.messages))}
	for i, failure := range b.failures {
		sent, known := sentAt(&b.messages[i])
		if known {
			s.Age = max(s.Age, received.Sub(sent))
		}
		switch {
		case failure != nil:
			if s.Failed == nil {
				s.Failed = map[Reason]int{}
			}
			s.Failed[reasonOf(failure, b.pushErr)]++
		case b.fresh[i]:
			s.Enqueued++
			if known {
				s.Latencies = append(s.Latencies, max(0, b.pushedAt.Sub(sent))) // the clock of SQS may be ahead
			}
		default:
			s.Duplicate++
		}
	}
	return s
}

// sentAt is when a message was sent to SQS.
func sentAt(m *events.SQSMessage) (at time.Time, known bool) {
	ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
	return time.UnixMilli(ms), err == nil
}
