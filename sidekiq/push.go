package sidekiq

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

//go:embed push.lua
var pushSource string

var pushScript = redis.NewScript(-1, pushSource)

// Redis serves nobody else while the script runs, so that a call is bounded:
// about 1 ms with a hundred jobs of 1 KB, 10 ms with one of 1 MiB. Calls of
// independent jobs go out several at a time, in one round trip.
const (
	chunkJobs    = 100
	chunkBytes   = 1 << 20
	windowChunks = 10
	windowBytes  = 4 << 20
)

// Back-off between tries.
const (
	firstWait = 20 * time.Millisecond
	maxWait   = time.Second
)

// A Result tells what became of one job.
type Result struct {
	Outcome Outcome
	Err     error // why it was not pushed; nil if it was
}

// An Outcome is what became of a job.
type Outcome int

const (
	NotPushed Outcome = iota // see Result.Err
	Enqueued                 // it is in its queue
	Duplicate                // it was pushed before, within Options.DedupTTL
	Unmarked                 // it is in its queue, but that could not be remembered
)

// Why a job was not pushed that is the job's own or its group's, not Redis's.
var (
	// ErrHeldBack means that an earlier job of the job's group was not pushed.
	ErrHeldBack = errors.New("held back behind a failed job of its group")

	// ErrQueue means that the key of the job's queue holds another type than
	// a list. Jobs for other queues are not affected.
	ErrQueue = errors.New("the Sidekiq queue cannot take the job")
)

// Push pushes jobs, in their order, and returns a result for each. Only jobs
// with groups are sure of their order if Redis refuses some of the jobs for a
// moment; the others are then pushed behind those that it took.
//
// A job whose own queue is at fault fails alone. What may pass by itself, such
// as a cut connection or a failover, is tried again for Options.RetryFor or up
// to ctx's deadline, whichever is first: a job whose answer was lost is
// recognised then and not pushed twice. An error means that Redis would not
// take the jobs whose result has the same error; they may be in Redis all the
// same if the answer was lost, and can be pushed again.
func (c *Client) Push(ctx context.Context, jobs []Job) ([]Result, error) {
	p := newPush(jobs)
	stop := time.Now().Add(c.options.RetryFor)
	for wait := firstWait; ; wait = min(2*wait, maxWait) {
		err := c.try(ctx, p)
		c.failing.Store(err != nil && !isNoScript(err))
		if err == nil {
			return p.results, nil
		}
		remedy, err := classify(err)
		pause := wait/2 + rand.N(wait)
		if remedy != again || time.Now().Add(pause).After(stop) || sleep(ctx, pause) != nil {
			return p.results, p.fail(fmt.Errorf("pushing jobs to Redis at %s: %w", c.address, err))
		}
	}
}

// sleep returns early, with an error, if ctx ends or would end meanwhile.
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

// try sends what is pending over one connection until nothing is left or
// something fails that is not a single job's fault.
func (c *Client) try(ctx context.Context, p *push) error {
	if len(p.pending) == 0 {
		return nil
	}
	conn, release, err := c.get(ctx)
	if err != nil {
		return err
	}
	defer release()
	for len(p.pending) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := c.exchange(ctx, conn, p)
		p.settle()
		if err != nil {
			return err
		}
	}
	return nil
}

// exchange sends the next window of pending jobs and reads the results, in
// one round trip. It reads on after an error that is a reply, so that later
// chunks keep their results.
func (c *Client) exchange(ctx context.Context, conn redis.Conn, p *push) error {
	window := p.window()
	for i, chunk := range window {
		send := pushScript.SendHash
		if i == 0 && !c.loaded.Load() {
			send = pushScript.Send
		}
		if err := send(conn, c.arguments(p.jobs, chunk)...); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	var failed error
	for _, chunk := range window {
		replies, err := redis.Values(redis.ReceiveWithTimeout(conn, within(ctx, readTimeout)))
		if err == nil {
			err = p.record(chunk, replies)
		}
		if err == nil {
			continue
		}
		if !isReply(err) {
			return err
		}
		if isNoScript(err) {
			c.loaded.Store(false)
		}
		failed = err
	}
	if failed == nil {
		c.loaded.Store(true)
	}
	return failed
}

// arguments are the script's, as push.lua names them.
func (c *Client) arguments(jobs []Job, chunk []int) []any {
	args := make([]any, 0, 3+5*len(chunk))
	args = append(args, 1+2*len(chunk), c.prefix+"queues")
	for _, i := range chunk {
		args = append(args, c.prefix+"queue:"+jobs[i].Queue, c.prefix+"scout:"+jobs[i].JID)
	}
	args = append(args, c.options.DedupTTL.Milliseconds())
	for _, i := range chunk {
		args = append(args, jobs[i].Queue, jobs[i].Payload, jobs[i].Group)
	}
	return args
}

// A push is the state of one call of Push.
type push struct {
	jobs    []Job
	results []Result
	pending []int           // the jobs without a result, in order
	ordered bool            // some jobs have groups
	failed  map[string]bool // the groups with a failure
}

func newPush(jobs []Job) *push {
	p := &push{jobs: jobs, results: make([]Result, len(jobs)), pending: make([]int, len(jobs)), failed: map[string]bool{}}
	for i, job := range jobs {
		p.pending[i] = i
		p.ordered = p.ordered || job.Group != ""
	}
	return p
}

// window cuts the next chunks off what is pending. Ordered jobs go one chunk
// at a time, so that a failure is known before what comes behind it is sent.
func (p *push) window() [][]int {
	var window [][]int
	start, bytes, total := 0, 0, 0
	for n, i := range p.pending {
		size := len(p.jobs[i].Payload)
		if n > start && (n-start == chunkJobs || bytes+size > chunkBytes) {
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

// record takes the script's answers for a chunk.
func (p *push) record(chunk []int, replies []any) error {
	if len(replies) != len(chunk) {
		return fmt.Errorf("redis answered for %d jobs of %d", len(replies), len(chunk))
	}
	for n, i := range chunk {
		switch reply := replies[n].(type) {
		case []byte:
			p.results[i].Err = fmt.Errorf("%w: queue %s: %s", ErrQueue, p.jobs[i].Queue, reply)
			p.failed[p.jobs[i].Group] = p.jobs[i].Group != ""
		case int64:
			p.results[i] = resultOf(reply)
		}
	}
	return nil
}

func resultOf(reply int64) Result {
	switch reply {
	case 1:
		return Result{Outcome: Enqueued}
	case 2:
		return Result{Outcome: Duplicate}
	case 3:
		return Result{Outcome: Unmarked}
	default:
		return Result{Err: ErrHeldBack}
	}
}

// settle takes what has a result out of what is pending, and what is to be
// held back as well.
func (p *push) settle() {
	pending := p.pending[:0]
	for _, i := range p.pending {
		r := &p.results[i]
		if r.Outcome != NotPushed || r.Err != nil {
			continue
		}
		if p.failed[p.jobs[i].Group] {
			r.Err = ErrHeldBack
			continue
		}
		pending = append(pending, i)
	}
	p.pending = pending
}

// fail gives what is still pending err for a result, and returns it.
func (p *push) fail(err error) error {
	for _, i := range p.pending {
		p.results[i].Err = err
	}
	return err
}

func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

func isNoScript(err error) bool {
	reply, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(string(reply), "NOSCRIPT")
}
