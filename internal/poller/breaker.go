package poller

import (
	"cmp"
	"errors"
	"log/slog"
	"time"
)

const (
	maxProbeDelay    = 15 * time.Second // after repeated failures
	proofLifetime    = 10 * time.Second // how long an idle queue is polled before Ready is asked again
	failureMemory    = 5 * time.Minute  // how long a failure lengthens the delay after the next one
	reminderInterval = 30 * time.Second // between log lines during an outage
)

// What to do about a failure.
const (
	handleAdvice  = "messages stay in SQS; polling resumes by itself when Redis accepts jobs"
	receiveAdvice = "check the queue, the AWS credentials and the permission sqs:ReceiveMessage; polling resumes by itself"
)

var errFailing = errors.New("jobs cannot be pushed")

// A breaker answers whether messages may be received, and if not, why not. It is told what
// happened, and when. The zero value permits receiving.
type breaker struct {
	handleErr  error // why Handle is not expected to work, until Handle or Ready succeeds
	receiveErr error // why the last receive failed; nil if it succeeded
	failing    error // errFailing while Failing returns true
	probing    bool  // Ready has been asked, or will be after a delay

	failures    int       // failed polls and probes since Handle last succeeded
	failedAt    time.Time // the last of them
	succeededAt time.Time // when Handle or Ready last succeeded

	works      bool      // the last poll succeeded, and nothing has failed since
	outageAt   time.Time // when the outage in the log began; zero if there is none
	reportedAt time.Time // when it was last logged
}

// err returns why the breaker is open, or nil if it is closed.
func (b *breaker) err() error { return cmp.Or(b.handleErr, b.failing, b.receiveErr) }

// pollFinished records the end of a poll. While Ready is being asked, only its answer counts as a
// success, because the poll may be older than the failure.
func (b *breaker) pollFinished(o outcome, now time.Time) {
	b.receiveErr = nil
	switch {
	case o.err != nil && o.messages == 0:
		b.receiveErr = o.err
	case o.err != nil:
		b.handleErr = o.err
	case o.messages > 0 && !b.probing:
		b.handleErr, b.failures, b.succeededAt = nil, 0, now
	}
	b.works = b.err() == nil && !b.probing
}

// probeFinished records the answer of Ready.
func (b *breaker) probeFinished(err error, now time.Time) {
	b.probing, b.handleErr = false, err
	if err == nil {
		b.succeededAt = now
	} else {
		b.works = false
	}
}

// probeDelay counts a failure and returns the maximum delay before Ready is asked. It doubles with
// each failure. Failures are forgotten after some time, because an idle queue has no batch that
// could succeed.
func (b *breaker) probeDelay(now time.Time) time.Duration {
	if now.Sub(b.failedAt) > failureMemory {
		b.failures = 0
	}
	b.failedAt = now
	delay := min(100*time.Millisecond<<min(b.failures, 10), maxProbeDelay)
	b.failures++
	return delay
}

// report returns a record to log, or an empty message if there is none. An outage begins with a failure
// and ends with a poll that succeeds; in between, only reminders are logged. Failing alone is not an
// outage yet, because Ready or the polls in flight will show its reason or its end.
func (b *breaker) report(now time.Time) (level slog.Level, message string, attrs []any) {
	failed := b.handleErr != nil || b.receiveErr != nil
	advice := handleAdvice
	if b.handleErr == nil {
		advice = receiveAdvice
	}
	outage := slog.Duration("outage", now.Sub(b.outageAt).Round(time.Millisecond))
	switch {
	case failed && b.outageAt.IsZero():
		b.outageAt, b.reportedAt = now, now
		return slog.LevelWarn, "polling paused", []any{"error", b.err(), "advice", advice}
	case failed && now.Sub(b.reportedAt) >= reminderInterval:
		b.reportedAt = now
		return slog.LevelWarn, "polling still paused", []any{"error", b.err(), "advice", advice, "failures", b.failures, outage}
	case b.works && !b.outageAt.IsZero():
		b.outageAt = time.Time{}
		return slog.LevelInfo, "polling resumed", []any{outage}
	}
	return 0, "", nil
}
