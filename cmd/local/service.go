package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"scout/config"
	"scout/handler"
	"scout/internal/backpressure"
	"scout/internal/monitor"
	"scout/internal/sqsclient"
	"scout/sidekiq"
)

// A service is the daemon at work: a consumer for each SQS queue, and the
// Redis that they share. Its configuration can change while it works.
type service struct {
	load     func(context.Context) (*config.Config, error)
	interval time.Duration // see poller.Poller
	watched  bool          // whether anybody asks the monitor
	version  string
	log      *slog.Logger

	redis   *redisLink
	gauge   *backpressure.Watcher
	monitor *monitor.Monitor
	started time.Time
	running sync.WaitGroup // consumers, and what watches over them

	mu        sync.Mutex // of what is below
	config    *config.Config
	consumers map[string]*consumer // by queueKey
	history   monitor.Config
}

// A plan is what a configuration becomes before it takes effect. Making it
// finds out whether it can.
type plan struct {
	config    *config.Config
	client    *sidekiq.Client
	consumers map[string]*consumer // by queueKey: those that go on, and new ones
}

// queueKey tells the queues of an AWS account apart.
func queueKey(q config.Queue) string { return q.Name + q.URL }

// prepare makes a plan, and changes nothing yet.
func (s *service) prepare(ctx context.Context, c *config.Config) (*plan, error) {
	p := &plan{config: c, consumers: map[string]*consumer{}}
	client, err := sqsclient.NewSDK(ctx, c.AWS, s.log)
	if err != nil {
		return nil, err
	}
	for _, q := range c.Queues {
		key := queueKey(q)
		if s.config != nil && s.config.AWS == c.AWS && s.consumers[key] != nil {
			p.consumers[key] = s.consumers[key]
			continue
		}
		if p.consumers[key], err = newConsumer(ctx, client, q, s.log); err != nil {
			return nil, err
		}
	}
	if p.client, err = sidekiq.NewClient(c.Redis.ClientOptions()); err != nil {
		return nil, err
	}
	if err := checkRedis(ctx, p.client, config.SidekiqQueues(c.Queues...), s.log); err != nil {
		p.client.Close()
		return nil, err
	}
	return p, nil
}

// serve works by the plan, and by those that come of reloading, until ctx ends
// and all is finished. It answers at the listener, if there is one.
func (s *service) serve(ctx context.Context, p *plan, listener net.Listener, reload <-chan os.Signal) {
	s.start(ctx, p)
	behind, end := context.WithCancel(context.WithoutCancel(ctx)) // to the end, also while it stops
	var watchers sync.WaitGroup
	defer watchers.Wait()
	defer end()
	if listener != nil {
		s.log.Info("listening", "address", listener.Addr().String())
		watchers.Go(func() { s.monitor.Serve(behind, listener) })
	}
	watchers.Go(func() { watchdog(behind, func() bool { return ctx.Err() != nil || s.alive() }) })
	notify(systemd.SdNotifyReady)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-reload:
			notify(systemd.SdNotifyReloading)
			s.reload(ctx)
			notify(systemd.SdNotifyReady)
		}
	}
	notify(systemd.SdNotifyStopping)
	s.running.Wait()
	s.redis.Close()
	s.log.Info("stopped")
}

// start makes the first plan effective: it polls from then on until ctx ends.
func (s *service) start(ctx context.Context, p *plan) {
	s.started = time.Now()
	s.redis = newRedisLink(p.config.Redis, p.client, s.load, s.log)
	s.gauge = &backpressure.Watcher{Measure: s.redis.Load, Watched: s.watched, Log: s.log}
	s.monitor = monitor.New(func() monitor.Status { return s.status(ctx) })
	s.limit(p.config)
	s.gauge.Update(ctx) // before the first poll
	s.apply(ctx, p)
	s.running.Go(func() { s.gauge.Run(ctx) })
}

