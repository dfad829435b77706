package handler

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

// Stats count the messages of a batch by their outcome. Each is counted once:
// Received is the sum of Enqueued, Duplicate, Ignored, Dead and all of Failed.
type Stats struct {
	Received  int
	Enqueued  int            // at least one of the message's jobs was new
	Duplicate int            // all of the message's jobs were in Redis before
	Ignored   int            // the configuration says that the message gets no job
	Dead      int            // rejected and put into Sidekiq's dead set
	Failed    map[Reason]int // nil if none failed
	Push      time.Duration  // time spent pushing to Redis; 0 if there were no jobs
	Age       time.Duration  // of the oldest message, since it was sent to SQS

	// Latencies holds one duration for each enqueued message, in the batch's
	// order: from when it was sent to SQS until Redis had it. Messages
	// without a SentTimestamp are left out.
	Latencies []time.Duration

	// Results holds the outcome of each message, in the batch's order. It is nil unless
	// Handler.Detailed is set.
	Results []Result
}

// A Result is the outcome of one message.
type Result struct {
	Message     *events.SQSMessage
	Translation Translation      // Jobs are the jobs to push
	Pushed      []sidekiq.Result // one for each of the Jobs, none if they were not pushed
	Dead        bool             // the message was rejected and is in Sidekiq's dead set
	Err         error            // the reason why it was rejected or failed
}

// Reason returns why the message was rejected or failed, "" if it was not.
func (r *Result) Reason() Reason {
	if r.Err == nil {
		return ""
	}
	return reasonOf(r.Err)
}

// A special message gets no job.
type special struct {
	ignored   bool
	rejection error // of a message for the dead set; nil if it is ignored
	dead      bool  // the message is in the dead set
}

// A batch is the state of one call of Process.
type batch struct {
	messages []events.SQSMessage
	failures []error         // one for each message; nil unless it failed
	enqueued []bool          // one for each message: whether one of its jobs was new
	special  map[int]special // by message, of those that get no job and yet may be deleted
	labels   []string        // one for each message: its Translation.Label, for logs
	snsIDs   []string        // one for each message: its id in SNS, for logs
	results  []Result        // one for each message, or nil

	jobs         []sidekiq.Job
	messageOf    []int // one for each job: the index of its message
	pushed       int   // number of jobs that are in Redis
	pushErr      error
	pushDuration time.Duration
	pushedAt     time.Time
}

func newBatch(messages []events.SQSMessage) *batch {
	return &batch{
		messages:  messages,
		failures:  make([]error, len(messages)),
		enqueued:  make([]bool, len(messages)),
		labels:    make([]string, len(messages)),
		snsIDs:    make([]string, len(messages)),
		jobs:      make([]sidekiq.Job, 0, len(messages)),
		messageOf: make([]int, 0, len(messages)),
	}
}

// set makes message i special.
func (b *batch) set(i int, s special) {
	if b.special == nil {
		b.special = map[int]special{}
	}
	b.special[i] = s
}

// keepTranslation keeps the translation of message i for its Result. It leaves out the
// jobs of earlier messages.
func (b *batch) keepTranslation(i int, t Translation) {
	if b.results == nil {
		return
	}
	if len(t.Jobs) > 0 {
		t.Jobs = slices.Clone(t.Jobs[len(b.jobs):])
	}
	b.results[i].Translation = t
}

// recordResult records the result of job n. A message with several jobs fails
// with the first error among theirs.
func (b *batch) recordResult(n int, result sidekiq.Result) {
	i := b.messageOf[n]
	if b.results != nil && b.special[i].rejection == nil {
		b.results[i].Pushed = append(b.results[i].Pushed, result)
	}
	b.jobs[n].Payload, b.jobs[n].Dead = nil, nil // Push has returned, and nothing else needs them
	if result.Outcome != sidekiq.NotPushed {
		b.pushed++
	}
	if result.Outcome == sidekiq.Enqueued || result.Outcome == sidekiq.Unmarked {
		b.enqueued[i] = true
	}
	if result.Outcome == sidekiq.Dead {
		b.set(i, special{rejection: b.special[i].rejection, dead: true})
	}
	if errors.Is(result.Err, sidekiq.ErrDeadSet) {
		result.Err = b.special[i].rejection
	}
	if b.failures[i] == nil {
		b.failures[i] = result.Err
	}
}

// stats returns the Stats of a batch that was received at the given time.
func (b *batch) stats(received time.Time) Stats {
	s := Stats{Received: len(b.messages), Push: b.pushDuration, Latencies: make([]time.Duration, 0, len(b.messages))}
	for i := range b.results {
		r := &b.results[i]
		r.Message, r.Dead, r.Err = &b.messages[i], b.special[i].dead, cmp.Or(b.failures[i], b.special[i].rejection)
	}
	s.Results = b.results
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
			s.Failed[reasonOf(failure)]++
		case b.enqueued[i]:
			s.Enqueued++
			if known {
				s.Latencies = append(s.Latencies, max(0, b.pushedAt.Sub(sent))) // the clock of SQS may be ahead of ours
			}
		case b.special[i].ignored:
			s.Ignored++
		case b.special[i].dead:
			s.Dead++
		default:
			s.Duplicate++
		}
	}
	return s
}

// sentAt returns when a message was sent to SQS, if it says so.
func sentAt(m *events.SQSMessage) (at time.Time, known bool) {
	ms, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
	return time.UnixMilli(ms), err == nil
}
