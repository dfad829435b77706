package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"scout/config"
	"scout/handler"
	"scout/internal/redislink"
	"scout/internal/sqsevent"
)

const (
	initTimeout = 8 * time.Second  // leaves some of the 10 s that Lambda gives the init phase
	retryFor    = 15 * time.Minute // longer than any invocation
)

// reloadInterval is the time between two loads of the configuration. Tests
// shorten it.
var reloadInterval = 5 * time.Minute

// A function handles batches and reloads its configuration regularly. It is safe
// for concurrent use.
type function struct {
	load    func(context.Context) (*config.Config, error)
	observe func(context.Context, handler.Stats)
	log     *slog.Logger
	link    *redislink.Link

	mu       sync.Mutex       // guards what follows
	handler  *handler.Handler // of the last configuration that could be loaded
	loadedAt time.Time        // when a load was last tried
}

// newFunction loads the configuration and returns a function. It does not connect
// to Redis: an outage must fail batches, not the init phase.
func newFunction(load func(context.Context) (*config.Config, error), observe func(context.Context, handler.Stats), log *slog.Logger) (*function, error) {
	f := &function{load: load, observe: observe, log: log, loadedAt: time.Now()}
	f.link = &redislink.Link{
		Load: func(ctx context.Context) (config.Redis, error) {
			c, err := load(ctx)
			if err != nil {
				return config.Redis{}, err
			}
			return c.Redis, nil
		},
		AWS:   awsConfig,
		Conns: 1 + lambdacontext.MaxConcurrency(),
		// While Redis is down, Push retries until the deadline and then fails the
		// whole batch. Unlike failed messages, an error makes the event source
		// mapping back off.
		RetryFor: retryFor,
		Log:      log,
	}
	ctx, cancel := context.WithTimeout(context.Background(), initTimeout)
	defer cancel()
	return f, f.update(ctx)
}

// Invoke implements lambda.Handler. It decodes the payload itself, because with
// encoding/json one odd record would fail the whole batch.
func (f *function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	event, err := sqsevent.Decode(payload)
	if err != nil {
		return nil, err
	}
	response, err := f.Handle(ctx, event)
	if err != nil {
		return nil, err
	}
	return json.Marshal(response)
}

// Handle is (*handler.Handler).Handle with the current configuration.
func (f *function) Handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	response, stats, err := f.currentHandler(ctx).Process(ctx, event)
	f.observe(ctx, stats)
	return response, err
}

// currentHandler returns the handler. If a reload is due, it reloads the
// configuration first; meanwhile, other invocations use the previous handler.
func (f *function) currentHandler(ctx context.Context) *handler.Handler {
	f.mu.Lock()
	due := time.Since(f.loadedAt) >= reloadInterval
	if due {
		f.loadedAt = time.Now()
	}
	f.mu.Unlock()
	if due {
		if err := f.update(ctx); err != nil {
			f.log.ErrorContext(ctx, "reload failed; keeping the previous configuration", "error", err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.handler
}

// update loads the configuration and makes it take effect as a whole, or returns
// an error and changes nothing. It keeps the connections to Redis if the section
// redis has not changed.
func (f *function) update(ctx context.Context) error {
	c, err := f.load(ctx)
	if err != nil {
		return err
	}
	if len(c.Queues) > 1 {
		return fmt.Errorf("the configuration has %d queues, and a Lambda function takes one: deploy a function for each, with its own configuration", len(c.Queues))
	}
	if !f.link.Uses(c.Redis) {
		client, err := f.link.NewClient(c.Redis)
		if err != nil {
			return err
		}
		f.link.SwapClient(c.Redis, client)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range c.Warnings {
		if f.handler == nil { // once, not at every reload
			f.log.WarnContext(ctx, "configuration warning", "warning", w.Error())
		}
	}
	f.handler = &handler.Handler{Router: c.Router(c.Queues[0]), Client: f.link, Log: f.log}
	return nil
}
