// Package explain predicts the outcome of a message: the jobs that Scout would push, or
// whether Scout would ignore or reject it, and why. It uses neither Redis nor SQS.
// Start at [Explainer.Explain].
package explain

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/config"
	"scout/handler"
)

// An Explainer predicts outcomes with a configuration. It is not safe for concurrent
// use.
type Explainer struct {
	config  *config.Config
	routers map[string]*handler.Router // by the queue's label
}

// New returns an Explainer for messages of the configured queues.
func New(c *config.Config) *Explainer {
	return &Explainer{c, map[string]*handler.Router{}}
}

// An Outcome is what Scout does with a message.
type Outcome string

// The outcomes.
const (
	Job      Outcome = "job" // one or more
	Ignored  Outcome = "ignored"
	Rejected Outcome = "rejected"
)

// A Result is the outcome of a message in a queue.
type Result struct {
	handler.Translation
	SQSMessageID string
	Queue        config.Queue
	Rejection    *handler.Rejection // nil unless the message is rejected
	Origins      [][]config.Origin  // of the options of each job; see config.Origins
	Oddities     []string           // of the [Message], for MarshalJSON; Explain does not set them
}

// Explain returns the outcome of a message in q, one of the configured queues.
func (e *Explainer) Explain(q config.Queue, m events.SQSMessage) Result {
	router := e.routers[q.Label()]
	if router == nil {
		router = e.config.Router(q)
		e.routers[q.Label()] = router
	}
	m.EventSourceARN = cmp.Or(m.EventSourceARN, ":"+q.Label()) // the id of plain messages depends on the queue's name
	t, err := router.Translate(&m, time.Now())
	r := Result{Translation: t, SQSMessageID: m.MessageId, Queue: q}
	for _, job := range t.Jobs {
		r.Origins = append(r.Origins, e.config.Origins(job))
	}
	r.Rejection, _ = errors.AsType[*handler.Rejection](err)
	return r
}

// Queues returns the configured queue that a message comes from, or all of them if
// the message does not name one.
func (e *Explainer) Queues(m *events.SQSMessage) []config.Queue {
	for _, q := range e.config.Queues {
		name := q.Label()
		if name != "" && strings.HasSuffix(m.EventSourceARN, ":"+name) {
			return []config.Queue{q}
		}
	}
	return e.config.Queues
}

// Outcome returns the outcome in one word.
func (r Result) Outcome() Outcome {
	switch {
	case r.Rejection != nil:
		return Rejected
	case r.Ignored:
		return Ignored
	}
	return Job
}

// MatchedRoute returns the route of the queue that applies to the message. It returns
// false if none does.
func (r Result) MatchedRoute() (handler.Route, bool) {
	routes := map[handler.Source][]handler.Route{
		handler.SourceSNS:         r.Queue.Topics,
		handler.SourceEventBridge: r.Queue.EventBridge,
		handler.SourceS3:          r.Queue.S3,
		handler.SourcePlain:       {{Key: "plain", Outcome: r.Queue.Plain}},
	}[r.Source]
	i := slices.IndexFunc(routes, func(route handler.Route) bool { return route.Key == r.Route })
	if i < 0 {
		return handler.Route{}, false
	}
	return routes[i], true
}

// A Record is the form of a Result in scout explain --output json. Its keys are part of
// Scout's interface: new ones may be added, but none is renamed or removed.
type Record struct {
	SQSMessageID string            `json:"sqs_message_id"`
	Queue        string            `json:"queue"`
	Source       handler.Source    `json:"source"`
	Label        string            `json:"label,omitempty"`
	TopicARN     string            `json:"topic_arn,omitempty"`
	Route        string            `json:"route,omitempty"`
	Outcome      Outcome           `json:"outcome"`
	Reason       handler.Reason    `json:"reason,omitempty"`
	Detail       string            `json:"detail,omitempty"`
	DeadSet      bool              `json:"dead_set,omitempty"`
	Oddities     []string          `json:"oddities,omitempty"`
	Jobs         []json.RawMessage `json:"jobs"`

	// Origins says for each job where its options come from; see [config.Origin].
	Origins []map[string]string `json:"origins,omitempty"`
}

// MarshalJSON returns the Record as JSON.
func (r Result) MarshalJSON() ([]byte, error) { return json.Marshal(r.Record()) }

// Record returns the Result in its form for JSON.
func (r Result) Record() Record {
	out := Record{
		SQSMessageID: r.SQSMessageID, Queue: r.Queue.Label(), Source: r.Source, Label: r.Label, TopicARN: r.TopicARN,
		Route: r.Route, Outcome: r.Outcome(), Oddities: r.Oddities, Jobs: []json.RawMessage{},
	}
	if r.Rejection != nil {
		out.Reason, out.Detail, out.DeadSet = r.Rejection.Reason, r.Rejection.Detail, r.Queue.DeadSet
	}
	for i, job := range r.Jobs {
		out.Jobs = append(out.Jobs, job.Payload)
		from := map[string]string{}
		for _, origin := range r.Origins[i] {
			from[origin.Option] = origin.From
		}
		if len(from) > 0 {
			out.Origins = append(out.Origins, from)
		}
	}
	return out
}
