package devstack

import (
	"slices"
	"time"
)

// message is a message of a queue. What its sender supplied never changes.
type message struct {
	sendInput
	id       string
	queueARN string // of the queue that holds the message
	sequence string // FIFO queues only
	order    uint64 // of arrival in this queue
	sentAt   time.Time

	visibleAt       time.Time // when the message can be received (again)
	firstReceivedAt time.Time
	lastReceivedAt  time.Time
	receives        int    // across all queues, as AWS counts
	receivesHere    int    // from this queue, as its redrive policy counts
	source          string // the ARN of the queue that moved it to this dead-letter queue

	group *messageGroup
}

func (m *message) visible(now time.Time) bool  { return !m.visibleAt.After(now) }
func (m *message) inFlight(now time.Time) bool { return m.receivesHere > 0 && !m.visible(now) }

// markReceived hides the message for the visibility timeout and counts the receive.
func (m *message) markReceived(visibility time.Duration, now time.Time) {
	m.receives++
	m.receivesHere++
	m.visibleAt, m.lastReceivedAt = now.Add(visibility), now
	if m.firstReceivedAt.IsZero() {
		m.firstReceivedAt = now
	}
}

// messageGroup holds messages that are received in order. Each message of a standard queue forms a
// group of its own, so both kinds of queue are a heap of groups, ordered by when each becomes ready.
type messageGroup struct {
	id       string
	messages []*message // never empty while the group is in a queue
	received int        // how many messages the last receive returned; while in flight, they block the group
	readyAt  time.Time  // see update
	index    int        // in the heap
}

// update sets readyAt to when the first message is visible and no message of the group is in flight.
func (g *messageGroup) update() {
	g.readyAt = g.messages[0].visibleAt
	for _, m := range g.messages[:g.received] {
		if m.visibleAt.After(g.readyAt) {
			g.readyAt = m.visibleAt
		}
	}
}

// remove removes m from the group. It moves the messages before m, which are few because messages
// leave at or near the front.
func (g *messageGroup) remove(m *message) {
	i := slices.Index(g.messages, m)
	copy(g.messages[1:i+1], g.messages[:i])
	g.messages[0] = nil
	g.messages = g.messages[1:]
	if i < g.received {
		g.received--
	}
}

// groupHeap implements heap.Interface, with the group that is ready first on top.
type groupHeap []*messageGroup

func (h groupHeap) Len() int { return len(h) }

func (h groupHeap) Less(i, j int) bool {
	if h[i].readyAt.Equal(h[j].readyAt) {
		return h[i].messages[0].order < h[j].messages[0].order
	}
	return h[i].readyAt.Before(h[j].readyAt)
}

func (h groupHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *groupHeap) Push(x any) {
	g := x.(*messageGroup)
	g.index = len(*h)
	*h = append(*h, g)
}

func (h *groupHeap) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return g
}
