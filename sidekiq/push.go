package sidekiq

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gomodule/redigo/redis"
)

//go:embed push.lua
var pushSource string

var pushScript = redis.NewScript(-1, pushSource)

// Redis serves no other client while the script runs, so each call of it gets
// a chunk of limited size: about 1 ms with a hundred jobs of 1 KB, 10 ms with
// one of 1 MiB. A window of several chunks goes out in one round trip.
const (
	chunkJobs    = 100
	chunkBytes   = 1 << 20
	windowChunks = 10
	windowBytes  = 4 << 20
)

// The back-off between attempts.
const (
	minBackoff = 20 * time.Millisecond
	maxBackoff = time.Second
)

// A Result says what became of one job.
type Result struct {
	Outcome Outcome
	Err     error // why the job was not pushed; nil if it was
}

// An Outcome is what became of a job.
type Outcome int

const (
	NotPushed Outcome = iota // the job is not known to be in Redis; see Result.Err
	Enqueued                 // the job is in its queue
	Duplicate                // the job was pushed before, within Options.DedupTTL
	Unmarked                 // the job is in its queue, but has no marker: another push would make a second job
	Dead                     // the job is in the dead set, as Job.Dead says
)

// Errors that concern one job or its group. Jobs of other queues and groups are
// not affected.
var (
	// ErrQueue means that the Redis key of the job's queue is not a list.
	ErrQueue = errors.New("the Sidekiq queue cannot take the job")

	// ErrHeldBack means that an earlier job of the group was not pushed.
	ErrHeldBack = errors.New("held back behind a failed job of its group")
)

// Push pushes jobs in order and returns one result for each of them. It does not
// copy payloads and keeps no reference to them.
//
// A job whose own queue is at fault fails alone, and the error is nil. An error
// means that Redis did not take some jobs, and it is also the Err of their
// results. They may be in Redis all the same if a reply was lost. It is safe to
// push them again within Options.DedupTTL.
//
// Push retries after failures that may pass by themselves, such as a cut
// connection, a failover or jobs that replicas have not confirmed (see Wait), for
// Options.RetryFor or until ctx ends, whichever comes first. It then returns the error of the last
// attempt that ctx did not cut short, or ctx's own error if there was none.
//
// After an Unmarked job, Push first checks that Redis is Ready, and fails if not,
// so that few jobs are pushed without markers.
//
// If Redis takes only some of the jobs at first, the others are pushed later, behind
// them. Jobs of the same group always keep their order.
func (c *Client) Push(ctx context.Context, jobs []Job) ([]Result, error) {
	p := newPush(jobs)
	stop := time.Now().Add(c.options.RetryFor)
	var trouble error // of the last attempt that ctx did not cut short
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := c.pushPending(ctx, p)
		c.failing.Store(err != nil && !isNoScript(err))
		if err == nil {
			return p.results, nil
		}
		if trouble == nil || ctx.Err() == nil {
			trouble = err
		}
		retry, err := c.server.explain(trouble)
		pause := backoff/2 + rand.N(backoff)
		if !retry || time.Now().Add(pause).After(stop) || sleep(ctx, pause) != nil {
			err = fmt.Errorf("pushing jobs to Redis at %s: %w", c.server, err)
			p.failPending(err)
			return p.results, err
		}
	}
}

