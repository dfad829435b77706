package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"scout/config"
	"scout/sidekiq"
)

// reloadAtLeast is the time between two loads of the configuration for new
// credentials.
const reloadAtLeast = 10 * time.Second

// A redisLink is the Redis that the daemon pushes to. It can become another one
// while it is used. If it refuses the credentials, which may have been rotated,
// the link loads them again.
type redisLink struct {
	client atomic.Pointer[sidekiq.Client]
	load   func(context.Context) (*config.Config, error)
	log    *slog.Logger

	mu     sync.Mutex // of what is below
	config config.Redis
	loaded time.Time // when credentials were last looked for
}

func newRedisLink(c config.Redis, client *sidekiq.Client, load func(context.Context) (*config.Config, error), log *slog.Logger) *redisLink {
	r := &redisLink{config: c, load: load, log: log}
	r.client.Store(client)
	return r
}

// Push pushes to the Redis that is current when it begins.
func (r *redisLink) Push(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
	return r.client.Load().Push(ctx, jobs)
}

// Load measures the load of Redis and of queues of Sidekiq.
func (r *redisLink) Load(ctx context.Context, queues []string) (sidekiq.Usage, error) {
	return r.client.Load().Usage(ctx, queues)
}

// Failing reports whether pushing meets trouble.
func (r *redisLink) Failing() bool { return r.client.Load().Failing() }

// Address is where Redis is, for people to read.
func (r *redisLink) Address() string { return r.client.Load().Address() }

// Close closes the connections.
func (r *redisLink) Close() error { return r.client.Load().Close() }

// Ready returns nil if Redis would take jobs for the queues, after it has tried
// new credentials if need be.
func (r *redisLink) Ready(ctx context.Context, queues []string) error {
	err := r.client.Load().Ready(ctx, queues...)
	if !errors.Is(err, sidekiq.ErrCredentials) {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.loaded) < reloadAtLeast {
		return err
	}
	r.loaded = time.Now()
	c, loadErr := r.load(ctx)
	if loadErr != nil {
		return errors.Join(err, fmt.Errorf("loading the configuration again: %w", loadErr))
	}
	fresh, loadErr := sidekiq.NewClient(c.Redis.ClientOptions())
	if loadErr != nil {
		return errors.Join(err, loadErr)
	}
	if err := fresh.Ready(ctx, queues...); err != nil {
		fresh.Close()
		return err
	}
	r.log.Info("the credentials of Redis have changed")
	r.use(c.Redis, fresh)
	return nil
}

// change makes client, of the given configuration, the current one, if that is
// another than before.
func (r *redisLink) change(c config.Redis, client *sidekiq.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c == r.config {
		client.Close()
		return
	}
	r.use(c, client)
}

// use needs the lock.
func (r *redisLink) use(c config.Redis, client *sidekiq.Client) {
	r.config = c
	former := r.client.Swap(client)
	time.AfterFunc(time.Minute, func() { former.Close() }) // a push that has begun may still need it
}

// checkRedis refuses a Redis that will never do, and warns of one that will lose
// jobs. One that is down only now is no reason not to start.
func checkRedis(ctx context.Context, client *sidekiq.Client, queues []string, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := client.Info(ctx)
	if err == nil && info.Cluster {
		return fmt.Errorf("%w: Redis at %s is a cluster, which Sidekiq does not work with", sidekiq.ErrUnusable, client.Address())
	}
	if err == nil && info.Eviction != "noeviction" && info.Eviction != "" {
		log.Warn("this Redis evicts keys when its memory is full", "maxmemory_policy", info.Eviction, "advice", evictionAdvice(info.Eviction))
	}
	err = client.Ready(ctx, queues...)
	if errors.Is(err, sidekiq.ErrCredentials) || errors.Is(err, sidekiq.ErrUnusable) {
		return err
	}
	return nil
}

func evictionAdvice(policy string) string {
	if strings.HasPrefix(policy, "allkeys") {
		return "jobs will be lost; set maxmemory-policy to noeviction"
	}
	return "a message delivered twice may become two jobs; set maxmemory-policy to noeviction"
}
