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

var bootstrap string // the function, as it is released

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "16") // the tests mostly wait
	dir, err := os.MkdirTemp("", "scout-esm")
	if err != nil {
		panic(err)
	}
	bootstrap = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", bootstrap, "scout/cmd/lambda")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// newRand returns the source of a test's decisions. SCOUT_SEED repeats a run,
// as far as processes can be made to.
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

// Everything that AWS and a Redis may do to Scout happens at once. Nothing is
// lost, nothing doubled, and the dead-letter queue holds exactly the poison.
func TestAWS(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start    func(testing.TB) (endpoint string)
		messages int
		rounds   int // of trouble
	}{
		"devstack": {startDevstack, 12_000, 3},
		"moto":     {env.Moto, 300, 1}, // which is slow
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := newRand(t)
			messages := newMessages(rng, c.messages)
			s := newStage(t, c.start(t), "app")
			for range 4 { // batches of random sizes
				s.startMapping(1+rng.IntN(10), 0)
			}
			s.startMapping(20+rng.IntN(400), time.Second)
			s.trouble(rng, messages.bodies, c.rounds)
			s.awaitJobs(len(messages.good))
			s.setVisibility(1) // what is left is poison and what was sent twice
			s.awaitEmpty()
			s.report()

			compare(t, "jobs", s.jobs(), messages.good)
			compare(t, "dead letters", s.deadLetters(), messages.poison)
		})
	}
}

// In a FIFO queue, the order of each message group is kept, whatever happens.
func TestFIFO(t *testing.T) {
	t.Parallel()
	const groups, each = 40, 100
	rng := newRand(t)
	s := newStage(t, startDevstack(t), "app.fifo")
	s.startMapping(10, 0)
	s.startMapping(3, 0)
	var bodies []body
	want := map[string][]string{} // by group
	for n := range each {
		for g := range groups {
			group := fmt.Sprint("g", g)
			arg := fmt.Sprintf(`{"group":%q,"n":%d}`, group, n)
			bodies = append(bodies, body{envelope("orders", arg), group})
			if rng.IntN(10) == 0 {
				bodies = append(bodies, bodies[len(bodies)-1]) // SNS sends it again
			}
			want[group] = append(want[group], arg)
		}
	}
	s.trouble(rng, bodies, 2)
	s.awaitJobs(groups * each)
	s.awaitEmpty()
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

// trouble sends messages and meanwhile lets all happen that can happen to a
// function and its Redis, in random order, several times.
func (s *stage) trouble(rng *rand.Rand, bodies []body, rounds int) {
	const roundTime = 5 * time.Second // about
	sent := s.send(rng, bodies, time.Duration(rounds+1)*roundTime)
	events := s.events(rng)
	for range rounds {
		rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, event := range events {
			time.Sleep(time.Duration(rng.Int64N(int64(500 * time.Millisecond))))
			event()
		}
	}
	<-sent
	if s.failures(timedOut) == 0 || s.failures(exited) == 0 || s.failures(returned) == 0 || s.swallowed.Load() == 0 {
		s.t.Error("the trouble missed the work")
	}
}

// events are what can happen.
func (s *stage) events(rng *rand.Rand) []func() {
	sleep := func(least, most time.Duration) { time.Sleep(least + time.Duration(rng.Int64N(int64(most-least)))) }
	return []func(){
		func() { // Redis crashes
			s.redis.Kill()
			sleep(100*time.Millisecond, time.Second)
			s.redis.Start()
		},
		func() { // Redis falls silent for longer than the function may take
			n := s.failures(returned)
			s.redis.Pause()
			sleep(functionTimeout, functionTimeout+time.Second)
			for end := time.Now().Add(5 * time.Second); s.failures(returned) == n && time.Now().Before(end); {
				time.Sleep(50 * time.Millisecond) // little work: nobody has noticed yet
			}
			s.redis.Resume()
		},
		func() { // functions crash
			for range 10 {
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

// compare compares texts regardless of their order.
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
