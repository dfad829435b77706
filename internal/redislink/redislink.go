// Package redislink keeps the client of the Redis that jobs are pushed to, which
// changes with the configuration. Start at Link.
package redislink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"scout/config"
	"scout/sidekiq"
)

const (
	loadInterval = 10 * time.Second // minimum between two calls of Link.Load
	loadTimeout  = 10 * time.Second // of Link.Load and the check of what it returned
)

// A Link pushes to one Redis at a time. It changes to another when it is told
// to, and when Redis rejects the credentials and the configuration holds new
// ones. The client that is replaced is closed when its last user is done.
//
// Set the fields and call Use before anything else. After that a Link is safe
// for concurrent use.
type Link struct {
	// Load loads the configuration again and returns its section redis. It is
	// called after Redis has rejected the credentials, at most every 10 s.
	Load func(context.Context) (config.Redis, error)

	// Conns and RetryFor are those of sidekiq.Options.
	Conns    int
	RetryFor time.Duration

	Log *slog.Logger

	mu     sync.Mutex // guards client and all users
	client *client

	loading  sync.Mutex // held during Load; guards loadedAt
	loadedAt time.Time
}

// A client is a client of the Link with the configuration that it is for.
type client struct {
	*sidekiq.Client
	config config.Redis
	users  int // calls under way
}

// NewClient returns a client for a configured Redis, which it does not connect
// to yet.
func (l *Link) NewClient(c config.Redis) (*sidekiq.Client, error) {
	options := c.ClientOptions()
	options.Conns, options.RetryFor = l.Conns, l.RetryFor
	return sidekiq.NewClient(options)
}

// Uses reports whether the Link's client is for the Redis of c.
func (l *Link) Uses(c config.Redis) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client != nil && reflect.DeepEqual(l.client.config, c)
}

// SwapClient makes next, which is for c, the Link's client. The Link closes it.
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

// acquire returns the Link's client. It stays open until release is called.
func (l *Link) acquire() (c *client, release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c = l.client
	c.users++
	return c, func() {
		l.mu.Lock()
		c.users--
		unused := c != l.client && c.users == 0
		l.mu.Unlock()
		if unused {
			c.Close()
		}
	}
}

// Push is (*sidekiq.Client).Push. It pushes again what Redis rejected for its
// credentials if there are new ones.
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

// Ready is (*sidekiq.Client).Ready, with new credentials if Redis rejected the
// old ones.
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

// Failing reports whether the last attempt to push failed because of Redis.
func (l *Link) Failing() bool {
	c, release := l.acquire()
	defer release()
	return c.Failing()
}

// Address is the address of Redis, without credentials.
func (l *Link) Address() string {
	c, release := l.acquire()
	defer release()
	return c.Address()
}

// Close closes the connections. The Link must not be used after that.
func (l *Link) Close() error { return l.client.Close() }

// renew replaces rejected, a client whose credentials Redis rejected, if the
// configuration has other ones that Redis accepts. It reports whether the Link
// now has another client: of several callers with the same client, the first
// loads the configuration for all.
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

// load loads the configuration and swaps the client if its Redis is another one
// that takes jobs.
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
