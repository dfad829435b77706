//go:build integration

package eventsource

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

var (
	bootstrap string // the path of the function, built as for a release
	daemon    string // the path of scout
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "16") // the tests mostly wait
	dir, err := os.MkdirTemp("", "scout-eventsource")
	if err != nil {
		panic(err)
	}
	bootstrap = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", bootstrap, "scout/cmd/lambda")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	daemon = filepath.Join(dir, "scout")
	if out, err := exec.Command("go", "build", "-o", daemon, "scout/cmd/local").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// newRand returns the source of a test's random decisions. The same SCOUT_SEED
// makes the same decisions, though processes may still run differently.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed, err := strconv.ParseUint(os.Getenv("SCOUT_SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	t.Logf("SCOUT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func startDevstack(t testing.TB) (endpoint string) {
	server := devstack.NewServer()
	listening := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); listening.Close() })
	return listening.URL
}

// TestAWS lets everything that AWS and Redis may do to Scout happen at once.
// Nothing is lost, nothing is doubled, and the dead-letter queue holds exactly
// the poison.
func TestAWS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start func(testing.TB) (endpoint string)
		load
	}{
		"devstack": {startDevstack, load{messages: 12_000, rate: 600, rounds: 3}},
		"moto":     {env.Moto, load{messages: 300, rate: 30, rounds: 1}}, // moto is slow
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := newRand(t)
			messages := &messages{rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
			s := newStage(t, c.start(t), "app")
			for range 4 { // batches of random sizes
				s.startMapping(1+rng.IntN(10), 0)
			}
			s.startMapping(20+rng.IntN(400), time.Second)
			s.trouble(rng, c.load, messages.next)
			s.awaitHandled(len(messages.poison))
			s.redrive()
			s.report()

			compare(t, "jobs", s.jobs(), messages.good)
			compare(t, "dead letters", s.deadLetters(), messages.poison)
		})
	}
}

// TestFIFO checks that a FIFO queue of the function keeps the order of each message
// group, whatever happens. make torture does so for longer, with daemons, too.
func TestFIFO(t *testing.T) {
	t.Parallel()
	const groups = 40
	rng := newRand(t)
	s := newStage(t, startDevstack(t), "app.fifo")
	s.startMapping(10, 0)
	s.startMapping(3, 0)
	order := rand.New(rand.NewPCG(rng.Uint64(), 0))
	var last body
	n := 0
	want := map[string][]string{} // by group
	s.trouble(rng, load{messages: 1_000, rate: 250, rounds: 1}, func() body {
		if n > 0 && order.IntN(10) == 0 {
			return last // SNS sends it again
		}
		group := fmt.Sprint("g", n%groups)
		arg := fmt.Sprintf(`{"group":%q,"n":%d}`, group, n/groups)
		want[group] = append(want[group], arg)
		n++
		last = body{text: envelope("orders", arg), group: group}
		return last
	})
	s.awaitHandled(0)
	s.report()

	got := map[string][]string{}
	for _, arg := range s.jobs() {
		var group string
		fmt.Sscanf(arg, `{"group":%q`, &group)
		got[group] = append(got[group], arg)
	}
	for group := range want {
		if !slices.Equal(got[group], want[group]) {
			t.Errorf("group %s: jobs %v", group, got[group])
		}
	}
	compare(t, "dead letters", s.deadLetters(), nil)
}

// A load is what a queue gets while there is trouble.
type load struct {
	messages int // minimum
	rate     int // messages per second
	rounds   int // of trouble
}

// trouble sends messages and meanwhile lets everything happen that can happen
// to a function and its Redis, in random order, several times. The messages
// end after the trouble, so however fast the machine is, there is work for
// each event to disturb; and an event lasts until it has, however slow it is.
func (s *stage) trouble(rng *rand.Rand, l load, next func() body) {
	stop := make(chan struct{})
	sent := s.send(rng, l.rate, l.messages, next, stop)
	defer func() { close(stop); <-sent }()
	events := s.events(rng)
	for range l.rounds {
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, event := range events {
			time.Sleep(time.Duration(rng.Int64N(int64(500 * time.Millisecond))))
			event()
		}
	}
	s.await("a reply of Redis was lost", func() bool { return s.swallowed.Load() > 0 })
}

// events are what can happen.
func (s *stage) events(rng *rand.Rand) []func() {
	sleep := func(min, max time.Duration) { time.Sleep(min + time.Duration(rng.Int64N(int64(max-min)))) }
	return []func(){
		func() { // Redis crashes
			s.redis.Kill()
			sleep(100*time.Millisecond, time.Second)
			s.redis.Start()
		},
		func() { // Redis falls silent until a function has given up
			n := s.failures(returned)
			s.redis.Pause()
			defer s.redis.Resume()
			sleep(functionTimeout, functionTimeout+time.Second)
			s.await("a function gave up on Redis", func() bool { return s.failures(returned) > n })
		},
		func() { // functions crash
			n := s.failures(exited)
			for i := 0; i < 10 || s.failures(exited) == n; i++ {
				s.signal(os.Kill)
				sleep(0, 50*time.Millisecond)
			}
		},
		func() { // functions hang until one has timed out
			for n := s.failures(timedOut); s.failures(timedOut) == n; {
				s.signal(syscall.SIGSTOP)
				sleep(0, 200*time.Millisecond)
			}
		},
	}
}

// compare compares two lists of texts in any order.
func compare(t *testing.T, what string, got, want []string) {
	t.Helper()
	count := map[string]int{}
	for _, text := range got {
		count[text]++
	}
	for _, text := range want {
		count[text]--
	}
	for text, n := range count {
		switch {
		case n > 0:
			t.Errorf("%s: %d too many: %.200s", what, n, text)
		case n < 0:
			t.Errorf("%s: %d lost: %.200s", what, -n, text)
		}
	}
	t.Logf("%s: %d", what, len(got))
}
