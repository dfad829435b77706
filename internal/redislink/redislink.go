// Package redislink holds the client of the Redis that jobs are pushed to, and
// can replace it while it is in use. Start at [Link].
package redislink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/config"
	"scout/internal/redisiam"
	"scout/sidekiq"
)

const (
	loadInterval = 10 * time.Second // minimum between two calls of Link.Load
	loadTimeout  = 10 * time.Second // of Link.Load and the check of the Redis that it returns
)

// A Link pushes to one Redis at a time. [Link.SwapClient] replaces its client. The
// Link does so itself when Redis rejects the credentials and the configuration has
// new ones. A replaced client is closed when the last call that uses it returns.
//
// Set the fields and call SwapClient before any other method. After that, a Link is
// safe for concurrent use.
type Link struct {
	// Load loads the configuration again and returns its section redis. The Link
	// calls it when Redis rejects the credentials, at most every 10 s.
	Load func(context.Context) (config.Redis, error)

	// AWS returns the credentials for a Redis with IAM authentication.
	AWS func(context.Context, config.AWS) (aws.Config, error)

	// Conns and RetryFor are those of sidekiq.Options.
	Conns    int
	RetryFor time.Duration

	Log *slog.Logger

	mu          sync.Mutex // guards client and unconfirmed, and users and counted of all clients
	client      *client
	unconfirmed int64 // of all clients so far, see count

	loading  sync.Mutex // held during Load; guards loadedAt
	loadedAt time.Time
}

// A client is a client for the Redis of a configuration.
type client struct {
	*sidekiq.Client
	config config.Redis
	users  int // calls that have not returned

	counted int64 // of Unconfirmed, already in Link.unconfirmed
}

// NewClient returns a client for the Redis of c. It does not connect yet.
func (l *Link) NewClient(c config.Redis) (*sidekiq.Client, error) {
	options := redisiam.ClientOptions(c, l.AWS)
	options.Conns, options.RetryFor = l.Conns, l.RetryFor
	return sidekiq.NewClient(options)
}

// Uses reports whether the client is the one for c.
func (l *Link) Uses(c config.Redis) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client != nil && reflect.DeepEqual(l.client.config, c)
}

// SwapClient makes next, a client for c, the Link's client. The Link closes it.
func (l *Link) SwapClient(c config.Redis, next *sidekiq.Client) {
	l.mu.Lock()
	former := l.client
	l.client = &client{Client: next, config: c}
	unused := former != nil && former.users == 0
	l.mu.Unlock()
	if unused {
		former.Close()
	}
}

// acquire returns the client. It stays open until release is called.
func (l *Link) acquire() (c *client, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c = l.client
	c.users++
	return c, func() {
		l.mu.Lock()
		c.users--
		l.count(c)
		unused := c != l.client && c.users == 0
		l.mu.Unlock()
		if unused {
			c.Close()
		}
	}
}

// Push is (*sidekiq.Client).Push. If Redis rejects the credentials and the
// configuration has new ones, Push pushes the rejected jobs again with those.
func (l *Link) Push(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
	c, release := l.acquire()
	results, err := c.Push(ctx, jobs)
	release()
	if !errors.Is(err, sidekiq.ErrCredentials) || !l.renew(ctx, c) {
		return results, err
	}
	var rejected []sidekiq.Job
	var places []int
	for i, result := range results {
		if errors.Is(result.Err, sidekiq.ErrCredentials) {
			rejected, places = append(rejected, jobs[i]), append(places, i)
		}
	}
	c, release = l.acquire()
	defer release()
	again, err := c.Push(ctx, rejected)
	for n, i := range places {
		results[i] = again[n]
	}
	return results, err
}

// Ready is (*sidekiq.Client).Ready. If Redis rejects the credentials and the
// configuration has new ones, Ready tries again with those.
func (l *Link) Ready(ctx context.Context, queues ...string) error {
	c, release := l.acquire()
	err := c.Ready(ctx, queues...)
	release()
	if !errors.Is(err, sidekiq.ErrCredentials) || !l.renew(ctx, c) {
		return err
	}
	c, release = l.acquire()
	defer release()
	return c.Ready(ctx, queues...)
}

// Usage is (*sidekiq.Client).Usage.
func (l *Link) Usage(ctx context.Context, queues []string) (sidekiq.Usage, error) {
	c, release := l.acquire()
	defer release()
	return c.Usage(ctx, queues)
}

// Failing is (*sidekiq.Client).Failing.
func (l *Link) Failing() bool {
	c, release := l.acquire()
	defer release()
	return c.Failing()
}

// Address is (*sidekiq.Client).Address.
func (l *Link) Address() string {
	c, release := l.acquire()
	defer release()
	return c.Address()
}

// Unconfirmed returns how many writes, to any Redis so far, replicas did not
// confirm in time.
func (l *Link) Unconfirmed() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count(l.client)
	return l.unconfirmed
}

// count adds what c has counted since the last call. A former client counts until
// its last call returns. The caller holds l.mu.
func (l *Link) count(c *client) {
	n := c.Unconfirmed()
	l.unconfirmed += n - c.counted
	c.counted = n
}

// Close closes the connections. The Link must not be used after that.
func (l *Link) Close() error { return l.client.Close() }

// renew replaces rejected, a client whose credentials Redis rejected, if the
// section redis has changed and its Redis takes jobs. It reports whether the Link
// now has another client. If several goroutines call it with the same
// client, the first one loads the configuration for all of them.
func (l *Link) renew(ctx context.Context, rejected *client) bool {
	l.loading.Lock()
	defer l.loading.Unlock()
	l.mu.Lock()
	renewed := l.client != rejected
	l.mu.Unlock()
	if renewed || time.Since(l.loadedAt) < loadInterval {
		return renewed
	}
	l.loadedAt = time.Now()
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	renewed, err := l.load(ctx)
	switch {
	case err != nil:
		l.Log.ErrorContext(ctx, "reload failed; keeping the previous configuration", "error", err)
	case renewed:
		l.Log.InfoContext(ctx, "Redis credentials reloaded")
	}
	return renewed
}

// load loads the configuration and swaps the client if its section redis has
// changed and that Redis takes jobs.
func (l *Link) load(ctx context.Context) (swapped bool, err error) {
	c, err := l.Load(ctx)
	if err != nil || l.Uses(c) {
		return false, err
	}
	next, err := l.NewClient(c)
	if err != nil {
		return false, err
	}
	if err := next.Ready(ctx); err != nil {
		next.Close()
		return false, fmt.Errorf("checking the Redis of the new configuration: %w", err)
	}
	l.SwapClient(c, next)
	return true, nil
}
