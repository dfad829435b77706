package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/handler"
	"scout/internal/monitor"
	"scout/internal/poller"
	"scout/internal/sqsclient"
)

// A consumer polls one SQS queue. What it makes of the messages can change
// while it polls.
type consumer struct {
	name    string // of the queue
	client  *sqs.Client
	poller  *poller.Poller
	handler atomic.Pointer[handler.Handler]
	observe func(handler.Stats)      // called at the end of each batch, if not nil
	queues  atomic.Pointer[[]string] // of Sidekiq, that it pushes to
	depth   atomic.Pointer[monitor.Depth]
	ownWait time.Duration      // the queue's own wait time, which holds if the configuration says 0
	stop    context.CancelFunc // ends poller's Run
}

// newConsumer finds the queue. The consumer has no handler yet.
func newConsumer(ctx context.Context, client *sqs.Client, q config.Queue, log *slog.Logger) (*consumer, error) {
	url, err := sqsclient.QueueURL(ctx, client, q)
	if err != nil {
		return nil, err
	}
	attributes, err := sqsclient.QueueAttributes(ctx, client, url, types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameReceiveMessageWaitTimeSeconds)
	if err != nil && ctx.Err() == nil {
		log.Warn("taking 30 s for the queue's visibility timeout", "error", err)
	}
	c := &consumer{name: config.QueueName(url), client: client}
	c.ownWait = time.Duration(attributes[types.QueueAttributeNameReceiveMessageWaitTimeSeconds]) * time.Second
	c.poller = &poller.Poller{
		SQS:        sqsclient.New(client),
		QueueURL:   url,
		QueueARN:   sqsclient.QueueARN(client.Options().Region, url),
		Visibility: time.Duration(attributes[types.QueueAttributeNameVisibilityTimeout]) * time.Second,
		Handle: func(ctx context.Context, event events.SQSEvent) (events.SQSEventResponse, error) {
			response, stats, err := c.handler.Load().Process(ctx, event)
			if c.observe != nil {
				c.observe(stats)
			}
			return response, err
		},
		Log: log.With("sqs_queue", c.name),
	}
	return c, nil
}

// change makes the consumer do as the configuration says, from the next
// message and the next poll on.
func (c *consumer) change(all *config.Config, q config.Queue, h handler.Handler) {
	h.Router = all.Router(q)
	queues := config.SidekiqQueues(q)
	c.handler.Store(&h)
	c.queues.Store(&queues)
	stop := all.ShutdownTimeout
	if q.WaitTime == 0 {
		stop = max(stop, c.ownWait+config.StopTime)
	}
	c.poller.Tune(poller.Tuning{
		WaitTime:          q.WaitTime,
		VisibilityTimeout: q.VisibilityTimeout,
		MaxMessages:       q.MaxMessages,
		Concurrency:       q.Concurrency,
		StopTimeout:       stop,
	})
}

// depthEvery is how often the queue's depth is asked for.
const depthEvery = 30 * time.Second

// watchDepth keeps the queue's depth until ctx ends.
func (c *consumer) watchDepth(ctx context.Context, log *slog.Logger) {
	for said := false; ; {
		n, err := sqsclient.QueueAttributes(ctx, c.client, c.poller.QueueURL, types.QueueAttributeNameApproximateNumberOfMessages,
			types.QueueAttributeNameApproximateNumberOfMessagesNotVisible, types.QueueAttributeNameApproximateNumberOfMessagesDelayed)
		switch {
		case err == nil:
			said = false
			c.depth.Store(&monitor.Depth{
				Visible:  n[types.QueueAttributeNameApproximateNumberOfMessages],
				InFlight: n[types.QueueAttributeNameApproximateNumberOfMessagesNotVisible],
				Delayed:  n[types.QueueAttributeNameApproximateNumberOfMessagesDelayed],
			})
		case ctx.Err() == nil:
			c.depth.Store(nil)
			if !said {
				log.Warn("the depth of the queue is not known", "error", err)
			}
			said = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(depthEvery):
		}
	}
}
