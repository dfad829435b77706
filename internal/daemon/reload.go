package daemon

import (
	"context"
	"errors"
	"time"

	"scout/config"
	"scout/internal/backpressure"
	"scout/internal/budget"
	"scout/internal/monitor"
	"scout/internal/sqsclient"
	"scout/sidekiq"
)

// reload loads the configuration and makes it take effect. If that fails, the
// previous one stays in use as a whole.
func (s *Service) reload(ctx context.Context) {
	c, err := s.Load(ctx)
	if err != nil {
		err = &planError{monitor.ReasonConfig, err}
	} else {
		err = s.takeOver(ctx, c)
	}
	if err != nil && ctx.Err() != nil {
		return // the Service is stopping, which may have caused the error
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.Log.Info("configuration reloaded", "redis", c.Redis.Address(), "queues", len(c.Queues))
		s.reloads.Reloads++
		return
	}
	s.reloads.Failures++
	s.reloads.LastError, s.reloads.LastErrorReason = err.Error(), monitor.ReasonConfig
	if failed, ok := errors.AsType[*planError](err); ok {
		s.reloads.LastErrorReason = failed.reason
	}
	s.Log.Error("reload failed; keeping the previous configuration", "reason", s.reloads.LastErrorReason, "error", err)
}

// A planError is why a configuration cannot take effect.
type planError struct {
	reason string // one of monitor.ReloadReasons
	error
}

func (e *planError) Unwrap() error { return e.error }

// takeOver makes a configuration take effect, or returns a *planError and changes
// nothing. It is the only way for a configuration to take effect, at the start
// and later. Calls must not overlap.
func (s *Service) takeOver(ctx context.Context, c *config.Config) error {
	p, err := s.preparePlan(ctx, c)
	if err != nil {
		return err
	}
	s.applyPlan(ctx, p)
	for _, w := range c.Warnings {
		s.Log.Warn("configuration warning", "warning", w.Error())
	}
	return nil
}

// A plan is a configuration that can take effect, with its Redis client and its
// consumers.
type plan struct {
	config    *config.Config
	redis     *sidekiq.Client
	consumers map[string]*consumer // by queueKey: running ones that stay, and new ones
}

// queueKey identifies a queue within a configuration.
func queueKey(q config.Queue) string { return q.Name + q.URL }

// preparePlan checks whether a configuration can take effect. It changes nothing.
func (s *Service) preparePlan(ctx context.Context, c *config.Config) (*plan, error) {
	p := &plan{config: c, consumers: map[string]*consumer{}}
	client, err := sqsclient.New(ctx, c.AWS, s.Log)
	if err != nil {
		return nil, &planError{monitor.ReasonAWS, err}
	}
	client.SetGate(s.budget)
	for _, q := range c.Queues {
		key := queueKey(q)
		if s.config != nil && s.config.AWS == c.AWS && s.consumers[key] != nil {
			p.consumers[key] = s.consumers[key]
			continue
		}
		if p.consumers[key], err = s.newConsumer(ctx, client, q); err != nil {
			return nil, &planError{monitor.ReasonQueue, err}
		}
	}
	if p.redis, err = s.link.NewClient(c.Redis); err != nil {
		return nil, &planError{monitor.ReasonRedis, err}
	}
	if err := s.checkRedis(ctx, p); err != nil {
		p.redis.Close()
		return nil, &planError{monitor.ReasonRedis, err}
	}
	return p, nil
}

// applyPlan makes a plan take effect, from the next message and the next poll on.
// Polls in flight are not cut off, not even those of queues that are removed.
func (s *Service) applyPlan(ctx context.Context, p *plan) {
	if s.link.Uses(p.config.Redis) {
		p.redis.Close()
	} else {
		s.link.SwapClient(p.config.Redis, p.redis)
	}
	s.watcher.Set(backpressure.Limits(p.config.Limits), config.SidekiqQueues(p.config.Queues...))
	s.watcher.Update(ctx) // before the first poll of a new queue
	s.budget.SetMax(p.config.MaxBytes)
	if s.LimitMemory != nil {
		s.LimitMemory(budget.MemoryLimit(p.config.MaxBytes))
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range p.config.Queues {
		c, former := p.consumers[queueKey(q)], s.consumers[queueKey(q)]
		s.configure(c, p.config, q)
		if former != nil && former != c {
			s.configure(former, p.config, q) // for the messages that its last polls receive
		}
		if former != c {
			s.startConsumer(ctx, c)
			c.log.Info("polling started", "queue", c.poller.QueueURL, "redis", p.config.Redis.Address(), "routes", len(q.Topics))
		}
	}
	for key, former := range s.consumers {
		if p.consumers[key] != former {
			former.stop()
		}
	}
	s.config, s.consumers = p.config, p.consumers
	s.reloads.Loaded, s.reloads.LastError, s.reloads.LastErrorReason = time.Now(), "", ""
}
