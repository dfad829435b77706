// Package budget bounds the bytes of messages that a process has in flight. Start at [Budget].
package budget

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Default is the maximum of a Budget unless the configuration has another one.
const Default = 64 << 20

// maxMessage is the maximum size of an SQS message.
const maxMessage = 1 << 20

// A Budget is shared by the queues of a process, each of which has an [Account]. It holds up two
// things until there is room for them:
//
//   - A receive starts only if what it is expected to bring fits beside what is in flight and what
//     the other receives may bring ([Account.Reserve]).
//   - Because messages may be larger than expected, the body of a large response is read into memory
//     only if it fits beside what is in flight ([Budget.Enter]). Until then it stays with SQS.
//
// With nothing in flight, anything fits, so that messages that are larger than the budget pass one
// receive at a time. A Budget is safe for concurrent use.
type Budget struct {
	mu       sync.Mutex
	max      int64
	inFlight int64 // bytes received and not released
	expected int64 // bytes that the receives in flight may bring
	entered  int64 // bytes of responses that are being read
	accounts map[*Account]struct{}
	waiting  []*response // for Enter, in their order
}

// A response waits until it may be read.
type response struct {
	bytes int64
	enter chan struct{} // closed when it may
}

// New returns a Budget of max bytes.
func New(max int64) *Budget { return &Budget{max: max, accounts: map[*Account]struct{}{}} }

// SetMax changes the maximum. What is in flight may exceed it until it is released.
func (b *Budget) SetMax(max int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.max = max
	b.wake()
}

// InFlight returns the bytes that were received and not released.
func (b *Budget) InFlight() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.inFlight
}

// NewAccount returns an Account for a queue. Close it when the queue is no longer polled.
func (b *Budget) NewAccount() *Account {
	a := &Account{budget: b, room: make(chan struct{}, 1), size: maxMessage}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts[a] = struct{}{}
	return a
}

// Enter waits until there is room to read a response of so many bytes, which is then in memory twice
// for some time: as JSON and decoded. The caller calls Leave with the same number when it has handed
// the messages on. Enter returns an error if ctx ends before, and then there is nothing to leave.
func (b *Budget) Enter(ctx context.Context, bytes int64) error {
	r := &response{2 * bytes, make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, r)
	b.wake()
	b.mu.Unlock()
	select {
	case <-r.enter:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, r); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else { // it may enter just now
		b.entered -= r.bytes
	}
	b.wake()
	return ctx.Err()
}

// Leave ends what Enter has permitted.
func (b *Budget) Leave(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entered -= 2 * bytes
	b.wake()
}

// wake lets responses enter that there is room for, and refused accounts try again. The caller holds
// b.mu.
func (b *Budget) wake() {
	for len(b.waiting) > 0 {
		r := b.waiting[0]
		if used := b.inFlight + b.entered; used > 0 && used+r.bytes > b.max {
			break
		}
		b.entered += r.bytes
		close(r.enter)
		b.waiting = b.waiting[1:]
	}
	for a := range b.accounts {
		if !a.refusedAt.IsZero() {
			select {
			case a.room <- struct{}{}:
			default: // it is awake
			}
		}
	}
}

// An Account is what one queue has of a Budget.
type Account struct {
	budget *Budget
	room   chan struct{}

	// The budget's mutex guards what follows.
	receives  int   // in flight
	inFlight  int64 // bytes
	expected  int64 // bytes
	size      int64 // expected of a message; unknown at first, and then as large as SQS permits
	refusedAt time.Time
}

// refusalLifetime is how long others let a refused account go first. It tries again on each wake, so
// that one that does not has no messages to receive.
const refusalLifetime = time.Second

// Reserve reserves room for a receive of up to n messages. It returns the reserved bytes, and false
// if there is no room: Room then tells when to try again. A queue with nothing in flight needs no
// room for its first receive, as long as the bytes in flight are below the maximum: it may wait for
// messages for a long time, and a message may be larger than the budget.
func (a *Account) Reserve(n int) (reserved int64, ok bool) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	reserved = int64(n) * a.size
	fits := b.inFlight+b.expected+reserved <= b.max && !a.shouldWait()
	first := a.receives == 0 && a.inFlight == 0 && b.inFlight < b.max
	if !fits && !first {
		a.refusedAt = time.Now()
		return 0, false
	}
	waited := !a.refusedAt.IsZero()
	a.refusedAt = time.Time{}
	a.receives++
	a.expect(reserved)
	if waited {
		b.wake() // those who let it go first
	}
	return reserved, true
}

// shouldWait reports whether an account that has less than this one waits for room.
func (a *Account) shouldWait() bool {
	for other := range a.budget.accounts {
		if !other.refusedAt.IsZero() && other.usage() < a.usage() && time.Since(other.refusedAt) < refusalLifetime {
			return true
		}
	}
	return false
}

func (a *Account) usage() int64 { return a.inFlight + a.expected }

func (a *Account) expect(bytes int64) {
	a.expected += bytes
	a.budget.expected += bytes
}

func (a *Account) add(bytes int64) {
	a.inFlight += bytes
	a.budget.inFlight += bytes
}

// Received says what a receive has brought for its reservation. It has to be followed by Release of
// all its bytes.
//
// Messages are expected to be as large as those received before: as the largest of recent receives
// on average, which is forgotten by an eighth with each receive of smaller ones.
func (a *Account) Received(reserved int64, messages int, bytes int64) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.receives--
	a.expect(-reserved)
	a.add(bytes)
	if messages > 0 {
		size := bytes / int64(messages)
		a.size = max(size, a.size-(a.size-size+7)/8)
	}
	a.budget.wake()
}

// Release says that messages are no longer in memory.
func (a *Account) Release(bytes int64) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.add(-bytes)
	a.budget.wake()
}

// Room receives a value after there was a change that may make room for an account that was refused.
func (a *Account) Room() <-chan struct{} { return a.room }

// Close removes the account. Nothing of it may be in flight any more.
func (a *Account) Close() {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	delete(a.budget.accounts, a)
}

// MemoryLimit returns a soft limit of the Go runtime's memory that fits to a Budget of max bytes. Most
// of a message's memory is garbage soon: its JSON, its body, its job. Without a limit, the garbage may
// be larger than what is in flight; far below the limit, the garbage collector would not rest.
func MemoryLimit(max int64) int64 { return 40<<20 + max/4*7 }
