package deadletter

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"scout/handler"
	"scout/internal/explain"
)

// maxGroups is the maximum number of groups in a Summary, because others choose the
// names of topics.
const maxGroups = 1000

// A Group is the messages of a Summary that have the first fields in common.
type Group struct {
	Source  handler.Source  `json:"source"`
	Label   string          `json:"label"` // a topic's name, an event's source/detail-type, a bucket
	Outcome explain.Outcome `json:"outcome"`
	Reason  handler.Reason  `json:"reason,omitempty"`

	Count  int       `json:"count"`
	Oldest time.Time `json:"oldest"`
}

type groupKey struct {
	source  handler.Source
	label   string
	outcome explain.Outcome
	reason  handler.Reason
}

// A Summary counts messages. It is safe for concurrent use. The zero value is ready
// for use.
type Summary struct {
	mu      sync.Mutex
	groups  map[groupKey]*Group
	count   int
	needIDs int
	oldest  time.Time
}

// Add counts messages.
func (s *Summary) Add(messages ...*Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups == nil {
		s.groups = map[groupKey]*Group{}
	}
	for _, m := range messages {
		key := groupKey{m.Translation.Source, m.Label, m.Outcome(), m.Reason()}
		if s.groups[key] == nil && len(s.groups) >= maxGroups {
			key.label = "(others)"
		}
		g := s.groups[key]
		if g == nil {
			key.label = strings.Clone(key.label) // without the memory of the response
			g = &Group{Source: key.source, Label: key.label, Outcome: key.outcome, Reason: key.reason}
			s.groups[key] = g
		}
		g.Count++
		s.count++
		if m.NeedsID {
			s.needIDs++
		}
		g.Oldest, s.oldest = earlier(g.Oldest, m.Sent()), earlier(s.oldest, m.Sent())
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b.UTC()
	}
	return a
}

// Count returns the number of messages.
func (s *Summary) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// NeedIDs returns the number of messages with Verdict.NeedsID.
func (s *Summary) NeedIDs() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.needIDs
}

// Oldest returns when the oldest message was sent; the zero time if there is none.
func (s *Summary) Oldest() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oldest
}

// Groups returns the groups, the largest first.
func (s *Summary) Groups() []Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	groups := make([]Group, 0, len(s.groups))
	for _, g := range s.groups {
		groups = append(groups, *g)
	}
	slices.SortFunc(groups, func(a, b Group) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Source, b.Source), cmp.Compare(a.Label, b.Label), cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Reason, b.Reason))
	})
	return groups
}

// Reasons returns the number of messages by the reason why they would be rejected.
func (s *Summary) Reasons() map[handler.Reason]int {
	reasons := map[handler.Reason]int{}
	for _, g := range s.Groups() {
		if g.Reason != "" {
			reasons[g.Reason] += g.Count
		}
	}
	return reasons
}

// Outcomes returns the number of messages by outcome.
func (s *Summary) Outcomes() map[explain.Outcome]int {
	outcomes := map[explain.Outcome]int{}
	for _, g := range s.Groups() {
		outcomes[g.Outcome] += g.Count
	}
	return outcomes
}
