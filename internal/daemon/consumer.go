package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/handler"
	"scout/internal/monitor"
	"scout/internal/poller"
	"scout/internal/sqsclient"
)

// A consumer polls one SQS queue. Its configuration can change while it polls.
type consumer struct {
	name   string // of the queue
	client *sqsclient.Client
	poller *poller.Poller
	log    *slog.Logger

	observe []func(handler.Stats) // called with the Stats of each batch
	handler atomic.Pointer[handler.Handler]
	queues  atomic.Pointer[[]string] // the Sidekiq queues that it pushes to
	depth   atomic.Pointer[monitor.Depth]

	queue       sqsclient.Queue
	stopTimeout time.Duration // from the end of Run's context to the end of Run; guarded by Service.mu
	stop        context.CancelFunc
}

// newConsumer finds the queue and returns its consumer. Call configure, and then
// startConsumer.
func (s *Service) newConsumer(ctx context.Context, client *sqsclient.Client, q config.Queue) (*consumer, error) {
	url, err := client.QueueURL(ctx, q)
	if err != nil {
		return nil, err
	}
	c := &consumer{name: config.QueueName(url), client: client}
	c.log = s.Log.With("sqs_queue", c.name)
	c.queue, err = client.DescribeQueue(ctx, url)
	// If access to this call is denied, polling may still work. Any other error means
	// that the queue is missing or cannot be polled.
	if err != nil && !sqsclient.IsDenied(err) {
		return nil, err
	}
	if err != nil {
		c.log.Warn("queue attributes unavailable; assuming a visibility timeout of 30 s", "error", err)
	}
	c.poller = &poller.Poller{
		SQS:        client,
		QueueURL:   url,
		Handle:     c.handle,
		QueueARN:   c.queue.ARN,
		Visibility: c.queue.VisibilityTimeout,
		Ready:      func(ctx context.Context) error { return s.link.Ready(ctx, *c.queues.Load()...) },
		Failing:    s.link.Failing,
		OverLimit:  func() bool { return len(s.watcher.Exceeded(*c.queues.Load())) > 0 },
		Interval:   s.Interval,
		Log:        c.log,
	}
	return c, nil
}

// configure applies a configuration to a consumer, from the next message and the next poll on.
func (s *Service) configure(c *consumer, all *config.Config, q config.Queue) {
	queues := config.SidekiqQueues(q)
	c.queues.Store(&queues)
	c.handler.Store(&handler.Handler{
		Router: all.Router(q), Client: s.link, MaxReceiveCount: c.queue.MaxReceiveCount, Log: c.log,
		ReleaseBodies: !s.Detailed, Detailed: s.Detailed,
	})
	c.stopTimeout = all.ShutdownTimeout
	if q.WaitTime == 0 { // then the queue's own wait time applies
		c.stopTimeout = max(c.stopTimeout, c.queue.WaitTime+config.StopTime)
	}
	c.poller.Tune(poller.Tuning{
		WaitTime:          q.WaitTime,
		VisibilityTimeout: q.VisibilityTimeout,
		MaxMessages:       q.MaxMessages,
		Concurrency:       q.Concurrency,
		StopTimeout:       c.stopTimeout,
	})
}

func (c *consumer) handle(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
	response, stats, err := c.handler.Load().Process(ctx, event)
	for _, observe := range c.observe {
		observe(stats)
	}
	return response, err
}

// startConsumer starts a configured consumer. It polls until ctx ends or it is
// stopped.
func (s *Service) startConsumer(ctx context.Context, c *consumer) {
	ctx, c.stop = context.WithCancel(ctx)
	if s.Observe != nil {
		c.observe = append(c.observe, s.Observe)
	}
	if s.Listener != nil {
		c.observe = append(c.observe, s.monitor.Observe(c.name))
		s.polling.Go(func() { c.watchDepth(ctx) })
	}
	account := s.budget.NewAccount()
	c.poller.Budget = account
	s.polling.Go(func() {
		defer account.Close()
		c.poller.Run(ctx)
	})
}

// depthInterval is the time between two reads of a queue's depth.
const depthInterval = 30 * time.Second

// watchDepth keeps c.depth up to date until ctx ends.
func (c *consumer) watchDepth(ctx context.Context) {
	for failed := false; ; {
		depth, err := c.readDepth(ctx)
		if ctx.Err() == nil {
			c.depth.Store(depth)
			if err != nil && !failed {
				c.log.Warn("queue depth unavailable", "error", err)
			}
			failed = err != nil
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(depthInterval):
		}
	}
}

func (c *consumer) readDepth(ctx context.Context) (*monitor.Depth, error) {
	n, err := c.client.QueueAttributes(ctx, c.poller.QueueURL, types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
	if err != nil {
		return nil, err
	}
	return &monitor.Depth{
		Visible:  n[types.QueueAttributeNameApproximateNumberOfMessages],
		InFlight: n[types.QueueAttributeNameApproximateNumberOfMessagesNotVisible],
		Delayed:  n[types.QueueAttributeNameApproximateNumberOfMessagesDelayed],
	}, nil
}
