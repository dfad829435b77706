package sidekiq

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Wait makes a job count as pushed only when replicas have it. A master that
// fails has not always sent its last jobs to the replica that takes its place.
// The zero value does not wait.
//
// A failover loses no job if Replicas is the number of replicas that can be
// promoted; a smaller number only makes a loss less likely. While fewer replicas
// than that are connected, no job is confirmed.
//
// It needs a DedupTTL, because Push pushes unconfirmed jobs again.
type Wait struct {
	Replicas int
	Timeout  time.Duration // for each window of jobs; 0 means 500 ms
}

const defaultWaitTimeout = 500 * time.Millisecond

// ErrUnconfirmed means that fewer replicas than Options.Wait asks for have
// confirmed the jobs in time. The jobs may be in Redis all the same.
var ErrUnconfirmed = errors.New("not enough replicas have the jobs")

// Unconfirmed returns how many writes replicas have not confirmed in time.
func (c *Client) Unconfirmed() int64 { return c.unconfirmed.Load() }

// sendWait sends a WAIT for the writes on the connection so far, with a timeout
// within ctx's deadline. It does nothing unless Options.Wait is set.
func (c *Client) sendWait(ctx context.Context, conn *conn) error {
	w := c.options.Wait
	if w.Replicas == 0 {
		return nil
	}
	timeout := w.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline)*9/10) // leaves time for the reply
	}
	return conn.Send("WAIT", w.Replicas, max(1, timeout.Milliseconds())) // 0 would mean forever
}

// receiveWait receives the reply to sendWait. It returns nil if enough replicas
// have confirmed the writes, or if Options.Wait is not set.
func (c *Client) receiveWait(conn *conn) error {
	w := c.options.Wait
	if w.Replicas == 0 {
		return nil
	}
	n, err := as[int64](redis.ReceiveWithTimeout(conn.ConnWithContext, w.Timeout+readTimeout))
	if err != nil {
		return err
	}
	if n < int64(w.Replicas) {
		c.unconfirmed.Add(1)
		return fmt.Errorf("%w: %d of %d have confirmed them in time; check the replicas and redis.wait", ErrUnconfirmed, n, w.Replicas)
	}
	return nil
}
