package devpage

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/handler"
	"scout/internal/devstack"
	"scout/internal/printable"
	"scout/sidekiq"
)

// The bounds of the list.
const (
	maxMessages = 500
	maxBytes    = 32 << 20  // of bodies and jobs, in all messages
	maxBody     = 256 << 10 // of a message; the rest is cut off, and it cannot be replayed
	maxPayload  = 64 << 10  // of a job; the rest is cut off
	maxJobs     = 20        // of a message; of others, only the number is kept
	maxText     = 300       // of a name, id or reason, in bytes
	maxPreview  = 200       // of the arguments in a list, in bytes
)

// The states of a message.
const (
	stateEnqueued   = "enqueued"
	stateDuplicate  = "duplicate"
	stateIgnored    = "ignored"
	stateRejected   = "rejected"
	stateFailed     = "failed"
	stateDeadSet    = "dead set"
	stateDeadLetter = "dead letter"
)

// A message is an SQS message and the outcome of its last receive. It never changes:
// the next receive replaces it.
type message struct {
	seq int64  // grows with each change of any message
	key string // of the queue and the message in SQS

	summary
	body       string
	cut        bool // body is not the whole body
	attributes map[string]devstack.Attribute
	group      string // of FIFO queues
	payloads   []payload
}

// A summary is the part of a message that the list shows. Its text is safe to show.
type summary struct {
	ID        string    `json:"id"`
	Time      time.Time `json:"time"` // of the last receive
	State     string    `json:"state"`
	Source    string    `json:"source"`
	Topic     string    `json:"topic"` // or event or bucket
	TopicARN  string    `json:"topicArn,omitempty"`
	Route     string    `json:"route"`
	Queue     string    `json:"queue"`
	MessageID string    `json:"messageId,omitempty"` // of the source
	SQSID     string    `json:"sqsId"`
	Receives  int       `json:"receives"`
	Reason    string    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"` // the reason as a sentence
	JobCount  int       `json:"jobCount"`
	Jobs      []jobLine `json:"jobs"`
}

// A jobLine is a job of a message as one line.
type jobLine struct {
	Class   string `json:"class"`
	Queue   string `json:"queue"`
	JID     string `json:"jid"`
	State   string `json:"state"`
	Preview string `json:"preview"` // of the arguments
}

type payload struct {
	text string
	cut  bool
}

func (m *message) size() int {
	n := len(m.body)
	for _, p := range m.payloads {
		n += len(p.text)
	}
	return n
}

// messages are the latest messages. They are safe for concurrent use.
type messages struct {
	mu       sync.Mutex
	seq      int64
	arrivals int
	order    []*message // by arrival
	bytes    int
	changed  chan struct{} // closed at the next change
}

func newMessages() *messages { return &messages{changed: make(chan struct{})} }

// add adds a message. A later receive of a message in the list replaces the earlier
// one.
func (l *messages) add(m *message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := l.latest(m.key)
	if i >= 0 && l.order[i].Receives < m.Receives {
		l.replace(i, m)
		return
	}
	l.arrivals++
	m.ID = strconv.Itoa(l.arrivals)
	l.order = append(l.order, nil)
	l.replace(len(l.order)-1, m)
	for len(l.order) > maxMessages || l.bytes > maxBytes && len(l.order) > 1 {
		l.bytes -= l.order[0].size()
		l.order = slices.Delete(l.order, 0, 1)
	}
}

// change replaces the latest message with a key by the result of change, if there is
// such a message.
func (l *messages) change(key string, change func(m *message)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := l.latest(key); i >= 0 {
		m := *l.order[i]
		change(&m)
		l.replace(i, &m)
	}
}

// latest returns the index of the latest message with a key, -1 if there is none.
// The caller holds l.mu.
func (l *messages) latest(key string) int {
	for i, m := range slices.Backward(l.order) {
		if m.key == key {
			return i
		}
	}
	return -1
}

// replace replaces message i, if there is one, and keeps its ID. The caller holds l.mu.
func (l *messages) replace(i int, m *message) {
	if former := l.order[i]; former != nil {
		m.ID = former.ID
		l.bytes -= former.size()
	}
	l.seq++
	m.seq = l.seq
	l.order[i] = m
	l.bytes += m.size()
	close(l.changed)
	l.changed = make(chan struct{})
}

