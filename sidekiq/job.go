package sidekiq

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"scout/internal/jsonscan"
)

// activeJobWrapper is the class that runs ActiveJobs. Newer Sidekiqs know it
// as Sidekiq::ActiveJob::Wrapper too, older ones only by this name.
const activeJobWrapper = "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper"

// A Job is one element of a Sidekiq queue.
type Job struct {
	JID     string
	Queue   string // the Sidekiq queue, without the "queue:" of its Redis key
	Payload []byte // the job's JSON

	// Group, if not empty, orders the job: after a job of a group could not
	// be pushed, no later one of the same group is.
	Group string
}

// An ID identifies the job that a worker gets for a message. It is the same
// whenever and wherever it is made, so that the message's second delivery is
// recognised.
type ID [sha256.Size]byte

// JobID returns the ID of the worker's job for a message.
func (w *JobTemplate) JobID(messageID string) ID {
	b := make([]byte, 0, 128)
	b = append(append(b, w.Queue...), 0)
	b = append(append(b, w.Class...), 0)
	return sha256.Sum256(append(b, messageID...))
}

// JID is the job's id in Sidekiq's form, 24 hexadecimal digits.
func (id ID) JID() string { return hex.EncodeToString(id[:12]) }

// uuid is the job's id in ActiveJob's form: a UUID of version 8 (RFC 9562),
// the one for digests.
func (id ID) uuid() string {
	u := id[12:28]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	h := hex.EncodeToString(u)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// A Call is what differs between a worker's jobs.
type Call struct {
	ID    ID
	Args  []json.RawMessage // one for each parameter of the worker's perform method
	At    time.Time         // when the job was created and enqueued
	Trace []TraceField

	// Milliseconds writes the times as whole milliseconds, as Sidekiq 8
	// does, and not as seconds, which every Sidekiq reads.
	Milliseconds bool
}

// A TraceField is a field of W3C Trace Context or Baggage. OpenTelemetry's
// middleware for Sidekiq looks for them beside a job's own keys.
type TraceField struct{ Key, Value string }

// Job builds the job, with the keys in the order of Sidekiq's own client.
func (w *JobTemplate) Job(c Call) Job {
	size := 256 // for all but the arguments and the trace, unless names are long
	if w.ActiveJob {
		size = 640
	}
	for _, arg := range c.Args {
		size += len(arg)
	}
	for _, f := range c.Trace {
		size += len(f.Key) + len(f.Value) + len(`,"":""`)
	}
	b := append(make([]byte, 0, size), '{')
	b = w.appendRetry(b)
	b = append(b, `,"queue":`...)
	b = jsonscan.AppendQuote(b, w.Queue)
	if w.ActiveJob {
		b = append(b, `,"class":"`+activeJobWrapper+`","wrapped":`...)
		b = jsonscan.AppendQuote(b, w.Class)
		b = append(b, `,"args":[`...)
		b = append(w.appendActiveJob(b, c), ']')
	} else {
		b = append(b, `,"class":`...)
		b = jsonscan.AppendQuote(b, w.Class)
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
	b = w.appendOptions(b)
	for _, f := range c.Trace {
		b = append(jsonscan.AppendQuote(append(b, ','), f.Key), ':')
		b = jsonscan.AppendQuote(b, f.Value)
	}
	return Job{JID: jid, Queue: w.Queue, Payload: append(b, '}')}
}

// appendRetry always writes "retry": without it, Sidekiq loses a failed job
// whose class it does not know (lib/sidekiq/job_retry.rb, global). Beside
// "retry_for", only whether it is false counts.
func (w *JobTemplate) appendRetry(b []byte) []byte {
	switch {
	case w.RetryFor > 0:
		// 0 would mean dead at the first failure.
		return strconv.AppendInt(append(b, `"retry":true,"retry_for":`...), max(1, int64(w.RetryFor/time.Second)), 10)
	case w.Retry.IsZero():
		return append(b, `"retry":true`...)
	default:
		return append(append(b, `"retry":`...), w.Retry.json...)
	}
}

func (w *JobTemplate) appendOptions(b []byte) []byte {
	if !w.Backtrace.IsZero() {
		b = append(append(b, `,"backtrace":`...), w.Backtrace.json...)
	}
	if w.NoDead {
		b = append(b, `,"dead":false`...)
	}
	if len(w.Tags) > 0 {
		b = append(b, `,"tags":[`...)
		for i, tag := range w.Tags {
			if i > 0 {
				b = append(b, ',')
			}
			b = jsonscan.AppendQuote(b, tag)
		}
		b = append(b, ']')
	}
	return b
}

// appendActiveJob appends what ActiveJob::Core#serialize makes of a job. Without
// a locale, the job runs in the app's default one; any other might not be
// among those that the app allows.
func (w *JobTemplate) appendActiveJob(b []byte, c Call) []byte {
	b = append(b, `{"job_class":`...)
	b = jsonscan.AppendQuote(b, w.Class)
	b = append(b, `,"job_id":"`+c.ID.uuid()+`","provider_job_id":null,"queue_name":`...)
	b = jsonscan.AppendQuote(b, w.Queue)
	b = append(b, `,"priority":null,"arguments":`...)
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

// appendTime appends the time as Sidekiq's clients of the chosen generation
// do. Sidekiq 8 takes a number without a decimal point for milliseconds, so
// seconds always have one.
func (c *Call) appendTime(b []byte) []byte {
	if c.Milliseconds {
		return strconv.AppendInt(b, c.At.UnixMilli(), 10)
	}
	micros := c.At.UnixMicro()
	b = strconv.AppendInt(b, micros/1e6, 10)
	point := len(b)
	b = strconv.AppendInt(b, micros%1e6+1e6, 10) // "1" and six digits
	b[point] = '.'
	return b
}
