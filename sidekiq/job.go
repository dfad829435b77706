package sidekiq

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"scout/internal/jsonscan"
)

// The classes that run ActiveJobs. Sidekiq's own adapter, which comes with 7.3.3
// and newer, writes the second name and still runs the first; older versions know
// only the first.
const (
	activeJobWrapper  = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"
	activeJobWrapper8 = "Sidekiq::ActiveJob::Wrapper"
)

// A Job is one element of a Sidekiq queue.
type Job struct {
	JID     string
	Class   string // of the template; an ActiveJob's own class, not the wrapper
	Queue   string // the Sidekiq queue, without the "queue:" of its Redis key
	Payload []byte // the job's JSON

	// Group, if not empty, keeps the job in order: if a job of a group cannot
	// be pushed, no later one of that group is.
	Group string

	// Dead, unless nil, makes the job entries of Sidekiq's dead set instead of an
	// element of its queue. Redis takes all that it does not know, or none. An
	// entry is known if it, or the job with its id, was pushed within
	// Options.DedupTTL. It is no obstacle to a later push of that job.
	Dead []DeadEntry
}

// size returns the size of what is pushed.
func (j *Job) size() int {
	n := len(j.Payload)
	for _, entry := range j.Dead {
		n += len(entry.Payload)
	}
	return n
}

// An ID identifies the job that a template makes of a message. It depends on
// nothing else, so a message that is delivered twice is recognized.
type ID [sha256.Size]byte

// An Identity distinguishes a message from all others and stays the same when it is
// redelivered. ID has one or more fields, always the same number for a
// Kind unless a field is optional at the end.
type Identity struct {
	Kind   string   // what sent the message: sns, eventbridge, s3 or plain
	Source string   // the sender, such as the ARN of its topic
	ID     []string // its id there
}

// JobID returns the ID of the template's job for a message. It is the SHA-256
// of queue, class and the fields of the identity, each preceded by its length
// as 8 bytes in big-endian order.
func (t *JobTemplate) JobID(m Identity) ID {
	b := make([]byte, 0, 512) // on the stack, unless the fields are long
	for _, field := range [...]string{t.Queue, t.Class, m.Kind, m.Source} {
		b = appendField(b, field)
	}
	for _, field := range m.ID {
		b = appendField(b, field)
	}
	return sha256.Sum256(b)
}

func appendField(b []byte, field string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(field))), field...)
}

// JID returns the id in Sidekiq's form: 24 hexadecimal digits.
func (id ID) JID() string { return hex.EncodeToString(id[:12]) }

