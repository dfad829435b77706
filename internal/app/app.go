// Package app makes a handler of a configuration, for both commands. Start at New.
package app

import (
	"fmt"
	"log/slog"
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

// New returns a handler that pushes to the configured Redis, and the client
// that it pushes with. Nothing is connected yet.
func New(c *config.Config, limits Limits, log *slog.Logger) (*handler.Handler, *sidekiq.Client, error) {
	client, err := sidekiq.NewClient(sidekiq.Options{
		URL:       c.Redis.URL.Reveal(),
		Namespace: c.Redis.Namespace,
		DedupTTL:  c.Redis.DedupTTL,
		Conns:     limits.Conns,
		RetryFor:  limits.RetryFor,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("redis.url %w", err)
	}
	return &handler.Handler{Router: NewRouter(c), Client: client, Log: log}, client, nil
}

// NewRouter returns the router of a configuration, for those who push nothing.
func NewRouter(c *config.Config) *handler.Router {
	r := handler.NewRouter(c.Queue.Topics)
	r.Milliseconds = c.Redis.Milliseconds
	return r
}
