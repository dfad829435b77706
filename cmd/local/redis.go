package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"scout/config"
	"scout/internal/app"
	"scout/sidekiq"
)

// reloadAtLeast is the time between two loads of the configuration for new
// credentials.
const reloadAtLeast = 10 * time.Second

// A redisLink is the Redis that the daemon pushes to. If that refuses the
// credentials, which may have been rotated, it loads them again.
type redisLink struct {
	client atomic.Pointer[sidekiq.Client]
	load   func(context.Context) (*config.Config, error)
	queues []string // of Sidekiq, that are pushed to
	log    *slog.Logger
	loaded time.Time // when the configuration was loaded last; of Ready alone
}

func newRedisLink(c *config.Config, load func(context.Context) (*config.Config, error), log *slog.Logger) (*redisLink, error) {
	client, err := app.NewClient(c, app.Limits{})
	if err != nil {
		return nil, err
	}
	r := &redisLink{load: load, queues: sidekiqQueues(c), log: log}
	r.client.Store(client)
	return r, nil
}

// Push pushes with the credentials that are current when it begins.
func (r *redisLink) Push(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
	return r.client.Load().Push(ctx, jobs)
}

// Failing reports whether pushing with the current credentials meets trouble.
func (r *redisLink) Failing() bool { return r.client.Load().Failing() }

// Close closes the connections.
func (r *redisLink) Close() error { return r.client.Load().Close() }

// Ready returns nil if Redis would take jobs for the queues, after it has tried
// new credentials if need be. Only one call may be under way.
func (r *redisLink) Ready(ctx context.Context) error {
	err := r.client.Load().Ready(ctx, r.queues...)
	if !errors.Is(err, sidekiq.ErrCredentials) || time.Since(r.loaded) < reloadAtLeast {
		return err
	}
	r.loaded = time.Now()
	c, loadErr := r.load(ctx)
	if loadErr != nil {
		return errors.Join(err, fmt.Errorf("loading the configuration again: %w", loadErr))
	}
	fresh, loadErr := app.NewClient(c, app.Limits{})
	if loadErr != nil {
		return errors.Join(err, loadErr)
	}
	if err := fresh.Ready(ctx, r.queues...); err != nil {
		fresh.Close()
		return err
	}
	r.log.Info("the credentials of Redis have changed")
	r.client.Swap(fresh).Close()
	return nil
}

// check refuses a Redis that will never do, and warns of one that will lose
// jobs. One that is down only now is no reason not to start.
func (r *redisLink) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := r.client.Load()
	info, err := client.Info(ctx)
	if err == nil && info.Cluster {
		return fmt.Errorf("%w: Redis at %s is a cluster, which Sidekiq does not work with", sidekiq.ErrUnusable, client.Address())
	}
	if err == nil && info.Eviction != "noeviction" && info.Eviction != "" {
		r.log.Warn("this Redis evicts keys when its memory is full", "maxmemory_policy", info.Eviction, "advice", evictionAdvice(info.Eviction))
	}
	err = client.Ready(ctx, r.queues...)
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
