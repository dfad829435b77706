package sidekiq

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// How long Redis may take. A server that is silent for longer counts as gone.
const (
	dialTimeout  = 2 * time.Second
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	pingTimeout  = 300 * time.Millisecond // of a connection that lay idle
	idleTimeout  = 4 * time.Minute        // less than what firewalls and NAT gateways allow
	keepAlive    = 30 * time.Second
)

// Options say which Redis a Client uses, and how.
type Options struct {
	// URL is redis://, rediss:// (TLS, with the system's roots) or unix://,
	// with an optional user, password and database:
	// rediss://user:password@host:6379/0, unix://:password@/run/redis.sock?db=0.
	URL string

	// Namespace is that of redis-namespace, which Sidekiq 6 and older know.
	Namespace string

	// DedupTTL is how long it is remembered that a job was pushed. 0 forgets at once.
	DedupTTL time.Duration

	// Conns is how many connections may be open at a time; 0 means 16.
	Conns int

	// RetryFor bounds how long Push tries again what may pass by itself;
	// 0 means 10 s. The deadline of Push's context bounds it too.
	RetryFor time.Duration
}

// A Client pushes jobs to the Redis of a Sidekiq. It is safe for concurrent use.
type Client struct {
	options Options
	address string // of the server, without credentials
	prefix  string // of every key
	pool    *redis.Pool
	loaded  atomic.Bool // whether Redis was seen to know the script
	failing atomic.Bool // whether the last try to push failed
}

// NewClient returns a client for a Redis, which it does not connect to yet.
// Its errors show nothing of the URL.
func NewClient(o Options) (*Client, error) {
	o.Conns = cmp.Or(o.Conns, 16)
	o.RetryFor = cmp.Or(o.RetryFor, 10*time.Second)
	u, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o, address: cmp.Or(u.Host, u.Path)}
	if o.Namespace != "" {
		c.prefix = o.Namespace + ":"
	}
	c.pool = &redis.Pool{
		DialContext:         func(ctx context.Context) (redis.Conn, error) { return dial(ctx, u) },
		TestOnBorrowContext: testOnBorrow,
		MaxIdle:             o.Conns,
		MaxActive:           o.Conns,
		IdleTimeout:         idleTimeout,
		Wait:                true,
	}
	return c, nil
}

// Address is where the client's Redis is, for people to read.
func (c *Client) Address() string { return c.address }

// Failing reports that the last try to push met trouble with Redis. Push may
// be trying on.
func (c *Client) Failing() bool { return c.failing.Load() }

// Close closes the connections, those in use when they are given back.
func (c *Client) Close() error { return c.pool.Close() }

// within is d, or how long the context lasts if that is shorter. It is never 0,
// which would mean for ever.
func within(ctx context.Context, d time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return min(d, max(time.Until(deadline), time.Millisecond))
	}
	return d
}

func dial(ctx context.Context, u *url.URL) (redis.Conn, error) {
	wire := &netConn{}
	options := []redis.DialOption{
		redis.DialContextFunc(wire.dial),
		redis.DialTLSHandshakeTimeout(within(ctx, dialTimeout)),
		redis.DialReadTimeout(readTimeout),
		redis.DialWriteTimeout(writeTimeout),
	}
	var c redis.Conn
	var err error
	if u.Scheme == "unix" {
		password, _ := u.User.Password()
		database, _ := strconv.Atoi(u.Query().Get("db"))
		options = append(options, redis.DialUsername(u.User.Username()), redis.DialPassword(password), redis.DialDatabase(database))
		c, err = redis.DialContext(ctx, "unix", u.Path, options...)
	} else {
		c, err = redis.DialURLContext(ctx, u.String(), options...)
	}
	if err != nil {
		return nil, withoutArguments(err)
	}
	return &conn{ConnWithTimeout: c.(redis.ConnWithTimeout), wire: wire}, nil
}

// A netConn is bound to the context for which the connection was taken from
// the pool: what is being read or written ends with it. redigo knows only fixed
// times, and deadlines when it connects.
type netConn struct {
	net.Conn
	deadline time.Time // of the context; zero: none
	aborted  atomic.Bool
	unbind   func() bool
}

func (c *netConn) dial(ctx context.Context, network, address string) (_ net.Conn, err error) {
	if c.Conn, err = (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext(ctx, network, address); err == nil {
		c.bind(ctx)
	}
	return c, err
}

// bind binds the connection to a context, until unbind is called.
func (c *netConn) bind(ctx context.Context) {
	c.deadline, _ = ctx.Deadline()
	c.aborted.Store(false)
	c.unbind = context.AfterFunc(ctx, func() {
		c.aborted.Store(true) // first, for redigo may be about to set a deadline
		_ = c.Conn.SetDeadline(longAgo)
	})
	if wire, ok := ctx.Value(wireKey{}).(**netConn); ok {
		*wire = c
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

func (c *netConn) SetReadDeadline(t time.Time) error {
	if c.aborted.Load() {
		t = longAgo
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *netConn) SetWriteDeadline(t time.Time) error {
	switch {
	case c.aborted.Load():
		t = longAgo
	case !c.deadline.IsZero() && c.deadline.Before(t):
		t = c.deadline
	}
	return c.Conn.SetWriteDeadline(t)
}

// wireKey is the context key of where to put the wire of the connection that
// the pool gives out, which redigo wraps.
type wireKey struct{}

// get takes a connection from the pool and binds it to ctx. The caller releases it.
func (c *Client) get(ctx context.Context) (_ redis.Conn, release func(), err error) {
	var wire *netConn
	conn, err := c.pool.GetContext(context.WithValue(ctx, wireKey{}, &wire))
	if err != nil {
		return nil, nil, err
	}
	return conn, func() {
		if !wire.unbind() {
			wire.aborted.Store(true) // ctx ended just now, and its effect may be still to come
		}
		conn.Close()
	}, nil
}

// A conn is given up once it has answered with an error: a connection to a
// master that became a replica would answer READONLY for as long as it is open.
type conn struct {
	redis.ConnWithTimeout
	wire   *netConn
	failed error
}

func (c *conn) Err() error {
	if c.wire.aborted.Load() {
		return context.Canceled
	}
	return cmp.Or(c.failed, c.ConnWithTimeout.Err())
}

func (c *conn) ReceiveWithTimeout(timeout time.Duration) (any, error) {
	reply, err := c.ConnWithTimeout.ReceiveWithTimeout(timeout)
	return reply, c.note(err)
}

func (c *conn) DoWithTimeout(timeout time.Duration, command string, args ...any) (any, error) {
	reply, err := c.ConnWithTimeout.DoWithTimeout(timeout, command, args...)
	return reply, c.note(err)
}

func (c *conn) note(err error) error {
	if err != nil && !isNoScript(err) {
		c.failed = err
	}
	return err
}

// testOnBorrow readies a connection of the pool for another context, and finds
// out whether it was cut while it lay idle.
func testOnBorrow(ctx context.Context, c redis.Conn, lastUsed time.Time) error {
	c.(*conn).wire.bind(ctx)
	if err := ctx.Err(); err != nil || time.Since(lastUsed) < time.Second {
		return err
	}
	_, err := redis.DoWithTimeout(c, within(ctx, pingTimeout), "PING")
	return err
}

// withoutArguments cuts off the arguments that Redis repeats when it does not
// know a command, for those of AUTH are the password.
func withoutArguments(err error) error {
	if reply, ok := errors.AsType[redis.Error](err); ok {
		text, _, _ := strings.Cut(string(reply), ", with args beginning with")
		return redis.Error(text)
	}
	return err
}
