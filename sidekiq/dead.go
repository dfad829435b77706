package sidekiq

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/jsonscan"
)

//go:embed dead.lua
var deadSource string

var deadScript = redis.NewScript(-1, deadSource)

// MaxDeadSet is the number of entries from which on Push adds nothing to Sidekiq's
// dead set. Sidekiq itself keeps the newest 10,000 and would drop the app's own.
const MaxDeadSet = 5000

// ErrDeadSet means that Sidekiq's dead set cannot take a message: it has MaxDeadSet
// entries, its key is not a sorted set, or the user has no permission.
var ErrDeadSet = errors.New("the dead set of Sidekiq cannot take the message")

// A DeadEntry is an entry of Sidekiq's dead set. "Retry now" in the Web UI makes it
// a job of the same id.
type DeadEntry struct {
	JID     string
	Payload []byte // JSON
}

// DeadEntry makes the entry for a job that failed with an error before it ran. It
// has the keys that Sidekiq gives a job that it moves to the dead set after its
// first failure (lib/sidekiq/job_retry.rb, process_retry).
func (t *JobTemplate) DeadEntry(c Call, errorClass, errorMessage string) DeadEntry {
	job := t.Job(c)
	b := append(job.Payload[:len(job.Payload)-1], `,"error_message":`...)
	b = jsonscan.AppendQuote(b, errorMessage)
	b = append(b, `,"error_class":`...)
	b = jsonscan.AppendQuote(b, errorClass)
	b = append(b, `,"failed_at":`...)
	b = c.appendTime(b)
	return DeadEntry{job.JID, append(b, `,"retry_count":0}`...)}
}

// sendDead sends dead.lua for a job that is entries of the dead set.
func (c *Client) sendDead(conn *conn, job *Job) error {
	args := make([]any, 0, 6+3*len(job.Dead))
	args = append(args, 1+2*len(job.Dead), c.prefix+"dead")
	for _, entry := range job.Dead {
		marker := c.prefix + "scout:" + entry.JID
		args = append(args, marker, marker+":dead")
	}
	score := strconv.FormatFloat(float64(time.Now().UnixMicro())/1e6, 'f', 6, 64)
	args = append(args, c.options.DedupTTL.Milliseconds(), c.renew(), MaxDeadSet, score)
	for _, entry := range job.Dead {
		args = append(args, entry.Payload)
	}
	return deadScript.Send(conn, args...)
}

// recordDead stores the script's result for job i. An error is not the message's
// own.
func (c *Client) recordDead(p *push, i int, reply any, err error) error {
	switch {
	case c.isDeadSetError(err):
		_, err = c.server.explain(err)
		p.results[i].Err = fmt.Errorf("%w: %v", ErrDeadSet, err)
	case err != nil:
		return err
	case reply == int64(4):
		p.results[i].Err = fmt.Errorf("%w: it has %d entries; empty it in Sidekiq's Web UI", ErrDeadSet, MaxDeadSet)
	case reply == int64(2):
		p.results[i].Outcome = Duplicate
	case reply == int64(3):
		c.unmarked.Store(true)
		fallthrough
	case reply == int64(1):
		p.results[i].Outcome = Dead
	default:
		return errUnexpectedReply
	}
	if before, ok := p.unconfirmed[i]; ok && p.results[i].Outcome == Duplicate {
		p.results[i].Outcome = before // what this push has done itself is no duplicate
	}
	if group := p.jobs[i].Group; p.results[i].Err != nil && group != "" {
		p.failedGroups[group] = true
	}
	return nil
}

// isDeadSetError reports whether an error concerns the dead set alone, so that jobs
// can still be pushed.
func (c *Client) isDeadSetError(err error) bool {
	reply, ok := errors.AsType[redis.Error](err)
	if !ok {
		return false
	}
	text := strings.TrimPrefix(string(reply), scriptPrefix.FindString(string(reply)))
	for _, prefix := range []string{"NOPERM", "WRONGTYPE", "ERR The user executing the script", "The user executing the script"} {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

// DeadSet returns the number of entries in Sidekiq's dead set, after checking that
// entries can be added. It adds none.
func (c *Client) DeadSet(ctx context.Context) (entries int, err error) {
	const source = `redis.call('ZADD', KEYS[1], 'XX', 0, 'scout:check') return redis.call('ZCARD', KEYS[1])`
	err = c.withConn(ctx, func(conn *conn) error {
		n, err := as[int64](conn.Do("EVAL", source, 1, c.prefix+"dead"))
		entries = int(n)
		return err
	})
	if err != nil {
		_, err = c.server.explain(err)
		return 0, fmt.Errorf("checking Sidekiq's dead set in Redis at %s: %w", c.server, err)
	}
	return entries, nil
}
