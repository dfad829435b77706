package main

import (
	"sync"
	"time"
)

// A queue holds numbered messages. Each is received once, in order; none is
// redelivered.
type queue struct {
	mu        sync.Mutex
	arrived   chan struct{} // closed when a message is published
	published int           // messages so far, and the number of the next one
	received  int
	deleted   int
}

func newQueue() *queue { return &queue{arrived: make(chan struct{})} }

// newEndlessQueue returns a queue with more messages than a run can receive.
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

// receive takes up to max messages off the queue: n from number first on. If
// the queue is empty, it waits for a message.
func (q *queue) receive(max int, wait time.Duration) (first, n int) {
	for timeout := (<-chan time.Time)(nil); ; {
		first, n, arrived := q.take(max)
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

// take is receive without waiting. The channel is closed when another message
// has arrived.
func (q *queue) take(max int) (first, n int, arrived <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first, n = q.received, min(max, q.published-q.received)
	q.received += n
	return first, n, q.arrived
}

// delete deletes n of the received messages.
func (q *queue) delete(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted += n
}

// counts returns the number of messages that wait to be received, of those that
// were received but not deleted, and of those that were deleted.
func (q *queue) counts() (waiting, inFlight, deleted int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.published - q.received, q.received - q.deleted, q.deleted
}
