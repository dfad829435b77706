package sidekiq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// What lies between a Client and its Redis, from the top: redigo's Pool, which
// limits the number of connections and keeps the idle ones; a conn for each
// connection, which remembers that it must not be used again; redigo's own
// connection, which speaks RESP and limits the time of each read and write; a
// respConn, which checks and limits what the server sends; TLS if the URL asks
// for it; and the socket, TCP or Unix. A context reaches past all of them: when
// it ends, withConn closes the socket, which ends whatever is in flight on the
// connection, and the pool discards it.

// How long Redis may take. A server that is silent for longer counts as down.
const (
	dialTimeout  = 2 * time.Second // to connect, and again for the TLS handshake
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	pingTimeout  = 300 * time.Millisecond // of a connection that was idle for pingAfter
	pingAfter    = time.Second
	idleTimeout  = 4 * time.Minute // less than that of common firewalls and NAT gateways
	keepAlive    = 30 * time.Second
)

// A server is where a Redis is and how to log in to it.
type server struct {
	network, address   string
	tls                *tls.Config // nil: no TLS
	username, password string
	database           int
}

// newServer reads a URL that ParseURL has accepted.
func newServer(u *url.URL) server {
	s := server{network: "tcp", username: u.User.Username()}
	var isSet bool
	if s.password, isSet = u.User.Password(); !isSet {
		s.username, s.password = "", s.username // as redis-cli reads redis://password@host
	}
	if u.Scheme == "unix" {
		s.network, s.address = "unix", u.Path
		s.database, _ = strconv.Atoi(u.Query().Get("db"))
		return s
	}
	s.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379"))
	s.database, _ = strconv.Atoi(strings.TrimPrefix(u.Path, "/"))
	if u.Scheme == "rediss" {
		name, _, _ := strings.Cut(u.Hostname(), "%") // certificates have no zones
		s.tls = &tls.Config{ServerName: strings.TrimSuffix(name, ".")}
	}
	return s
}

// dial opens a connection and logs in.
func (s *server) dial(ctx context.Context) (*conn, error) {
	socket, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	c, err := s.logIn(ctx, socket)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return c, nil
}

func (s *server) logIn(ctx context.Context, socket net.Conn) (*conn, error) {
	stream, err := s.startTLS(ctx, socket)
	if err != nil {
		return nil, err
	}
	replies := &respConn{Conn: stream, maxReply: maxReply}
	c := &conn{redis.NewConn(replies, readTimeout, writeTimeout).(redis.ConnWithContext), replies, socket, nil}
	if s.password != "" {
		args := []any{s.password}
		if s.username != "" {
			args = []any{s.username, s.password}
		}
		if _, err := c.DoContext(ctx, "AUTH", args...); err != nil {
			return nil, err
		}
	}
	if s.database != 0 {
		if _, err := c.DoContext(ctx, "SELECT", s.database); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// errHandshakeTimeout is most often the fault of a server without TLS, which
// waits for the end of what it takes for a command.
var errHandshakeTimeout = errors.New("TLS handshake timeout")

func (s *server) startTLS(ctx context.Context, socket net.Conn) (net.Conn, error) {
	if s.tls == nil {
		return socket, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errHandshakeTimeout)
	defer cancel()
	stream := tls.Client(socket, s.tls)
	if err := stream.HandshakeContext(ctx); err != nil {
		if context.Cause(ctx) == errHandshakeTimeout {
			err = errHandshakeTimeout
		}
		return nil, err
	}
	return stream, nil
}

// A conn is one connection of the pool.
type conn struct {
	redis.ConnWithContext
	replies *respConn
	socket  net.Conn
	failed  error // why the connection must not be used again
}

// discard closes the connection. The pool drops it when it is returned.
func (c *conn) discard(reason error) {
	c.failed = reason
	c.socket.Close()
}

// Err tells the pool whether to drop the connection.
func (c *conn) Err() error { return cmp.Or(c.failed, c.ConnWithContext.Err()) }

// borrowedKey is the context key of a **conn that receives the connection which
// the pool gives out, because the pool wraps it in a type of its own.
type borrowedKey struct{}

// newPool returns a pool of at most size connections.
func (s *server) newPool(size int) *redis.Pool {
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
			return c.(*conn).check(ctx, lastUsed)
		},
		MaxIdle:     size,
		MaxActive:   size,
		IdleTimeout: idleTimeout,
		Wait:        true,
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
// A connection that use returns an error for is not used again, whatever the
// error: one to a master that became a replica would answer READONLY for as
// long as it is open.
func (c *Client) withConn(ctx context.Context, use func(*conn) error) error {
	var borrowed *conn
	pooled, err := c.pool.GetContext(context.WithValue(ctx, borrowedKey{}, &borrowed))
	if err == nil {
		defer pooled.Close()
		stop := context.AfterFunc(ctx, func() { borrowed.socket.Close() })
		err = use(borrowed)
		if ended := !stop(); ended || err != nil && !isNoScript(err) {
			borrowed.discard(cmp.Or(err, ctx.Err()))
		}
	}
	if err != nil && !isReply(err) && ctx.Err() != nil {
		return fmt.Errorf("waiting for Redis: %w", ctx.Err())
	}
	return err
}

// as returns a reply as the type that its command is known to return.
func as[T any](reply any, err error) (T, error) {
	value, ok := reply.(T)
	if err == nil && !ok {
		err = errUnexpectedReply
	}
	return value, err
}
