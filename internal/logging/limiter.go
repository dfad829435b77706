package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	inFull   = 10               // records of a kind that are logged before they are only counted
	interval = 30 * time.Second // between two counts; a kind that is silent for so long is forgotten
	maxKinds = 300              // kinds beyond this number are told apart only by their message
)

// A Limiter is a slog.Handler that limits all records but those for debugging.
// Records of one kind have the same message and the same attributes reason, topic and sqs_queue.
// The first ten of a kind pass. After that, one record every 30 s stands for all:
// the latest one, with the attribute count, which is the number of records since
// the last that was logged.
//
// A kind that has no record for 30 s starts anew. Records below the level info
// always pass.
type Limiter struct {
	handler slog.Handler
	kind    kind // from the attributes that WithAttrs added
	grouped bool // attributes of records are in a group and do not count for the kind
	kinds   *kinds
}

// NewLimiter returns a Limiter in front of a handler.
func NewLimiter(h slog.Handler) *Limiter {
	return &Limiter{handler: h, kinds: &kinds{states: map[kind]*state{}}}
}

// A kind is what records have in common that are counted together.
type kind struct{ message, reason, topic, queue string }

func (k *kind) add(a slog.Attr) {
	switch a.Key {
	case "reason":
		k.reason = a.Value.Resolve().String()
	case "topic":
		k.topic = a.Value.Resolve().String()
	case "sqs_queue":
		k.queue = a.Value.Resolve().String()
	}
}

// kinds is the state that a Limiter shares with those derived from it.
type kinds struct {
	mu     sync.Mutex
	states map[kind]*state
}

// A state is the recent history of a kind.
type state struct {
	passed int         // records logged in full
	held   int         // records not logged since the last count
	last   slog.Record // the latest of them
	to     slog.Handler
	recent bool // there was a record since the timer was set
	timer  *time.Timer
}

// Enabled implements slog.Handler.
func (l *Limiter) Enabled(ctx context.Context, level slog.Level) bool {
	return l.handler.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *Limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *l
	derived.handler = l.handler.WithAttrs(attrs)
	for _, a := range attrs {
		if !l.grouped {
			derived.kind.add(a)
		}
	}
	return &derived
}

// WithGroup implements slog.Handler.
func (l *Limiter) WithGroup(name string) slog.Handler {
	derived := *l
	derived.handler = l.handler.WithGroup(name)
	derived.grouped = l.grouped || name != ""
	return &derived
}

// Handle implements slog.Handler.
func (l *Limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelInfo || l.pass(r) {
		return l.handler.Handle(ctx, r)
	}
	return nil
}

// pass reports whether a record is one of the first of its kind. If not, it is
// held for the next count.
func (l *Limiter) pass(r slog.Record) bool {
	k := l.kind
	k.message = r.Message
	if !l.grouped {
		r.Attrs(func(a slog.Attr) bool { k.add(a); return true })
	}
	l.kinds.mu.Lock()
	defer l.kinds.mu.Unlock()
	s := l.kinds.find(k)
	s.recent = true
	if s.passed < inFull {
		s.passed++
		return true
	}
	s.held++
	s.last, s.to = r.Clone(), l.handler
	return false
}

// find returns the state of a kind. If there are too many kinds, several share
// one state.
func (ks *kinds) find(k kind) *state {
	if s := ks.states[k]; s != nil {
		return s
	}
	switch n := len(ks.states); {
	case n >= 2*maxKinds:
		k = kind{}
	case n >= maxKinds:
		k = kind{message: k.message}
	}
	s := ks.states[k]
	if s == nil {
		s = &state{}
		s.timer = time.AfterFunc(interval, func() { ks.tick(k, s) })
		ks.states[k] = s
	}
	return s
}

// tick ends an interval of a kind.
func (ks *kinds) tick(k kind, s *state) {
	ks.mu.Lock()
	counted, to := s.count()
	switch {
	case ks.states[k] != s: // Flush has forgotten it
	case s.recent:
		s.recent = false
		s.timer.Reset(interval)
	default:
		delete(ks.states, k)
	}
	ks.mu.Unlock()
	if to != nil {
		_ = to.Handle(context.Background(), counted)
	}
}

// count returns the record that stands for those held, and its handler, or nil
// if there are none.
func (s *state) count() (r slog.Record, to slog.Handler) {
	if s.held == 0 {
		return r, nil
	}
	r, to = s.last, s.to
	r.Time = time.Now()
	r.AddAttrs(slog.Int("count", s.held))
	s.held, s.last, s.to = 0, slog.Record{}, nil
	return r, to
}

// Flush logs the counts of all kinds and forgets the kinds. Call it before the
// process ends.
func (l *Limiter) Flush() {
	l.kinds.mu.Lock()
	states := l.kinds.states
	l.kinds.states = map[kind]*state{}
	l.kinds.mu.Unlock()
	for _, s := range states {
		s.timer.Stop()
		l.kinds.mu.Lock()
		counted, to := s.count()
		l.kinds.mu.Unlock()
		if to != nil {
			_ = to.Handle(context.Background(), counted)
		}
	}
}
