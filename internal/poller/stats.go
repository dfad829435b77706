package poller

import (
	"sync/atomic"
	"time"
)

// Stats are what a Poller has done since it was made, and what it does now.
type Stats struct {
	Messages, Empty, Errors int64 // receives, by what came of them
	Received                int64 // messages
	Deleted                 int64
	DeletesFailed           int64 // messages that were handled but will come again
	Returned                int64 // messages given back before their visibility timeout
	Extended                int64 // visibility timeouts lengthened, one for each message

	Polls     int64     // in flight, from receive to delete
	Receiving int64     // those of them that are still receiving
	InHand    int64     // messages received and neither deleted nor kept yet
	Started   bool      // Ready has returned nil once
	Open      bool      // the breaker: nothing is received because of a failure
	Turned    time.Time // when Run's loop was last seen to turn, which it is each second
	Err       string    // the last failure's text, "" while Open is false
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
		Messages: c.messages.Load(), Empty: c.empty.Load(), Errors: c.errors.Load(),
		Received: c.received.Load(), Deleted: c.deleted.Load(), DeletesFailed: c.deletesFailed.Load(),
		Returned: c.returned.Load(), Extended: c.extended.Load(),
		Polls: c.polls.Load(), Receiving: c.receiving.Load(), InHand: c.inHand.Load(),
		Started: c.started.Load(), Open: c.open.Load(), Turned: time.Unix(0, c.turned.Load()),
	}
	if text := c.err.Load(); s.Open && text != nil {
		s.Err = *text
	}
	return s
}
