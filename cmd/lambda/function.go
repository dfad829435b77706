package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/config"
	"scout/handler"
	"scout/sidekiq"
)

// How often the configuration is loaded at most: regularly, and after Redis
// has refused the credentials, which may have been rotated.
const (
	refreshEvery   = 5 * time.Minute
	refreshAtLeast = 10 * time.Second
)

// A function handles batches with a configuration that it keeps fresh.
type function struct {
	load    func(context.Context) (*config.Config, error)
	observe func(context.Context, handler.Stats)
	log     *slog.Logger

	mu      sync.Mutex     // Lambda may be set up for several batches at a time
	config  *config.Config // the last good one
	handler *handler.Handler
	client  *sidekiq.Client
	loaded  time.Time // when that was tried last
}

// initTimeout leaves some of the 10 s that Lambda gives the init phase.
const initTimeout = 8 * time.Second

// init loads the configuration for the first time. Redis is dialled by the
// first batch: were it down now, no environment could start.
func (f *function) init() error {
	ctx, cancel := context.WithTimeout(context.Background(), initTimeout)
	defer cancel()
	_, err := f.refresh(ctx)
	return err
}

// Handle is handler.Handler's with a fresh configuration. If Redis refuses the
// credentials, it loads them again and, if they have changed, tries again.
func (f *function) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	h, _ := f.fresh(ctx, refreshEvery)
	response, stats, err := h.Process(ctx, event)
	if errors.Is(err, sidekiq.ErrCredentials) {
		if h, changed := f.fresh(ctx, refreshAtLeast); changed {
			response, stats, err = h.Process(ctx, event)
		}
	}
	f.observe(ctx, stats)
	return response, err
}

// fresh returns the handler, after loading the configuration again if that was
// done longer ago than age. A configuration that cannot be loaded leaves the
// last good one in use.
func (f *function) fresh(ctx context.Context, age time.Duration) (h *handler.Handler, changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.loaded) < age {
		return f.handler, false
	}
	changed, err := f.refresh(ctx)
	if err != nil {
		f.log.ErrorContext(ctx, "the configuration could not be loaded again; the last one stays in use", "error", err)
	}
	return f.handler, changed
}

// refresh loads the configuration and, if it has changed, makes a new handler.
// Connections to Redis are kept if not.
func (f *function) refresh(ctx context.Context) (changed bool, err error) {
	f.loaded = time.Now()
	c, err := f.load(ctx)
	if err != nil || reflect.DeepEqual(c, f.config) {
		return false, err
	}
	if len(c.Queues) > 1 {
		return false, fmt.Errorf("the configuration has %d queues, and the Lambda function is for one: give each a function, with a configuration of its own", len(c.Queues))
	}
	// During an outage of Redis, Push tries until the deadline and then fails
	// the batch: the error slows the event source mapping down, as failed
	// messages would not.
	options := c.Redis.ClientOptions()
	options.Conns, options.RetryFor = 2, 15*time.Minute
	client, err := sidekiq.NewClient(options)
	if err != nil {
		return false, err
	}
	if f.client != nil {
		f.client.Close()
	}
	f.config, f.client = c, client
	f.handler = &handler.Handler{
		Router: c.Router(c.Queues[0]),
		Client: client,
		Log:    f.log,
	}
	return true, nil
}
