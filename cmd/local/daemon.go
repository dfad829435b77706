package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	gc "runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/handler"
	"scout/internal/app"
	"scout/internal/poller"
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
	err = d.poll(ctx, log)
	if ctx.Err() != nil {
		return nil // whatever the signal interrupted
	}
	return err
}

func (d *daemon) poll(ctx context.Context, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		// The heap is small, and nearly all of it is garbage soon: 6 MB more
		// save a tenth of the work.
		gc.SetGCPercent(200)
	}
	load := func(ctx context.Context) (*config.Config, error) {
		return d.load(ctx, config.Loader{AWS: awsConfig, NeedQueue: true})
	}
	c, err := load(ctx)
	if err != nil {
		return err
	}
	redis, err := newRedisLink(c, load, log)
	if err != nil {
		return err
	}
	defer redis.Close()
	p, err := newPoller(ctx, c, log)
	if err != nil {
		return err
	}
	if err := redis.check(ctx); err != nil {
		return err
	}
	h := &handler.Handler{Router: app.NewRouter(c), Client: redis, Log: log}
	p.Handle, p.Ready, p.Troubled = h.Handle, redis.Ready, redis.Failing
	p.Interval = time.Duration(d.frequency) * time.Millisecond
	log.Info("polling", "queue", p.QueueURL, "redis", c.Redis.Address(), "routes", len(c.Queue.Topics))
	p.Run(ctx)
	log.Info("stopped")
	return nil
}

// newPoller returns a poller of the configured queue, which has no handler yet.
func newPoller(ctx context.Context, c *config.Config, log *slog.Logger) (*poller.Poller, error) {
	queue, err := newSQS(ctx, c, log)
	if err != nil {
		return nil, err
	}
	url, err := queueURL(ctx, queue, c.Queue)
	if err != nil {
		return nil, err
	}
	return &poller.Poller{
		SQS:               queue,
		QueueURL:          url,
		QueueARN:          queueARN(queue.Options().Region, url),
		WaitTime:          c.Queue.WaitTime,
		VisibilityTimeout: c.Queue.VisibilityTimeout,
		MaxMessages:       c.Queue.MaxMessages,
		Concurrency:       c.Queue.Concurrency,
		Log:               log,
	}, nil
}
