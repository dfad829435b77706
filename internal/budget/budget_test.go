package budget

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	kiB = 1 << 10
	miB = 1 << 20
)

// receive makes a whole receive and returns the bytes to release.
func receive(t *testing.T, a *Account, messages int, size int64) int64 {
	t.Helper()
	reserved, ok := a.Reserve(10)
	if !ok {
		t.Fatal("there is no room")
	}
	a.Received(reserved, messages, int64(messages)*size)
	return int64(messages) * size
}

// learned returns an account that has received messages of the given size.
func learned(t *testing.T, b *Budget, size int64) *Account {
	a := b.NewAccount()
	a.Release(receive(t, a, 10, size))
	for range 100 { // a new account expects large messages
		a.Release(receive(t, a, 10, size))
	}
	return a
}

// reserve reserves room for receives of ten messages until there is none, and returns their number.
func reserve(a *Account, max int) (receives int) {
	for receives < max {
		if _, ok := a.Reserve(10); !ok {
			break
		}
		receives++
	}
	return receives
}

func TestReserve(t *testing.T) {
	for name, c := range map[string]struct {
		max      int64
		size     int64 // of the messages received before; 0: none
		receives int   // at the same time, at most 1000
	}{
		"an unknown queue may have large messages": {64 * miB, 0, 6},
		"unknown, and a small budget":              {16 * miB, 0, 1},
		"large messages":                           {64 * miB, miB, 6},
		"256 KiB":                                  {64 * miB, 256 * kiB, 25},
		"small messages are not held up":           {64 * miB, kiB, 1000},
		"messages larger than the budget":          {miB, miB, 1},
		"empty messages":                           {64 * miB, 0 + 1, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			b := New(c.max)
			a := b.NewAccount()
			if c.size > 0 {
				a = learned(t, b, c.size)
			}
			if n := reserve(a, 1000); n != c.receives {
				t.Errorf("%d receives at the same time, want %d", n, c.receives)
			}
		})
	}
}

// Both the bytes in flight and those expected of other receives count.
func TestBytesInFlight(t *testing.T) {
	b := New(64 * miB)
	a := learned(t, b, miB)
	first := receive(t, a, 10, miB)
	second := receive(t, a, 10, 3*miB) // more than expected
	if n := b.InFlight(); n != 40*miB {
		t.Errorf("%d bytes in flight, want 40 MiB", n)
	}
	if n := reserve(a, 100); n != 0 { // 30 MiB are expected now
		t.Errorf("%d receives, want none", n)
	}
	a.Release(second)
	if n := reserve(a, 100); n != 1 {
		t.Errorf("%d receives, want 1", n)
	}
	a.Release(first)
	if n := b.InFlight(); n != 0 {
		t.Errorf("%d bytes in flight, want none", n)
	}
}

// While nothing is in flight, a receive may start even if a message may be larger than the budget. A
// second receive waits.
func TestOneReceiveAlwaysStarts(t *testing.T) {
	b := New(100 * kiB)
	a := b.NewAccount()
	for range 3 {
		reserved, ok := a.Reserve(10)
		if _, second := a.Reserve(10); !ok || second {
			t.Fatalf("the first receive starts: %v, the second: %v", ok, second)
		}
		a.Received(reserved, 10, 10*miB)
		if _, ok := a.Reserve(10); ok {
			t.Error("a receive starts while more than the budget is in flight")
		}
		a.Release(10 * miB)
	}
}

// The long poll of an idle queue does not keep another queue from its first receive, but bytes in
// flight do.
func TestIdleQueuesDoNotBlock(t *testing.T) {
	b := New(16 * miB)
	for i := range 10 {
		if _, ok := b.NewAccount().Reserve(10); !ok {
			t.Errorf("queue %d cannot start", i+1)
		}
	}
	a := b.NewAccount()
	bytes := receive(t, a, 10, 2*miB)
	if _, ok := b.NewAccount().Reserve(10); ok {
		t.Error("a receive starts while more than the budget is in flight")
	}
	a.Release(bytes)
}

// Large messages are expected at once, small ones after some receives.
func TestLearning(t *testing.T) {
	b := New(1 << 40)
	a := learned(t, b, kiB)
	expected := func() int64 {
		reserved, _ := a.Reserve(10)
		a.Received(reserved, 0, 0)
		return reserved
	}
	if got := expected(); got != 10*kiB {
		t.Errorf("%d bytes are expected, want 10 KiB", got)
	}
	a.Release(receive(t, a, 1, miB)) // a batch of ten may follow
	if got := expected(); got != 10*miB {
		t.Errorf("%d bytes are expected, want 10 MiB", got)
	}
	for range 10 {
		a.Release(receive(t, a, 10, kiB))
	}
	if got := expected(); got < 2*miB || got > 4*miB {
		t.Errorf("%d bytes are expected after ten small receives, want a quarter of 10 MiB", got)
	}
	for range 100 {
		a.Release(receive(t, a, 10, kiB))
	}
	if got := expected(); got != 10*kiB {
		t.Errorf("%d bytes are expected after many small receives, want 10 KiB", got)
	}
}

