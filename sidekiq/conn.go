package sidekiq

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"time"

	"github.com/gomodule/redigo/redis"
)

// The layers between a Client and its Redis are, from the top:
//
//   - redigo's Pool, which limits the number of connections and keeps idle ones
//   - a conn for each connection, which remembers that it must not be used again
//   - redigo's connection, which speaks RESP and limits the time of each read and write
//   - a respConn, which checks and limits what the server sends
//   - TLS, if the URL asks for it
//   - the socket, TCP or Unix
//
// When a context ends, withConn closes the socket directly. That ends every read
// and write in the layers above, and the pool discards the connection.

const (
	pingTimeout = 300 * time.Millisecond // of a connection that was idle for pingAfter
	pingAfter   = time.Second
	idleTimeout = 4 * time.Minute // less than that of common firewalls and NAT gateways
)

// A conn is one connection of the pool.
type conn struct {
	redis.ConnWithContext
	replies *respConn
	socket  net.Conn
	failed  error // why the connection must not be used again

	generation int64 // of the server when the connection was made
}

// discard closes the connection. The pool drops it when it is returned.
func (c *conn) discard(reason error) {
	c.failed = reason
	c.socket.Close()
}

// Err tells the pool whether to drop the connection.
func (c *conn) Err() error { return cmp.Or(c.failed, c.ConnWithContext.Err()) }

// pipeline sends commands, each with its arguments, in one round trip. It returns
// their replies, or those before the first error. It closes the socket if ctx
// ends first.
func (c *conn) pipeline(ctx context.Context, commands ...[]any) ([]any, error) {
	defer context.AfterFunc(ctx, func() { c.socket.Close() })()
	for _, command := range commands {
		_ = c.Send(command[0].(string), command[1:]...) // errors of Send come back from Flush
	}
	err := c.Flush()
	var replies []any
	for range commands {
		var reply any
		if err == nil {
			reply, err = c.Receive()
		}
		if err != nil {
			break
		}
		replies = append(replies, reply)
	}
	if err != nil && !isReply(err) && ctx.Err() != nil {
		err = ctx.Err()
	}
	return replies, err
}

// borrowedKey is the context key of a **conn in which the pool's functions store
// the borrowed connection, because the pool returns it wrapped in its own type.
type borrowedKey struct{}

// newPool returns a pool of at most size connections. Connections older than
// maxAge are not used again; 0 means that there is no maximum.
func (s *server) newPool(size int, maxAge time.Duration) *redis.Pool {
	return &redis.Pool{
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			c, err := s.dial(ctx)
			if err != nil {
				return nil, err
			}
			*ctx.Value(borrowedKey{}).(**conn) = c
			return c, nil
		},
		TestOnBorrowContext: func(ctx context.Context, c redis.Conn, lastUsed time.Time) error {
			*ctx.Value(borrowedKey{}).(**conn) = c.(*conn)
			if c.(*conn).generation != s.generation.Load() {
				return errNotMaster
			}
			return c.(*conn).check(ctx, lastUsed)
		},
		MaxIdle:     size,
		MaxActive:   size,
		IdleTimeout: idleTimeout,
		Wait:        true,

		MaxConnLifetime: maxAge,
	}
}

// check finds out whether a connection was cut while it was idle.
func (c *conn) check(ctx context.Context, lastUsed time.Time) error {
	if err := ctx.Err(); err != nil || time.Since(lastUsed) < pingAfter {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	_, err := c.DoContext(ctx, "PING")
	return err
}

// withConn calls use with a connection from the pool. If ctx ends first, the
// connection is closed and the error is ctx's.
//
// After an error of use, whatever it is, the connection is not used again: one to
// a master that became a replica would answer READONLY for as long as it is open.
// If other connections may lead to the same former master, they are not used
// again either.
func (c *Client) withConn(ctx context.Context, use func(*conn) error) error {
	var borrowed *conn
	pooled, err := c.pool.GetContext(context.WithValue(ctx, borrowedKey{}, &borrowed))
	if err == nil {
		defer pooled.Close()
		stop := context.AfterFunc(ctx, func() { borrowed.socket.Close() })
		err = use(borrowed)
		if ended := !stop(); ended || err != nil && !isNoScript(err) {
			borrowed.discard(cmp.Or(err, ctx.Err()))
			if !ended && (isFormerMaster(err) || c.server.sentinels != nil && !isReply(err)) {
				c.server.generation.Add(1)
			}
		}
	}
	if err != nil && !isReply(err) && ctx.Err() != nil {
		return fmt.Errorf("waiting for Redis: %w", ctx.Err())
	}
	return err
}

// as converts a reply to the type that its command should return.
func as[T any](reply any, err error) (T, error) {
	value, ok := reply.(T)
	if err == nil && !ok {
		err = errUnexpectedReply
	}
	return value, err
}
