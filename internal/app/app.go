// Package app makes the parts of Scout of a configuration, for both commands.
package app

import (
	"fmt"
	"time"

	"scout/config"
	"scout/handler"
	"scout/sidekiq"
)

// Limits are what differs between a Lambda function and a daemon.
type Limits struct {
	Conns    int           // to Redis
	RetryFor time.Duration // see sidekiq.Options
}

// NewClient returns a client for the configured Redis. Nothing is connected yet.
func NewClient(r config.Redis, limits Limits) (*sidekiq.Client, error) {
	client, err := sidekiq.NewClient(sidekiq.Options{
		URL:       r.URL.Reveal(),
		Namespace: r.Namespace,
		DedupTTL:  r.DedupTTL,
		Conns:     limits.Conns,
		RetryFor:  limits.RetryFor,
	})
	if err != nil {
		return nil, fmt.Errorf("redis.url %w", err)
	}
	return client, nil
}

// NewRouter returns the router of one of the configured queues.
func NewRouter(c *config.Config, q config.Queue) *handler.Router {
	r := handler.NewRouter(q.Topics)
	r.Milliseconds = c.Redis.Milliseconds
	return r
}
