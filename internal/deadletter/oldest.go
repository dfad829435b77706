package deadletter

import (
	"cmp"
	"slices"
	"sync"
)

// Oldest keeps the oldest of the messages that a Selection selects. It is safe for
// concurrent use.
type Oldest struct {
	Selection Selection
	Max       int // number of messages

	mu       sync.Mutex
	messages []*Message
}

// Add adds the messages that the Selection selects, and drops all but the oldest.
func (o *Oldest) Add(messages ...*Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range messages {
		if !o.Selection.matches(m) {
			continue
		}
		i, _ := slices.BinarySearchFunc(o.messages, m, func(a, b *Message) int {
			return cmp.Or(a.Sent().Compare(b.Sent()), cmp.Compare(a.ID(), b.ID()))
		})
		if i < o.Max {
			o.messages = slices.Insert(o.messages, i, m)
			o.messages = o.messages[:min(len(o.messages), o.Max)]
		}
	}
}

// Messages returns the messages, the oldest first.
func (o *Oldest) Messages() []*Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.messages)
}
