package deadletter

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"
)

// A lease is a message that the scan hides from other consumers.
type lease struct {
	id, handle string
	until      time.Time
}

// leases are the messages that a scan hides. It is safe for concurrent use.
type leases struct {
	mu   sync.Mutex
	held map[string]*lease

	// gone has a hash of the id of each message that was deleted or sent. A sent
	// message is therefore not sent again if SQS delivers it twice. If two ids had the
	// same hash, the second message would stay in the queue.
	gone map[uint64]struct{}
	seed maphash.Seed
}

func newLeases() *leases {
	return &leases{held: map[string]*lease{}, gone: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
}

// add adds a received message. It reports false if the message was received before;
// SQS may deliver a message twice. It keeps copies of the strings, because the strings
// of a response share their memory.
func (l *leases) add(id, handle string, until time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, isGone := l.gone[maphash.String(l.seed, id)]
	_, isHeld := l.held[id]
	id = strings.Clone(id)
	l.held[id] = &lease{id, strings.Clone(handle), until}
	return !isHeld && !isGone
}

// forget ends the leases of messages that are deleted.
func (l *leases) forget(deleted []lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range deleted {
		delete(l.held, d.id)
		l.gone[maphash.String(l.seed, d.id)] = struct{}{}
	}
}

// skip makes the scan pass over a message that it may receive later.
func (l *leases) skip(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone[maphash.String(l.seed, id)] = struct{}{}
}

// len returns the number of hidden messages.
func (l *leases) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// due returns the leases that end before a time.
func (l *leases) due(before time.Time) (due []lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, held := range l.held {
		if held.until.Before(before) {
			due = append(due, *held)
		}
	}
	return due
}

// extend records that the leases last until a time, unless the messages have been
// received again.
func (l *leases) extend(extended []lease, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range extended {
		if held := l.held[e.id]; held != nil && held.handle == e.handle {
			held.until = until
		}
	}
}

// find returns the leases of messages that are still hidden.
func (l *leases) find(ids []string) (found []lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if held := l.held[id]; held != nil {
			found = append(found, *held)
		}
	}
	return found
}
