// Package torture injects faults into Scout, Redis and SQS at once, keeps a history of
// every message, and checks it with rules. docs/reliability.md describes the method and
// shows results.
//
//   - history_test.go: the history of each message
//   - rules_test.go: the rules
//   - instance_test.go: the calls of each process to SQS
//   - sqs_test.go: an SQS that fails
//   - scout_test.go: the processes of Scout
//   - redis_test.go: Redis and its faults
//   - faults_test.go: the schedule
//   - publish_test.go: the messages
//   - report_test.go: the end of a run
//   - torture_test.go: the run; start at TestTorture
//   - mutants_test.go: faulty versions of Scout that the rules must detect
package torture

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// A fate is the outcome that a message must have.
type fate string

const (
	becomesJob        fate = "a job"
	becomesNothing    fate = "nothing, because it is ignored"
	becomesDeadLetter fate = "a dead letter"            // in the dead-letter queue of its queue
	becomesDeadEntry  fate = "an entry of the dead set" // Sidekiq's
)

// workers are the classes of the jobs, by list.
var workers = map[string]string{"queue:default": "OrderWorker", "queue:steps": "StepWorker", "queue:low": "StepWorker"}

// A message is a published message and its history. Its number is its index in the
// history.
type message struct {
	fate   fate
	list   string // of a job: the Redis key of its Sidekiq queue
	group  string // "" in a standard queue
	text   string // the digest of its text
	events []event

	jobs        []place
	deadLetters []string // the reason of each: "" if there is none
	deadEntries []string // likewise
	receives    int
	handle      string // the receipt handle of the last receive
}

// A place is the position at which a job was found. Lists are drained at intervals.
type place struct {
	list  string
	drain int // number of the drain
	index int // in the list, in the order in which Sidekiq takes jobs
}

type event struct {
	at   time.Duration // since the start
	what string
}

// A history has all messages. It is safe for concurrent use.
type history struct {
	start time.Time

	mu         sync.Mutex // guards the fields below
	messages   []*message
	drains     int
	violations []violation // found during the run
}

func newHistory() *history { return &history{start: time.Now()} }

// publish adds a message, before it is published, and returns its number.
func (h *history) publish(f fate, list, group string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := &message{fate: f, list: list, group: group}
	m.events = append(m.events, event{time.Since(h.start), "published"})
	h.messages = append(h.messages, m)
	return len(h.messages) - 1
}

func (h *history) published() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.messages)
}

// fate returns the outcome that message n must have; "" if it was not published.
func (h *history) fate(n int) fate {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n < 0 || n >= len(h.messages) {
		return ""
	}
	return h.messages[n].fate
}

// update calls do with message n, and adds an event unless what is empty. A message
// that was never published is a violation.
func (h *history) update(n int, what string, do func(m *message)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n < 0 || n >= len(h.messages) {
		h.violations = append(h.violations, violation{ruleInvented, -1, fmt.Sprintf("message %d, which was not published: %s", n, what)})
		return
	}
	m := h.messages[n]
	if what != "" {
		m.events = append(m.events, event{time.Since(h.start), what})
	}
	if do != nil {
		do(m)
	}
}

func (h *history) note(n int, what string) { h.update(n, what, nil) }

// foundJob checks the class and the arguments of a job of message n.
func (h *history) foundJob(n int, class string, args []json.RawMessage) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n < 0 || n >= len(h.messages) {
		return // invented
	}
	m := h.messages[n]
	if class != workers[m.list] || len(args) != 1 || digest(string(args[0])) != m.text {
		h.violations = append(h.violations, violation{ruleContent, n, fmt.Sprintf("a job of %q with %d arguments that are not its text", class, len(args))})
	}
}

// digest identifies a text in a few bytes.
func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:8])
}

// received records that a process of Scout has received message n.
func (h *history) received(n int, by, handle string) {
	h.update(n, "received by "+by, func(m *message) {
		m.receives++
		m.handle = handle
	})
}

// receivedOf returns how many of the n messages that start with first were received.
func (h *history) receivedOf(first, n int) (received int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.messages[first : first+n] {
		if m.receives > 0 {
			received++
		}
	}
	return received
}

// handles returns the last receipt handle of each message that must become a dead
// letter.
func (h *history) handles() (handles []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.messages {
		if m.fate == becomesDeadLetter && m.handle != "" {
			handles = append(handles, m.handle)
		}
	}
	return handles
}

// found records the jobs of all lists, each in the order in which Sidekiq takes
// them, as one drain.
func (h *history) found(lists map[string][]int) {
	h.mu.Lock()
	h.drains++
	drain := h.drains
	h.mu.Unlock()
	for list, numbers := range lists {
		for i, n := range numbers {
			h.update(n, fmt.Sprintf("job %d of %s in drain %d", i, list, drain), func(m *message) {
				m.jobs = append(m.jobs, place{list, drain, i})
			})
		}
	}
}

// maxReceives returns the maximum number of receives of one message.
func (h *history) maxReceives() (most int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.messages {
		if m.fate != becomesDeadLetter {
			most = max(most, m.receives)
		}
	}
	return most
}

// violate records a violation found during the run. n is the message, or -1.
func (h *history) violate(rule string, n int, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text := fmt.Sprintf("at %.3f s, ", time.Since(h.start).Seconds()) + fmt.Sprintf(format, args...)
	h.violations = append(h.violations, violation{rule, n, text})
}

// add adds violations that were seen during the run.
func (h *history) add(violations []violation) {
	for _, v := range violations {
		h.violate(v.rule, v.message, "%s", v.text)
	}
}

// write writes the history of the offending messages to a file.
func (h *history) write(file string, violations []violation) error {
	w, err := os.Create(file)
	if err != nil {
		return err
	}
	defer w.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	written := map[int]bool{}
	for _, v := range violations {
		fmt.Fprintln(w, v)
		if v.message < 0 || written[v.message] {
			continue
		}
		written[v.message] = true
		m := h.messages[v.message]
		fmt.Fprintf(w, "  message %d, which must become: %s (list %q, group %q)\n", v.message, m.fate, m.list, m.group)
		for _, e := range m.events {
			fmt.Fprintf(w, "  %12.3f s  %s\n", e.at.Seconds(), e.what)
		}
	}
	return w.Close()
}