// uuid returns the id in ActiveJob's form: a UUID of version 8 (RFC 9562), the
// version for custom digests.
func (id ID) uuid() string {
	u := id[12:28]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// A Call is one call of the perform method of a template's class: everything in
// a job that the template does not determine.
type Call struct {
	ID    ID
	Args  []json.RawMessage // of perform, each valid JSON
	At    time.Time         // when the job is created and enqueued
	Trace []TraceField

	// Sidekiq is the major version (6, 7 or 8) whose own client writes such a
	// job. 0 is a form that all versions read, which is that of 6 and 7. The jobs
	// of Sidekiq 8 have times in milliseconds and another class for ActiveJobs.
	Sidekiq int

	// Milliseconds writes times as whole milliseconds, as Sidekiq 8 does,
	// instead of as seconds, whatever the value of Sidekiq.
	Milliseconds bool
}

// A TraceField is a field of W3C Trace Context or Baggage, such as traceparent.
// OpenTelemetry's Sidekiq middleware reads them from the top level of a job.
type TraceField struct{ Key, Value string }

// Job makes a job, with its keys in the order of Sidekiq's own client.
func (t *JobTemplate) Job(c Call) Job {
	size := 256 // enough for all except arguments and trace, unless names are long
	if t.ActiveJob {
		size = 640
	}
	for _, arg := range c.Args {
		size += len(arg)
	}
	for _, f := range c.Trace {
		size += len(f.Key) + len(f.Value) + len(`,"":""`)
	}
	b := append(make([]byte, 0, size), '{')
	b = t.appendRetry(b)
	b = append(b, `,"queue":`...)
	b = jsonscan.AppendQuote(b, t.Queue)
	if t.ActiveJob {
		wrapper := activeJobWrapper
		if c.Sidekiq >= 8 {
			wrapper = activeJobWrapper8
		}
		b = append(append(b, `,"class":"`...), wrapper...)
		b = append(b, `","wrapped":`...)
		b = jsonscan.AppendQuote(b, t.Class)
		b = append(b, `,"args":[`...)
		b = append(t.appendActiveJob(b, c), ']')
	} else {
		b = append(b, `,"class":`...)
		b = jsonscan.AppendQuote(b, t.Class)
		b = append(b, `,"args":`...)
		b = appendArray(b, c.Args)
	}
	jid := c.ID.JID()
	b = append(b, `,"jid":"`...)
	b = append(b, jid...)
	b = append(b, `","created_at":`...)
	created := len(b)
	b = c.appendTime(b)
	at := b[created:]
	b = append(b, `,"enqueued_at":`...)
	b = append(b, at...)
	b = t.appendOptions(b)
	for _, f := range c.Trace {
		b = append(jsonscan.AppendQuote(append(b, ','), f.Key), ':')
		b = jsonscan.AppendQuote(b, f.Value)
	}
	return Job{JID: jid, Class: t.Class, Queue: t.Queue, Payload: append(b, '}')}
}

// appendRetry always writes "retry", because without it Sidekiq loses a failed
// job whose class it does not know (lib/sidekiq/job_retry.rb, global). With
// "retry_for", "retry" only has to be something other than false.
func (t *JobTemplate) appendRetry(b []byte) []byte {
	switch {
	case t.RetryFor > 0:
		// 0 would send the job to the dead set at its first failure.
		return strconv.AppendInt(append(b, `"retry":true,"retry_for":`...), max(1, int64(t.RetryFor/time.Second)), 10)
	case !t.Retry.IsZero():
		return append(append(b, `"retry":`...), t.Retry.json...)
	}
	for _, o := range t.Options {
		if o.Key == "retry" {
			return append(append(b, `"retry":`...), o.Value...)
		}
	}
	return append(b, `"retry":true`...)
}

func (t *JobTemplate) appendOptions(b []byte) []byte {
	if !t.Backtrace.IsZero() {
		b = append(append(b, `,"backtrace":`...), t.Backtrace.json...)
	}
	if t.NoDead {
		b = append(b, `,"dead":false`...)
	}
	if len(t.Tags) > 0 {
		b = append(b, `,"tags":[`...)
		for i, tag := range t.Tags {
			if i > 0 {
				b = append(b, ',')
			}
			b = jsonscan.AppendQuote(b, tag)
		}
		b = append(b, ']')
	}
	for _, o := range t.Options {
		if o.Key != "retry" { // see appendRetry
			b = append(jsonscan.AppendQuote(append(b, ','), o.Key), ':')
			b = append(b, o.Value...)
		}
	}
	return b
}

// appendActiveJob appends a job as ActiveJob::Core#serialize writes it. The
// locale is null, which means the app's default one, because the app may not
// know any other.
func (t *JobTemplate) appendActiveJob(b []byte, c Call) []byte {
	b = append(b, `{"job_class":`...)
	b = jsonscan.AppendQuote(b, t.Class)
	b = append(b, `,"job_id":"`+c.ID.uuid()+`","provider_job_id":null,"queue_name":`...)
	b = jsonscan.AppendQuote(b, t.Queue)
	b = append(append(b, `,"priority":`...), cmp.Or(t.Priority.json, "null")...)
	b = append(b, `,"arguments":`...)
	b = appendArray(b, c.Args)
	b = append(b, `,"executions":0,"exception_executions":{},"locale":null,"timezone":null,"enqueued_at":"`...)
	return append(c.At.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000000Z"), `"}`...)
}

func appendArray(b []byte, values []json.RawMessage) []byte {
	b = append(b, '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, value...)
	}
	return append(b, ']')
}

// appendTime appends the time as seconds or milliseconds. Sidekiq 8 reads a
// number without a decimal point as milliseconds, so seconds always have one.
func (c *Call) appendTime(b []byte) []byte {
	if c.Milliseconds || c.Sidekiq >= 8 {
		return strconv.AppendInt(b, c.At.UnixMilli(), 10)
	}
	micros := c.At.UnixMicro()
	b = strconv.AppendInt(b, micros/1e6, 10)
	point := len(b)
	b = strconv.AppendInt(b, micros%1e6+1e6, 10) // "1" and six digits
	b[point] = '.'
	return b
}
