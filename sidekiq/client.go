package sidekiq

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Options say which Redis a Client uses, and how.
type Options struct {
	// URL is redis://, rediss:// (TLS) or unix://, with an optional user,
	// password and database: rediss://user:password@host:6379/0,
	// unix://:password@/run/redis.sock?db=0. valkey:// and valkeys:// are the
	// same as redis:// and rediss://.
	URL string

	// TLS is for rediss:// and valkeys://.
	TLS TLS

	// Sentinels are the addresses (host:port) of the Redis Sentinels that know
	// the master. The URL's host is then the name of the master. The sentinels
	// use TLS if the URL does. Its user and password are not theirs.
	Sentinels                          []string
	SentinelUsername, SentinelPassword string

	// Password, if not nil, returns the password for each new connection.
	// The URL then has a user and no password.
	Password func(context.Context) (string, error)

	// MaxConnAge is how long a connection is used; 0 means without limit.
	MaxConnAge time.Duration

	// Namespace is the app's redis-namespace, for Sidekiq 6 and older.
	Namespace string

	// DedupTTL is how long Redis remembers that a job was pushed. 0 turns
	// de-duplication off.
	DedupTTL time.Duration

	// Wait says how many replicas must confirm a job.
	Wait Wait

	// Conns is the maximum number of open connections; 0 means 16.
	Conns int

	// RetryFor limits how long Push retries; 0 means 10 s. The deadline of
	// Push's context limits it too.
	RetryFor time.Duration
}

// A Client pushes jobs to the Redis of a Sidekiq. It is safe for concurrent use.
type Client struct {
	options      Options
	server       *server
	prefix       string // of every key
	pool         *redis.Pool
	scriptLoaded atomic.Bool // Redis has run the push script
	failing      atomic.Bool // the last attempt to push failed
	unmarked     atomic.Bool // a job was pushed without its marker, and no check has succeeded since
	unconfirmed  atomic.Int64
}

// NewClient returns a client, which does not connect yet. An error is that of
// ParseURL, or means that a file of the TLS options cannot be read.
func NewClient(o Options) (*Client, error) {
	o.Conns = cmp.Or(o.Conns, 16)
	o.RetryFor = cmp.Or(o.RetryFor, 10*time.Second)
	o.Wait.Timeout = cmp.Or(o.Wait.Timeout, defaultWaitTimeout)
	u, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	c := &Client{options: o}
	if c.server, err = newServer(u, o); err != nil {
		return nil, err
	}
	c.pool = c.server.newPool(o.Conns, o.MaxConnAge)
	if o.Namespace != "" {
		c.prefix = o.Namespace + ":"
	}
	return c, nil
}

// Address returns where Redis is: host and port, or the path of a socket. With
// Sentinels, it is the master's name and, once it is known, its address.
func (c *Client) Address() string { return c.server.String() }

// Failing reports whether the last attempt to push or to be Ready failed, or a
// job was Unmarked and Ready has not succeeded since. Push may still be retrying.
func (c *Client) Failing() bool { return c.failing.Load() || c.unmarked.Load() }

// Close closes the connections: idle ones now, others when they are returned.
// A Push that starts or retries afterwards fails.
func (c *Client) Close() error { return c.pool.Close() }
