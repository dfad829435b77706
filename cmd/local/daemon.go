package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/app"
	"scout/internal/poller"
	"scout/sidekiq"
)

// A daemon is the command that polls until a signal.
type daemon struct {
	*options
	frequency int
}

func (d *daemon) flags(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&d.frequency, "freq", "f", 100, "poll an idle queue again after `N` milliseconds")
}

func (d *daemon) run(cmd *cobra.Command, _ []string) error {
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	log, err := d.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if d.frequency < 1 {
		return &failedError{errors.New("--freq: at least 1 ms"), exitUsage}
	}
	c, err := d.load(ctx, true)
	if err != nil {
		return err
	}
	p, client, err := newPoller(ctx, c, log)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := checkRedis(ctx, client, log); err != nil {
		return err
	}
	p.Interval = time.Duration(d.frequency) * time.Millisecond
	log.Info("polling", "queue", p.QueueURL, "redis", client.Address(), "routes", len(c.Queue.Topics))
	p.Run(ctx)
	log.Info("stopped")
	return nil
}

// newPoller connects the configured queue to the configured Redis.
func newPoller(ctx context.Context, c *config.Config, log *slog.Logger) (*poller.Poller, *sidekiq.Client, error) {
	h, client, err := app.New(c, app.Limits{}, log)
	if err != nil {
		return nil, nil, err
	}
	queue, err := newSQS(ctx, c, log)
	if err != nil {
		return nil, nil, err
	}
	url, err := queueURL(ctx, queue, c.Queue)
	if err != nil {
		return nil, nil, err
	}
	return &poller.Poller{
		SQS:               queue,
		QueueURL:          url,
		QueueARN:          queueARN(queue.Options().Region, url),
		Handle:            h.Handle,
		Ready:             func(ctx context.Context) error { return client.Ready(ctx) },
		Troubled:          client.Failing,
		WaitTime:          c.Queue.WaitTime,
		VisibilityTimeout: c.Queue.VisibilityTimeout,
		MaxMessages:       c.Queue.MaxMessages,
		Concurrency:       c.Queue.Concurrency,
		Log:               log,
	}, client, nil
}

// checkRedis refuses a Redis that will never do, and warns of one that will
// lose jobs. One that is down only now is no reason not to start.
func checkRedis(ctx context.Context, client *sidekiq.Client, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := client.Info(ctx)
	if err == nil && info.Cluster {
		return fmt.Errorf("%w: Redis at %s is a cluster, which Sidekiq does not work with", sidekiq.ErrUnusable, client.Address())
	}
	if err == nil && info.Eviction != "noeviction" && info.Eviction != "" {
		log.Warn("this Redis evicts keys when its memory is full: "+evictionAdvice(info.Eviction), "maxmemory_policy", info.Eviction)
	}
	if err = client.Ready(ctx); errors.Is(err, sidekiq.ErrCredentials) || errors.Is(err, sidekiq.ErrUnusable) {
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