// sleep sleeps for d, or returns an error at once if ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// pushPending sends the pending jobs over one connection, window by window,
// until none is left or something fails that is not one job's fault.
func (c *Client) pushPending(ctx context.Context, p *push) error {
	if len(p.pending) == 0 {
		return nil
	}
	return c.withConn(ctx, func(conn *conn) error {
		for len(p.pending) > 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			if c.unmarked.Load() {
				if err := c.checkReady(ctx, conn); err != nil {
					return err
				}
			}
			err := c.pushWindow(ctx, conn, p)
			p.removeSettled()
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pushWindow sends a window of pending jobs and records their results, in one
// round trip. Jobs that fewer replicas confirm than Options.Wait requires stay
// pending.
func (c *Client) pushWindow(ctx context.Context, conn *conn, p *push) error {
	window := p.window()
	if err := c.sendWindow(ctx, conn, p, window); err != nil {
		return err
	}
	err := c.receiveWindow(conn, p, window)
	unconfirmed := err
	if err == nil || isReply(err) { // to one chunk; the others may be confirmed
		unconfirmed = c.receiveWait(conn)
	}
	if unconfirmed != nil && c.options.Wait.Replicas > 0 {
		p.unsettle(window)
	}
	return cmp.Or(err, unconfirmed)
}

func (c *Client) sendWindow(ctx context.Context, conn *conn, p *push, window [][]int) error {
	send := pushScript.SendHash
	if !c.scriptLoaded.Load() {
		send = pushScript.Send
	}
	for _, chunk := range window {
		if job := &p.jobs[chunk[0]]; job.Dead != nil {
			if err := c.sendDead(conn, job); err != nil {
				return err
			}
			continue
		}
		if err := send(conn, c.scriptArgs(p.jobs, chunk)...); err != nil {
			return err
		}
		send = pushScript.SendHash
	}
	if err := c.sendWait(ctx, conn); err != nil {
		return err
	}
	return conn.Flush()
}

// receiveWindow receives the results of a window. It reads on after an error
// reply, so that later chunks keep their results, and returns the last of them.
func (c *Client) receiveWindow(conn *conn, p *push, window [][]int) error {
	var failed error
	loaded := false // the push script, by this window
	for _, chunk := range window {
		loaded = loaded || p.jobs[chunk[0]].Dead == nil
		err := c.receiveChunk(conn, p, chunk)
		if err == nil {
			continue
		}
		if !isReply(err) {
			return err
		}
		if isNoScript(err) {
			c.scriptLoaded.Store(false)
		}
		failed = err
	}
	if failed == nil && loaded {
		c.scriptLoaded.Store(true)
	}
	return failed
}

// receiveChunk receives the results of a chunk and records them.
func (c *Client) receiveChunk(conn *conn, p *push, chunk []int) error {
	reply, err := conn.Receive()
	switch {
	case p.jobs[chunk[0]].Dead != nil:
		return c.recordDead(p, chunk[0], reply, err)
	case err != nil:
		return err
	}
	return c.record(p, chunk, reply)
}

// scriptArgs returns the keys and arguments that push.lua documents.
func (c *Client) scriptArgs(jobs []Job, chunk []int) []any {
	args := make([]any, 0, 4+5*len(chunk))
	args = append(args, 1+2*len(chunk), c.prefix+"queues")
	for _, i := range chunk {
		args = append(args, c.prefix+"queue:"+jobs[i].Queue, c.prefix+"scout:"+jobs[i].JID)
	}
	args = append(args, c.options.DedupTTL.Milliseconds(), c.renew())
	for _, i := range chunk {
		args = append(args, jobs[i].Queue, jobs[i].Payload, jobs[i].Group)
	}
	return args
}

// renew returns whether a script sets the markers of duplicates again.
func (c *Client) renew() any {
	if c.options.Wait.Replicas > 0 {
		return "1"
	}
	return "0"
}

// A push is the state of one call of Push.
type push struct {
	jobs         []Job
	results      []Result
	pending      []int           // indexes of the jobs without a result, in order
	unconfirmed  map[int]Outcome // of pending jobs that Redis has taken and replicas have not confirmed
	ordered      bool            // some jobs have groups
	failedGroups map[string]bool // groups that lost a job
}

func newPush(jobs []Job) *push {
	p := &push{jobs: jobs, results: make([]Result, len(jobs)), pending: make([]int, len(jobs)), failedGroups: map[string]bool{}}
	for i, job := range jobs {
		p.pending[i] = i
		p.ordered = p.ordered || job.Group != ""
	}
	return p
}

// window returns the next chunks of pending jobs. Ordered jobs go one chunk at
// a time, so that a failure is known before the jobs behind it are sent. Entries of
// the dead set have a script and so a chunk of their own.
func (p *push) window() [][]int {
	var window [][]int
	start, bytes, total := 0, 0, 0
	for n, i := range p.pending {
		size := p.jobs[i].size()
		isApart := n > start && (p.jobs[i].Dead != nil || p.jobs[p.pending[n-1]].Dead != nil)
		if n > start && (n-start == chunkJobs || bytes+size > chunkBytes || isApart) {
			window = append(window, p.pending[start:n])
			start, bytes = n, 0
			if p.ordered || len(window) == windowChunks || total+size > windowBytes {
				return window
			}
		}
		bytes += size
		total += size
	}
	return append(window, p.pending[start:])
}

// record stores the script's results for a chunk.
func (c *Client) record(p *push, chunk []int, reply any) error {
	replies, ok := reply.([]any)
	if !ok || len(replies) != len(chunk) {
		return errUnexpectedReply
	}
	for n, i := range chunk {
		result, err := c.resultOf(replies[n], p.jobs[i].Queue)
		if err != nil {
			return err
		}
		if before, ok := p.unconfirmed[i]; ok && result.Outcome == Duplicate {
			result.Outcome = before // a job that this push has enqueued itself is no duplicate
		}
		p.results[i] = result
		if result.Outcome == Unmarked {
			c.unmarked.Store(true)
		}
		if errors.Is(result.Err, ErrQueue) {
			p.failedGroups[p.jobs[i].Group] = p.jobs[i].Group != ""
		}
	}
	return nil
}

// resultOf reads the script's result for a job of a queue, as push.lua documents
// it.
func (c *Client) resultOf(reply any, queue string) (Result, error) {
	switch reply := reply.(type) {
	case []byte:
		if bytes.Contains(reply, []byte("WRONGTYPE")) {
			return Result{Err: fmt.Errorf("%w: queue %s: %s", ErrQueue, queue, c.server.show(string(reply)))}, nil
		}
	case int64:
		switch reply {
		case 1:
			return Result{Outcome: Enqueued}, nil
		case 2:
			return Result{Outcome: Duplicate}, nil
		case 3:
			return Result{Outcome: Unmarked}, nil
		case 4:
			return Result{Err: ErrHeldBack}, nil
		}
	}
	return Result{}, errUnexpectedReply
}

// unsettle makes the jobs of a window that Redis has taken pending again.
func (p *push) unsettle(window [][]int) {
	for _, chunk := range window {
		for _, i := range chunk {
			if outcome := p.results[i].Outcome; outcome != NotPushed {
				if p.unconfirmed == nil {
					p.unconfirmed = map[int]Outcome{}
				}
				p.unconfirmed[i], p.results[i] = outcome, Result{}
			}
		}
	}
}

// removeSettled removes the jobs with a result from the pending ones, and those
// that are to be held back.
func (p *push) removeSettled() {
	pending := p.pending[:0]
	for _, i := range p.pending {
		r := &p.results[i]
		if r.Outcome != NotPushed || r.Err != nil {
			continue
		}
		if p.failedGroups[p.jobs[i].Group] {
			r.Err = ErrHeldBack
			continue
		}
		pending = append(pending, i)
	}
	p.pending = pending
}

// failPending makes err the result of all pending jobs.
func (p *push) failPending(err error) {
	for _, i := range p.pending {
		p.results[i].Err = err
	}
}