// An account that was refused is told of room, and others are not.
func TestRoom(t *testing.T) {
	b := New(16 * miB)
	a, other := b.NewAccount(), b.NewAccount()
	first := receive(t, a, 10, miB)
	hears := func(a *Account) bool {
		select {
		case <-a.Room():
			return true
		default:
			return false
		}
	}
	if hears(a) || hears(other) {
		t.Error("an account is told of room that it does not wait for")
	}
	if _, ok := a.Reserve(10); ok {
		t.Fatal("there is room for 20 MiB")
	}
	if hears(a) {
		t.Error("it is told of room although nothing has changed")
	}
	a.Release(first)
	if !hears(a) || hears(other) {
		t.Error("the account that waits is not told of room, or the other one is")
	}
	held := receive(t, a, 10, miB)
	if _, ok := a.Reserve(10); ok {
		t.Fatal("there is room for 20 MiB")
	}
	b.SetMax(64 * miB)
	if _, ok := a.Reserve(10); !hears(a) || !ok {
		t.Error("a larger budget makes no room")
	}
	b.SetMax(miB)
	if _, ok := a.Reserve(10); ok {
		t.Error("a smaller budget has room")
	}
	a.Release(held)
}

// A busy queue leaves room for a waiting one that has less in flight.
func TestFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(60 * miB)
		busy, late := learned(t, b, miB), learned(t, b, miB)
		var batches []int64
		for range 6 {
			batches = append(batches, receive(t, busy, 10, miB))
		}
		if n := reserve(late, 10); n != 0 {
			t.Fatal("there is room besides 60 MiB")
		}
		got := 0
		for _, bytes := range batches {
			busy.Release(bytes)
			if n := reserve(busy, 1); n > 0 && got < 3 {
				t.Errorf("the busy queue goes on while the other has %d receives", got)
			}
			got += reserve(late, 10)
		}
		if got < 3 {
			t.Errorf("the late queue has %d receives, want half of 6", got)
		}
	})
}

// An account that was refused and no longer wants to receive does not hold up others.
func TestRefusedAccountThatGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(20 * miB)
		busy, gone, closed := learned(t, b, miB), learned(t, b, miB), learned(t, b, miB)
		first, second := receive(t, busy, 10, miB), receive(t, busy, 10, miB)
		if reserve(gone, 1)+reserve(closed, 1) > 0 {
			t.Fatal("there is room besides 20 MiB")
		}
		busy.Release(first)
		closed.Close()
		if reserve(busy, 1) > 0 {
			t.Error("the busy queue goes first")
		}
		time.Sleep(refusalLifetime)
		if reserve(busy, 1) != 1 {
			t.Error("the busy queue waits for one that no longer wants to receive")
		}
		busy.Release(second)
	})
}

func TestEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(10 * miB)
		var mu sync.Mutex
		var entered []int64
		enter := func(bytes int64) {
			go func() {
				if err := b.Enter(t.Context(), bytes); err != nil {
					t.Error(err)
				}
				mu.Lock()
				entered = append(entered, bytes)
				mu.Unlock()
			}()
			synctest.Wait()
		}
		check := func(want ...int64) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(entered)
			slices.Sort(want)
			if !slices.Equal(entered, want) {
				t.Errorf("%d have entered, want %d", entered, want)
			}
		}
		enter(20 * miB) // nothing else is there
		enter(3 * miB)
		enter(kiB) // in its turn
		check(20 * miB)
		b.Leave(20 * miB)
		check(20*miB, 3*miB, kiB)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- b.Enter(ctx, 9*miB) }()
		synctest.Wait()
		enter(2 * kiB) // waits behind
		check(20*miB, 3*miB, kiB)
		cancel()
		if err := <-failed; err != context.Canceled {
			t.Errorf("error = %v", err)
		}
		check(20*miB, 3*miB, kiB, 2*kiB)
		b.Leave(3 * miB)
		b.Leave(kiB)
		b.Leave(2 * kiB)
		if b.entered != 0 || len(b.waiting) != 0 {
			t.Errorf("%d bytes are left, %d wait", b.entered, len(b.waiting))
		}
	})
}

// However suddenly messages become large, and however many receives there are, the bytes in flight stay
// within the budget, or are those of one response.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const max = 16 * miB
		b := New(max)
		var all sync.WaitGroup
		receive := func(a *Account, reserved int64) {
			time.Sleep(10 * time.Millisecond)
			messages := 1 + rand.N(10)
			bytes := int64(messages) * (kiB + rand.Int64N(3*miB))
			if err := b.Enter(t.Context(), bytes); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Millisecond)
			a.Received(reserved, messages, bytes)
			if n := b.InFlight(); n > max && n > bytes {
				t.Errorf("%d bytes in flight", n)
			}
			b.Leave(bytes)
			time.Sleep(rand.N(20 * time.Millisecond))
			a.Release(bytes)
		}
		for range 4 {
			a := learned(t, b, kiB)
			all.Go(func() {
				for range 300 { // as a poller's loop does
					reserved, ok := a.Reserve(10)
					for !ok {
						<-a.Room()
						reserved, ok = a.Reserve(10)
					}
					all.Go(func() { receive(a, reserved) })
				}
			})
		}
		all.Wait()
		if b.inFlight != 0 || b.expected != 0 || b.entered != 0 || len(b.waiting) != 0 {
			t.Errorf("left over: %+v", b)
		}
	})
}
