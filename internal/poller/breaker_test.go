package poller

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// breakerAt tells a breaker about events, each a second after the one before, and returns what it
// logs.
func breakerAt(start time.Time, events []func(*breaker, time.Time)) (b breaker, now time.Time, log []string) {
	now = start
	for _, event := range events {
		now = now.Add(time.Second)
		event(&b, now)
		if _, message, _ := b.report(now); message != "" {
			log = append(log, message)
		}
	}
	return b, now, log
}

// Events of a breaker.
var (
	errRedis = errors.New("connection refused")
	errSQS   = errors.New("access denied")

	handled       = func(b *breaker, now time.Time) { b.pollFinished(outcome{10, nil}, now) }
	empty         = func(b *breaker, now time.Time) { b.pollFinished(outcome{0, nil}, now) }
	handleFails   = func(b *breaker, now time.Time) { b.pollFinished(outcome{10, errRedis}, now) }
	receiveFails  = func(b *breaker, now time.Time) { b.pollFinished(outcome{0, errSQS}, now) }
	probes        = func(b *breaker, now time.Time) { b.probeDelay(now); b.probing = true }
	ready         = func(b *breaker, now time.Time) { b.probeFinished(nil, now) }
	notReady      = func(b *breaker, now time.Time) { b.probeFinished(errRedis, now) }
	failingBegins = func(b *breaker, _ time.Time) { b.failing = errFailing }
	failingEnds   = func(b *breaker, _ time.Time) { b.failing = nil }
	wait          = func(*breaker, time.Time) {}
)

func TestBreaker(t *testing.T) {
	for name, c := range map[string]struct {
		events []func(*breaker, time.Time)
		err    error
		log    []string
	}{
		"nothing has happened":                       {nil, nil, nil},
		"all is well":                                {[]func(*breaker, time.Time){ready, handled, empty}, nil, nil},
		"a batch fails":                              {[]func(*breaker, time.Time){handled, handleFails}, errRedis, []string{"polling paused"}},
		"Ready fails":                                {[]func(*breaker, time.Time){notReady, probes, notReady}, errRedis, []string{"polling paused"}},
		"a receive fails":                            {[]func(*breaker, time.Time){receiveFails}, errSQS, []string{"polling paused"}},
		"Ready says nothing about receiving":         {[]func(*breaker, time.Time){receiveFails, probes, ready}, errSQS, []string{"polling paused"}},
		"receives fail again and again":              {[]func(*breaker, time.Time){receiveFails, probes, ready, receiveFails, probes, ready, receiveFails}, errSQS, []string{"polling paused"}},
		"a receive succeeds":                         {[]func(*breaker, time.Time){receiveFails, probes, ready, empty}, nil, []string{"polling paused", "polling resumed"}},
		"Ready fails and succeeds between two polls": {[]func(*breaker, time.Time){handled, notReady, probes, ready}, nil, []string{"polling paused"}},
		"Ready succeeds":                             {[]func(*breaker, time.Time){handleFails, probes, ready}, nil, []string{"polling paused"}},
		"a batch succeeds after Ready":               {[]func(*breaker, time.Time){handleFails, probes, ready, handled}, nil, []string{"polling paused", "polling resumed"}},
		"Ready succeeds but Handle goes on failing":  {[]func(*breaker, time.Time){handleFails, probes, ready, handleFails, probes, ready, handleFails}, errRedis, []string{"polling paused"}},
		"an older poll succeeds during a probe":      {[]func(*breaker, time.Time){handleFails, probes, handled}, errRedis, []string{"polling paused"}},
		"a poll is empty while Handle is broken":     {[]func(*breaker, time.Time){handleFails, probes, empty}, errRedis, []string{"polling paused"}},
		"Failing comes and goes":                     {[]func(*breaker, time.Time){failingBegins, failingEnds, handled}, nil, nil},
		"Failing alone":                              {[]func(*breaker, time.Time){failingBegins}, errFailing, nil},
		"Failing, and Ready has the reason":          {[]func(*breaker, time.Time){failingBegins, probes, notReady}, errRedis, []string{"polling paused"}},
		"a batch in flight shows that it is over":    {[]func(*breaker, time.Time){failingBegins, probes, notReady, failingEnds, handled}, nil, []string{"polling paused", "polling resumed"}},
		"a long outage":                              {slices.Concat([]func(*breaker, time.Time){notReady}, slices.Repeat([]func(*breaker, time.Time){wait}, 65), []func(*breaker, time.Time){ready, empty}), nil, []string{"polling paused", "polling still paused", "polling still paused", "polling resumed"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, log := breakerAt(time.Now(), c.events)
			if err := b.err(); err != c.err {
				t.Errorf("err() = %v, want %v", err, c.err)
			}
			if !slices.Equal(log, c.log) {
				t.Errorf("logged %q, want %q", log, c.log)
			}
		})
	}
}

// The first line of an outage has its cause and what to do, and the last one its length.
func TestOutageLines(t *testing.T) {
	for name, c := range map[string]struct {
		fails  func(*breaker, time.Time)
		err    error
		advice string
	}{
		"Redis": {notReady, errRedis, handleAdvice},
		"SQS":   {receiveFails, errSQS, receiveAdvice},
	} {
		t.Run(name, func(t *testing.T) {
			var b breaker
			now := time.Now()
			c.fails(&b, now)
			level, _, attrs := b.report(now)
			if level != slog.LevelWarn || !slices.Equal(attrs, []any{"error", c.err, "advice", c.advice}) {
				t.Errorf("the first line is of level %v and has %v", level, attrs)
			}
			now = now.Add(90 * time.Second)
			ready(&b, now)
			empty(&b, now)
			level, _, attrs = b.report(now)
			if level != slog.LevelInfo || fmt.Sprint(attrs) != "[outage=1m30s]" {
				t.Errorf("the last line is of level %v and has %v", level, attrs)
			}
		})
	}
}

func TestProbeDelay(t *testing.T) {
	var b breaker
	now := time.Now()
	for i, want := range []time.Duration{100, 200, 400, 800, 1600, 3200, 6400, 12800, 15000, 15000} {
		now = now.Add(time.Second)
		if got := b.probeDelay(now); got != want*time.Millisecond {
			t.Errorf("after failure %d: %v, want %v", i+1, got, want*time.Millisecond)
		}
	}
	handled(&b, now)
	if got := b.probeDelay(now); got != 100*time.Millisecond {
		t.Errorf("after a success: %v, want 100ms", got)
	}
	b.probeDelay(now)
	if got := b.probeDelay(now.Add(failureMemory + time.Second)); got != 100*time.Millisecond {
		t.Errorf("a failure is remembered for longer than %v: %v, want 100ms", failureMemory, got)
	}
}
