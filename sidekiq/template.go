package sidekiq

import (
	"encoding/json"
	"strconv"
	"time"
)

// A JobTemplate is what the jobs of one Sidekiq class have in common: everything
// in a job except its id, arguments, times and trace.
type JobTemplate struct {
	Class string // a Ruby constant, such as "Orders::SyncJob"
	Queue string // the Sidekiq queue, without the "queue:" of its Redis key

	Retry     BoolOrInt     // unset: true, which means 25 retries
	RetryFor  time.Duration // if positive, replaces Retry; whole seconds, Sidekiq 7.1.3 and newer
	Backtrace BoolOrInt     // how many lines of a failed job's backtrace Sidekiq keeps: true for all
	NoDead    bool          // discard a job that is out of retries instead of moving it to Sidekiq's dead set
	Tags      []string      // shown in Sidekiq's Web UI
	ActiveJob bool          // Class is an ActiveJob; wrap its jobs as ActiveJob's Sidekiq adapter does
	Priority  BoolOrInt     // of an ActiveJob, a number; Sidekiq ignores it

	// Options are further options of the class, such as retry_queue. They are written
	// unchanged. Their keys must not be keys that the other fields write, except retry
	// if both Retry and RetryFor are unset.
	Options []Option
}

// An Option is an option of a Sidekiq class. The jobs of the class carry it.
type Option struct {
	Key   string
	Value json.RawMessage
}

// BoolOrInt is a Sidekiq option that is true, false or a number. The zero value
// is an unset option.
type BoolOrInt struct{ json string }

// Bool returns an option that is true or false.
func Bool(b bool) BoolOrInt { return BoolOrInt{strconv.FormatBool(b)} }

// Int returns an option that is a number.
func Int(n int) BoolOrInt { return BoolOrInt{strconv.Itoa(n)} }

// IsZero reports whether the option is unset.
func (o BoolOrInt) IsZero() bool { return o.json == "" }

// String returns the option as it is written in a job's JSON, or "" if it is
// unset.
func (o BoolOrInt) String() string { return o.json }
