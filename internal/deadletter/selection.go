package deadletter

import (
	"slices"
	"time"
)

// A Selection selects messages. A message must fit each field that is set.
type Selection struct {
	Topics  []string // names or ARNs of topics, or what other sources have in their place
	Reasons []string // why a message would be rejected now
	IDs     []string // of SQS

	// Since the message was sent; in a FIFO queue, since it was moved to the
	// dead-letter queue.
	OlderThan, NewerThan time.Duration

	// Succeeding selects only messages that would not be rejected now.
	Succeeding bool
}

// matches reports whether the Selection selects a message.
func (s *Selection) matches(m *Message) bool {
	age := time.Since(m.Sent())
	switch {
	case s.Succeeding && !m.succeeds():
		return false
	case s.Topics != nil && !slices.Contains(s.Topics, m.Label) && !slices.Contains(s.Topics, m.TopicARN):
		return false
	case s.Reasons != nil && !slices.Contains(s.Reasons, string(m.Reason())):
		return false
	case s.IDs != nil && !slices.Contains(s.IDs, m.ID()):
		return false
	case s.OlderThan > 0 && age < s.OlderThan, s.NewerThan > 0 && age > s.NewerThan:
		return false
	}
	return true
}
