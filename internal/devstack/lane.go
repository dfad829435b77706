package devstack

import (
	"slices"
	"time"
)

// message is a message of a queue. What its sender gave never changes.
type message struct {
	draft
	id       string
	queueARN string // of the queue that it is in
	sequence string // FIFO queues only
	order    uint64 // of arrival in this queue
	sentAt   time.Time

	visibleAt       time.Time // when it can be received (again)
	firstReceivedAt time.Time
	receives        int    // across all queues, as AWS counts
	receivesHere    int    // by this queue, which its redrive policy counts
	source          string // the ARN of the queue that moved it to this dead-letter queue

	lane *lane
}

func (m *message) visible(now time.Time) bool  { return !m.visibleAt.After(now) }
func (m *message) inFlight(now time.Time) bool { return m.receivesHere > 0 && !m.visible(now) }

// lane holds messages that are received one after the other: those of a message group. A message of a standard queue
// has a lane for itself. So both kinds of queue are a heap of lanes, by the time from which each can be received from.
type lane struct {
	group    string
	messages []*message // never empty while the lane is in a queue
	taken    int        // so many of the first messages were in the last receive, and block the lane while in flight
	readyAt  time.Time  // see update
	index    int        // in the heap
}

// update sets readyAt: when the first message is visible and none of the lane is in flight.
func (l *lane) update() {
	l.readyAt = l.messages[0].visibleAt
	for _, m := range l.messages[:l.taken] {
		if m.visibleAt.After(l.readyAt) {
			l.readyAt = m.visibleAt
		}
	}
}

// remove takes m out of the lane. Messages leave at or near the front, so that is the end that moves.
func (l *lane) remove(m *message) {
	i := slices.Index(l.messages, m)
	copy(l.messages[1:i+1], l.messages[:i])
	l.messages[0] = nil
	l.messages = l.messages[1:]
	if i < l.taken {
		l.taken--
	}
}

// laneHeap is a heap.Interface: the lane that is or becomes ready first is on top.
type laneHeap []*lane

func (h laneHeap) Len() int { return len(h) }

func (h laneHeap) Less(i, j int) bool {
	if h[i].readyAt.Equal(h[j].readyAt) {
		return h[i].messages[0].order < h[j].messages[0].order
	}
	return h[i].readyAt.Before(h[j].readyAt)
}

func (h laneHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *laneHeap) Push(x any) {
	l := x.(*lane)
	l.index = len(*h)
	*h = append(*h, l)
}

func (h *laneHeap) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}