// reload takes over the configuration as it is now, or keeps the one in use if
// that is not possible. No poll is lost by it. Only one call may be under way.
func (s *service) reload(ctx context.Context) {
	var p *plan
	c, err := s.load(ctx)
	if err == nil {
		p, err = s.prepare(ctx, c)
	}
	if err != nil {
		s.log.Error("the configuration could not be taken over; the one before stays in use", "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.history.Failures++
		s.history.LastError = err.Error()
		return
	}
	s.redis.change(c.Redis, p.client)
	s.apply(ctx, p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.history.Reloads++
	s.log.Info("the configuration was taken over")
}

// apply makes a plan effective, but for its client.
func (s *service) apply(ctx context.Context, p *plan) {
	s.limit(p.config)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range p.config.Queues {
		c, former := p.consumers[queueKey(q)], s.consumers[queueKey(q)]
		h := handler.Handler{Client: s.redis, Log: s.log.With("sqs_queue", c.name)}
		if s.watched && former != c {
			c.observe = s.monitor.Observe(c.name)
		}
		c.change(p.config, q, h)
		s.log.Info("polling", "queue", c.poller.QueueURL, "redis", p.config.Redis.Address(), "routes", len(q.Topics))
		if former != nil && former != c {
			former.change(p.config, q, h) // for what its last polls bring
		}
		if former != c {
			s.run(ctx, c)
		}
	}
	for key, former := range s.consumers {
		if p.consumers[key] != former {
			former.stop()
		}
	}
	s.config, s.consumers = p.config, p.consumers
	s.history.Loaded, s.history.LastError = time.Now(), ""
}

// limit tells the gauge what the configuration says.
func (s *service) limit(c *config.Config) {
	s.gauge.Set(backpressure.Limits(c.Limits), config.SidekiqQueues(c.Queues...))
}

// run starts a consumer.
func (s *service) run(ctx context.Context, c *consumer) {
	ctx, c.stop = context.WithCancel(ctx)
	c.poller.Interval = s.interval
	c.poller.Ready = func(ctx context.Context) error { return s.redis.Ready(ctx, *c.queues.Load()) }
	c.poller.Failing = s.redis.Failing
	c.poller.OverLimit = func() bool { return len(s.gauge.Exceeded(*c.queues.Load())) > 0 }
	s.running.Go(func() { c.poller.Run(ctx) })
	if s.watched {
		s.running.Go(func() { c.watchDepth(ctx, s.log) })
	}
}

// alive reports whether the loops of all consumers turn.
func (s *service) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.consumers {
		if time.Since(c.poller.Stats().LoopedAt) > 5*time.Second {
			return false
		}
	}
	return true
}

// status is what the service does at the moment. It is stopping once ctx has ended.
func (s *service) status(ctx context.Context) monitor.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	load, measured := s.gauge.Load()
	status := monitor.Status{
		Version:  s.version,
		Started:  s.started,
		Stopping: ctx.Err() != nil,
		Config:   s.history,
		Redis:    monitor.Redis{Address: s.redis.Address(), Failing: s.redis.Failing()},
		Sidekiq:  []monitor.Sidekiq{},
	}
	for _, q := range s.config.Queues {
		c := s.consumers[queueKey(q)]
		status.Queues = append(status.Queues, monitor.Queue{
			Name:     c.name,
			Stats:    c.poller.Stats(),
			Exceeded: append([]string{}, s.gauge.Exceeded(*c.queues.Load())...),
			Depth:    c.depth.Load(),
		})
	}
	if measured {
		status.Redis.MemoryUsed, status.Redis.MemoryMax = load.MemoryUsed, load.MemoryMax
		for _, name := range config.SidekiqQueues(s.config.Queues...) {
			q := load.Queues[name]
			status.Sidekiq = append(status.Sidekiq, monitor.Sidekiq{Name: name, Length: q.Length, Latency: q.Latency.Seconds()})
		}
	}
	return status
}
