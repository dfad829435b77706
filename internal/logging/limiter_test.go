package logging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newLimited returns a logger behind a Limiter, and a function that returns the
// lines since the last call.
func newLimited() (l *Limiter, log *slog.Logger, lines func() []string) {
	var out syncBuffer
	l = NewLimiter(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: withoutTime}))
	return l, slog.New(l), func() []string {
		synctest.Wait()
		text := strings.TrimSuffix(out.take(), "\n")
		if text == "" {
			return nil
		}
		return strings.Split(text, "\n")
	}
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, log, lines := newLimited()
		reject := func(from, to int) {
			for i := from; i < to; i++ {
				log.Warn("message rejected", "reason", "no_route", "topic", "orders", "id", i)
			}
		}
		reject(0, 1000)
		got := lines()
		if len(got) != 10 || got[9] != `level=WARN msg="message rejected" reason=no_route topic=orders id=9` {
			t.Errorf("at first: %d lines %q", len(got), got)
		}
		time.Sleep(interval + time.Second) // so that from now on no count comes at the same time
		if got := lines(); !equal(got, []string{`level=WARN msg="message rejected" reason=no_route topic=orders id=999 count=990`}) {
			t.Errorf("after 30 s: %q", got)
		}
		reject(1000, 1005)
		if got := lines(); got != nil {
			t.Errorf("while the flood goes on: %q", got)
		}
		time.Sleep(interval)
		if got := lines(); !equal(got, []string{`level=WARN msg="message rejected" reason=no_route topic=orders id=1004 count=5`}) {
			t.Errorf("after 60 s: %q", got)
		}
		time.Sleep(interval)
		reject(1005, 1016)
		if got := lines(); len(got) != 10 {
			t.Errorf("after a quiet interval: %d lines, want the first ten in full again", len(got))
		}
		l.Flush()
		if got := lines(); !equal(got, []string{`level=WARN msg="message rejected" reason=no_route topic=orders id=1015 count=1`}) {
			t.Errorf("at the end: %q", got)
		}
		time.Sleep(time.Hour)
		l.Flush()
		if got := lines(); got != nil {
			t.Errorf("after the end: %q", got)
		}
	})
}

// TestKinds logs eleven records in pairs that differ in one thing. Eleven of one
// kind are limited; two kinds are not.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		name  string
		log   func(log *slog.Logger, other bool)
		limit bool
	}{
		{"message", func(l *slog.Logger, other bool) { l.Warn(pick(other, "a", "b")) }, false},
		{"reason", func(l *slog.Logger, other bool) { l.Warn("m", "reason", pick(other, "a", "b")) }, false},
		{"topic", func(l *slog.Logger, other bool) { l.Warn("m", "topic", pick(other, "a", "b")) }, false},
		{"queue", func(l *slog.Logger, other bool) { l.Warn("m", "sqs_queue", pick(other, "a", "b")) }, false},
		{"queue of the logger", func(l *slog.Logger, other bool) { l.With("sqs_queue", pick(other, "a", "b")).Warn("m") }, false},
		{"reason that is no string", func(l *slog.Logger, other bool) { l.Warn("m", "reason", errors.New(pick(other, "a", "b"))) }, false},
		{"another attribute", func(l *slog.Logger, other bool) { l.Warn("m", "id", pick(other, "a", "b")) }, true},
		{"attribute of the logger", func(l *slog.Logger, other bool) { l.With("id", pick(other, "a", "b")).Warn("m") }, true},
		{"topic in a group", func(l *slog.Logger, other bool) { l.WithGroup("g").Warn("m", "topic", pick(other, "a", "b")) }, true},
		{"topic of the logger in a group", func(l *slog.Logger, other bool) { l.WithGroup("g").With("topic", pick(other, "a", "b")).Warn("m") }, true},
		{"topic in a group without a name", func(l *slog.Logger, other bool) { l.WithGroup("").Warn("m", "topic", pick(other, "a", "b")) }, false},
		{"level", func(l *slog.Logger, other bool) {
			l.Log(context.Background(), pick(other, slog.LevelWarn, slog.LevelError), "m")
		}, true},
		{"info", func(l *slog.Logger, other bool) { l.Info("m") }, true},
		{"debug", func(l *slog.Logger, other bool) { l.Debug("m") }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, log, lines := newLimited()
				defer l.Flush()
				for i := range 11 {
					c.log(log, i%2 == 1)
				}
				if got := lines(); (len(got) == 10) != c.limit || len(got) < 10 {
					t.Errorf("%d lines, want limit = %t", len(got), c.limit)
				}
			})
		})
	}
}

func pick[T any](other bool, a, b T) T {
	if other {
		return b
	}
	return a
}

// Attributes and groups of the logger are those of the count, too.
func TestCountHasAttributes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, log, lines := newLimited()
		log = log.With("sqs_queue", "q").WithGroup("g").With("a", 1)
		for range 12 {
			log.Error("m", "b", 2)
		}
		lines()
		l.Flush()
		if got := lines(); !equal(got, []string{`level=ERROR msg=m sqs_queue=q g.a=1 g.b=2 g.count=2`}) {
			t.Errorf("count = %q", got)
		}
	})
}

// Publishers choose topics: any number of them takes bounded memory, and does
// not limit other messages.
func TestManyKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, log, lines := newLimited()
		for i := range 100_000 {
			log.Warn("message rejected", "topic", fmt.Sprint("topic ", i))
		}
		if got := len(lines()); got != maxKinds+inFull {
			t.Errorf("%d lines, want one for each of %d topics and ten for the others", got, maxKinds)
		}
		log.Error("polling paused", "topic", "another")
		if got := lines(); len(got) != 1 {
			t.Errorf("another message: %q", got)
		}
		for i := range 100_000 {
			log.Warn(fmt.Sprint("message ", i))
		}
		if n := len(l.kinds.states); n > 2*maxKinds+1 {
			t.Errorf("%d kinds are remembered", n)
		}
		lines()
		time.Sleep(2*interval + time.Second)
		if got := len(lines()); got != 2 || len(l.kinds.states) != 0 {
			t.Errorf("%d counts, and %d kinds are remembered, want 2 and none", got, len(l.kinds.states))
		}
	})
}

func TestLimiterDoesNotAllocate(t *testing.T) {
	log := slog.New(NewLimiter(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelInfo})))
	ctx := context.Background()
	if n := testing.AllocsPerRun(100, func() { log.LogAttrs(ctx, slog.LevelDebug, "message received", slog.Int("n", 1)) }); n != 0 {
		t.Errorf("%v allocations for a record below the level", n)
	}
}
