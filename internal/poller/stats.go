package poller

import "time"

// Stats are what a Poller has done since it was made, and what it is doing.
type Stats struct {
	Receives      Receives `json:"receives"`
	Received      int64    `json:"received"` // messages
	Deleted       int64    `json:"deleted"`
	DeletesFailed int64    `json:"deletes_failed"` // messages that were handled but will be redelivered
	Returned      int64    `json:"returned"`       // messages returned to the queue before their visibility timeout
	Extended      int64    `json:"extended"`       // extensions of visibility timeouts, one for each message

	PollsInFlight    int64     `json:"polls_in_flight"`    // from receive to delete
	ReceivesInFlight int64     `json:"receives_in_flight"` // polls that are still receiving
	MessagesInFlight int64     `json:"messages_in_flight"` // messages being handled
	Started          bool      `json:"started"`            // Ready has returned nil once
	BreakerOpen      bool      `json:"breaker_open"`       // polling is paused because of a failure
	LoopedAt         time.Time `json:"looped_at"`          // when Run's loop last ran, which it does at least once a second
	Error            string    `json:"error,omitempty"`    // the failure, while BreakerOpen
}

// Receives are receives by their result.
type Receives struct {
	Messages int64 `json:"messages"`
	Empty    int64 `json:"empty"`
	Errors   int64 `json:"errors"`
}

// Stalled reports whether Run's loop has not run for 5 s, or has not begun. The Poller then hangs, and
// only a restart helps.
func (s *Stats) Stalled() bool { return time.Since(s.LoopedAt) > 5*time.Second }

// Stats returns the Poller's numbers. It may be called at any time.
func (p *Poller) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// count changes the Poller's numbers.
func (p *Poller) count(change func(*Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.stats)
}

// publish copies the state of the loop to Stats and, for the polls, to handleBroken.
func (l *loop) publish() {
	l.handleBroken.Store(l.breaker.handleErr != nil || l.breaker.failing != nil)
	l.count(func(s *Stats) {
		s.LoopedAt = time.Now()
		s.PollsInFlight, s.ReceivesInFlight = int64(l.demand.inFlight), int64(l.demand.receiving)
		s.Started = s.Started || !l.breaker.probing
		err := l.breaker.err()
		s.BreakerOpen, s.Error = err != nil, ""
		if err != nil {
			s.Error = err.Error()
		}
	})
}
