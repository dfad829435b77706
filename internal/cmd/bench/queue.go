package main

import (
	"sync"
	"time"
)

// A queue holds numbered messages. They are received in their order and once:
// nothing comes back.
type queue struct {
	mu        sync.Mutex
	arrived   chan struct{} // closed when a message is published
	published int           // messages, so that the next one has this number
	received  int
	deleted   int
}

func newQueue() *queue { return &queue{arrived: make(chan struct{})} }

// newEndlessQueue returns a queue with more messages than anybody will receive.
func newEndlessQueue() *queue {
	q := newQueue()
	q.published = 100_000_000_000
	return q
}

// publish adds a message.
func (q *queue) publish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.published++
	close(q.arrived)
	q.arrived = make(chan struct{})
}

// receive takes up to limit messages off the queue. If there are none, it
// waits for one.
func (q *queue) receive(limit int, wait time.Duration) (first, n int) {
	for timeout := (<-chan time.Time)(nil); ; {
		first, n, arrived := q.take(limit)
		if n > 0 {
			return first, n
		}
		if timeout == nil {
			timeout = time.After(wait)
		}
		select {
		case <-arrived:
		case <-timeout:
			return first, 0
		}
	}
}

// take is receive without waiting. More have arrived when the channel is closed.
func (q *queue) take(limit int) (first, n int, arrived <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first, n = q.received, min(limit, q.published-q.received)
	q.received += n
	return first, n, q.arrived
}

// delete deletes n messages that were received.
func (q *queue) delete(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted += n
}

// counts returns the messages that were not received yet, those that were
// received but not deleted, and those that were deleted.
func (q *queue) counts() (waiting, inFlight, deleted int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.published - q.received, q.received - q.deleted, q.deleted
}