// find returns the message with an ID, nil if there is none.
func (l *messages) find(id string) *message {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.order, func(m *message) bool { return m.ID == id })
	if i < 0 {
		return nil
	}
	return l.order[i]
}

// after returns the messages that have changed after a sequence number, in the order
// of their changes, and a channel that is closed at the next change.
func (l *messages) after(seq int64) (list []*message, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.order {
		if m.seq > seq {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *message) int { return cmp.Compare(a.seq, b.seq) })
	return list, l.changed
}

// newMessage returns the message of a Result, received now.
func newMessage(r *handler.Result, now time.Time) *message {
	t := &r.Translation
	queue := handler.TopicName(r.Message.EventSourceARN)
	m := &message{key: messageKey(queue, r.Message.MessageId), attributes: AttributesOf(r.Message), group: r.Message.Attributes["MessageGroupId"]}
	m.body, m.cut = cutText(r.Message.Body, maxBody)
	receives, _ := strconv.Atoi(r.Message.Attributes["ApproximateReceiveCount"])
	m.summary = summary{
		Time:      now,
		Source:    string(t.Source),
		Topic:     show(t.Label),
		TopicARN:  show(t.TopicARN),
		Route:     show(t.Route),
		Queue:     show(queue),
		MessageID: show(t.MessageID),
		SQSID:     show(r.Message.MessageId),
		Receives:  receives,
		JobCount:  len(t.Jobs),
		Jobs:      []jobLine{},
	}
	for i := range t.Jobs[:min(len(t.Jobs), maxJobs)] {
		job := &t.Jobs[i]
		line := jobLine{Class: show(job.Class), Queue: show(job.Queue), JID: job.JID, State: "not pushed", Preview: preview(job.Payload)}
		if i < len(r.Pushed) {
			line.State = jobState(r.Pushed[i])
		}
		text, cut := cutText(string(job.Payload), maxPayload)
		m.Jobs, m.payloads = append(m.Jobs, line), append(m.payloads, payload{text, cut})
	}
	m.State = stateOf(r)
	if r.Err != nil {
		m.Reason, m.Detail = string(r.Reason()), printable.Text(r.Err.Error(), 4*maxText)
	}
	return m
}

// messageKey identifies a message of SQS.
func messageKey(queue, sqsID string) string { return queue + ":" + sqsID }

func stateOf(r *handler.Result) string {
	_, isRejection := errors.AsType[*handler.Rejection](r.Err)
	switch {
	case r.Dead:
		return stateDeadSet
	case isRejection && r.Reason() != handler.ReasonHeldBack:
		return stateRejected
	case r.Err != nil:
		return stateFailed
	case r.Translation.Ignored:
		return stateIgnored
	case slices.ContainsFunc(r.Pushed, func(p sidekiq.Result) bool { return p.Outcome != sidekiq.Duplicate }):
		return stateEnqueued
	}
	return stateDuplicate
}

func jobState(r sidekiq.Result) string {
	switch {
	case r.Err != nil:
		return stateFailed
	case r.Outcome == sidekiq.Duplicate:
		return stateDuplicate
	}
	return stateEnqueued
}

// AttributesOf returns the attributes that a sender gave a message.
func AttributesOf(m *events.SQSMessage) map[string]devstack.Attribute {
	attributes := map[string]devstack.Attribute{}
	for name, a := range m.MessageAttributes {
		attribute := devstack.Attribute{DataType: a.DataType, BinaryValue: a.BinaryValue}
		if a.StringValue != nil {
			attribute.StringValue = *a.StringValue
		}
		attributes[name] = attribute
	}
	return attributes
}

// show returns text from others, made safe to show and bounded in length.
func show(text string) string { return printable.Text(text, maxText) }

// cutText returns a copy of the beginning of a text, and whether it was cut. A slice of
// the text would keep all of it in memory.
func cutText(text string, max int) (string, bool) {
	return strings.Clone(text[:min(len(text), max)]), len(text) > max
}
