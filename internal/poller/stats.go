package poller

import (
	"sync/atomic"
	"time"
)

// Stats are what a Poller has done since it was made, and what it does now.
type Stats struct {
	Receives      Receives `json:"receives"`
	Received      int64    `json:"received"` // messages
	Deleted       int64    `json:"deleted"`
	DeletesFailed int64    `json:"deletes_failed"` // messages that were handled but will come again
	Returned      int64    `json:"returned"`       // messages given back before their visibility timeout
	Extended      int64    `json:"extended"`       // visibility timeouts lengthened, one for each message

	PollsInFlight    int64     `json:"polls_in_flight"`    // from receive to delete
	ReceivesInFlight int64     `json:"receives_in_flight"` // those of them that are still receiving
	MessagesInFlight int64     `json:"messages_in_flight"` // messages that are being handled
	Started          bool      `json:"started"`            // Ready has returned nil once
	BreakerOpen      bool      `json:"breaker_open"`       // nothing is received because of a failure
	LoopedAt         time.Time `json:"looped_at"`          // when Run's loop was last seen to turn, which it is each second
	Error            string    `json:"error,omitempty"`    // the last failure's text, while Open
}

// Receives are receives by what came of them.
type Receives struct {
	Messages int64 `json:"messages"`
	Empty    int64 `json:"empty"`
	Errors   int64 `json:"errors"`
}

type counters struct {
	messages, empty, errors                              atomic.Int64
	received, deleted, deletesFailed, returned, extended atomic.Int64

	polls, receiving, inHand atomic.Int64
	started, open            atomic.Bool
	turned                   atomic.Int64 // Unix nanoseconds
	err                      atomic.Pointer[string]
}

// note takes over the state of a run.
func (c *counters) note(r *run) {
	c.polls.Store(int64(r.inFlight))
	c.receiving.Store(int64(r.waiting))
	c.open.Store(r.open || r.troubled || r.deaf)
	if !r.paused {
		c.started.Store(true)
	}
}

func (c *counters) fail(err error) {
	text := err.Error()
	c.err.Store(&text)
}

// Stats returns the Poller's numbers. It may be called at any time.
func (p *Poller) Stats() Stats {
	c := &p.counters
	s := Stats{
		Receives: Receives{Messages: c.messages.Load(), Empty: c.empty.Load(), Errors: c.errors.Load()},
		Received: c.received.Load(), Deleted: c.deleted.Load(), DeletesFailed: c.deletesFailed.Load(),
		Returned: c.returned.Load(), Extended: c.extended.Load(),
		PollsInFlight: c.polls.Load(), ReceivesInFlight: c.receiving.Load(), MessagesInFlight: c.inHand.Load(),
		Started: c.started.Load(), BreakerOpen: c.open.Load(), LoopedAt: time.Unix(0, c.turned.Load()),
	}
	if text := c.err.Load(); s.BreakerOpen && text != nil {
		s.Error = *text
	}
	return s
}
