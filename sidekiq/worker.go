package sidekiq

import (
	"strconv"
	"time"
)

// A JobTemplate says how the jobs of one Sidekiq class are made: everything in a
// job but its id, arguments and times. Only the configuration makes Workers.
type JobTemplate struct {
	Class string // a Ruby constant, such as "Orders::SyncJob"
	Queue string // the Sidekiq queue, without the "queue:" of its Redis key

	Retry     BoolOrInt     // not said: true, which Sidekiq reads as 25 times
	RetryFor  time.Duration // if positive, counts in place of Retry; whole seconds, Sidekiq 7.1.3 and newer
	Backtrace BoolOrInt     // how much of a failed job's backtrace Sidekiq keeps: all, none or so many lines
	NoDead    bool          // a job out of retries is discarded and not put into Sidekiq's dead set
	Tags      []string
	ActiveJob bool // Class is an ActiveJob and is wrapped as its Sidekiq adapter does
}

// BoolOrInt is a Sidekiq option that is true, false or a number.
// Its zero value is an option that was not said.
type BoolOrInt struct{ json string }

// Bool makes the option true or false.
func Bool(b bool) BoolOrInt { return BoolOrInt{strconv.FormatBool(b)} }

// Int makes the option a number.
func Int(n int) BoolOrInt { return BoolOrInt{strconv.Itoa(n)} }

// IsZero reports whether the option was not said.
func (o BoolOrInt) IsZero() bool { return o.json == "" }

// String returns the option as it stands in a job's JSON, "" if it was not said.
func (o BoolOrInt) String() string { return o.json }
