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

// A Group counts the messages of a Summary with the same Source, Label, Outcome and
// Reason.
type Group struct {
	Source  handler.Source  `json:"source"`
	Label   string          `json:"label"` // a topic's name, an event's source/detail-type, a bucket
	Outcome explain.Outcome `json:"outcome"`
	Reason  handler.Reason  `json:"reason,omitempty"`

	Count   int       `json:"count"`
	NeedIDs int       `json:"-"` // number of messages with Verdict.NeedsID
	Oldest  time.Time `json:"oldest"`
}

// A Summary counts messages. It is safe for concurrent use. The zero value is ready
// for use.
type Summary struct {
	mu     sync.Mutex
	groups map[Group]*Group // the keys have only Source, Label, Outcome and Reason
}

// Add counts messages.
func (s *Summary) Add(messages ...*Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups == nil {
		s.groups = map[Group]*Group{}
	}
	for _, m := range messages {
		key := Group{Source: m.Translation.Source, Label: m.Label, Outcome: m.Outcome(), Reason: m.Reason()}
		if s.groups[key] == nil && len(s.groups) >= maxGroups {
			key.Label = "(others)"
		}
		g := s.groups[key]
		if g == nil {
			key.Label = strings.Clone(key.Label) // shares no memory with the response
			g = &key
			s.groups[key] = g
		}
		g.Count++
		if m.NeedsID {
			g.NeedIDs++
		}
		g.Oldest = earlier(g.Oldest, m.Sent().UTC())
	}
}

// earlier returns the earlier of two times; the zero time is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
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

// Total returns the sum of the groups: the number of messages, the number with
// Verdict.NeedsID, and the time when the oldest was sent, which is zero if there is
// none.
func (s *Summary) Total() (total Group) {
	for _, g := range s.Groups() {
		total.Count += g.Count
		total.NeedIDs += g.NeedIDs
		total.Oldest = earlier(total.Oldest, g.Oldest)
	}
	return total
}

// Count returns the number of messages.
func (s *Summary) Count() int { return s.Total().Count }

// Reasons returns the number of messages by the reason why they would be rejected.
func (s *Summary) Reasons() map[handler.Reason]int {
	reasons := countBy(s, func(g Group) handler.Reason { return g.Reason })
	delete(reasons, "")
	return reasons
}

// Outcomes returns the number of messages by outcome.
func (s *Summary) Outcomes() map[explain.Outcome]int {
	return countBy(s, func(g Group) explain.Outcome { return g.Outcome })
}

func countBy[K comparable](s *Summary, key func(Group) K) map[K]int {
	counts := map[K]int{}
	for _, g := range s.Groups() {
		counts[key(g)] += g.Count
	}
	return counts
}

// Oldest keeps the oldest messages. It is safe for concurrent use.
type Oldest struct {
	Max int // number of messages

	mu       sync.Mutex
	messages []*Message
}

// Add adds messages, and drops all but the oldest.
func (o *Oldest) Add(messages ...*Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.messages = append(o.messages, messages...)
	slices.SortFunc(o.messages, func(a, b *Message) int {
		return cmp.Or(a.Sent().Compare(b.Sent()), cmp.Compare(a.ID(), b.ID()))
	})
	o.messages = slices.Delete(o.messages, min(o.Max, len(o.messages)), len(o.messages))
}

// Messages returns the messages, the oldest first.
func (o *Oldest) Messages() []*Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.messages)
}
