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

// A Budget is shared by the queues of a process, each of which has an [Account]. Two things wait until
// the Budget has room for them:
//
//   - A receive starts only if the bytes expected of it fit beside those in flight and those expected
//     of other receives ([Account.Reserve]).
//   - Because messages may be larger than expected, the body of a large response is read into memory
//     only if it fits beside the bytes in flight ([Budget.Enter]). Until then it stays on the
//     connection.
//
// While nothing is in flight, anything fits, so messages larger than the budget pass one receive at a
// time. A Budget is safe for concurrent use.
type Budget struct {
	mu       sync.Mutex
	max      int64
	inFlight int64 // bytes received and not released
	expected int64 // bytes that the receives in flight may bring
	entered  int64 // bytes of responses that are being read
	accounts map[*Account]struct{}
	waiting  []*response // to enter, in the order of their calls
}

// A response waits until it may be read.
type response struct {
	bytes int64
	enter chan struct{} // closed when the response may be read
}

// New returns a Budget of max bytes.
func New(max int64) *Budget { return &Budget{max: max, accounts: map[*Account]struct{}{}} }

// SetMax changes the maximum. Bytes already in flight may exceed it until they are released.
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

// Enter waits until there is room to read a response of the given size. The room is twice that size,
// because the response is in memory both as JSON and decoded. The caller must call Leave with the same
// size when it has passed the messages on. If ctx ends first, Enter returns an error, and the caller
// must not call Leave.
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
	} else { // wake has let it enter meanwhile
		b.entered -= r.bytes
	}
	b.wake()
	return ctx.Err()
}

// Leave frees the room that Enter took.
func (b *Budget) Leave(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entered -= 2 * bytes
	b.wake()
}

// wake lets waiting responses enter while there is room, and signals refused accounts to try again.
// The caller holds b.mu.
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
			default: // it has a signal already
			}
		}
	}
}

// An Account is the share of one queue in a Budget.
type Account struct {
	budget *Budget
	room   chan struct{}

	// The budget's mutex guards the fields below.
	receives  int       // in flight
	inFlight  int64     // bytes
	expected  int64     // bytes
	size      int64     // expected size of a message; the maximum of SQS at first
	refusedAt time.Time // when Reserve last returned false; zero if it has succeeded since
}

// refusalLifetime is how long others let a refused account go first. An account that still wants to
// receive tries again on each wake, which renews that time.
const refusalLifetime = time.Second

// Reserve reserves room for a receive of up to n messages. It returns the reserved bytes, and false
// if there is no room; Room then says when to try again. The first receive of a queue with nothing in
// flight needs no room as long as the bytes in flight are below the maximum, because it may wait for
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
		b.wake() // for the accounts that let this one go first
	}
	return reserved, true
}

// shouldWait reports whether another account waits for room that uses less than this one.
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

// Received ends a reservation and counts the bytes that its receive returned as in flight, until they
// are released.
//
// It also updates the expected size of a message: at once if the average message of the receive is
// larger, and otherwise by an eighth of the difference.
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

// Release reports that bytes that were received are no longer in memory.
func (a *Account) Release(bytes int64) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	a.add(-bytes)
	a.budget.wake()
}

// Room receives a value when Reserve, after it has returned false, may succeed.
func (a *Account) Room() <-chan struct{} { return a.room }

// Close removes the account. None of its receives or bytes may be in flight.
func (a *Account) Close() {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	delete(a.budget.accounts, a)
}

// MemoryLimit returns a soft limit of the Go runtime's memory that suits a Budget of max bytes. Most of
// a message's memory soon becomes garbage: its JSON, its body, its job. Without a limit, there may be
// more garbage than bytes in flight. With a much lower limit, the garbage collector would never rest.
func MemoryLimit(max int64) int64 { return 40<<20 + max/4*7 }
