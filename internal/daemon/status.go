package daemon

import (
	"context"

	"scout/config"
	"scout/internal/monitor"
)

// alive reports whether the loops of all consumers run.
func (s *Service) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.consumers {
		if stats := c.poller.Stats(); stats.Stalled() {
			return false
		}
	}
	return true
}

// status returns what the Service is doing. It is stopping once ctx has ended.
func (s *Service) status(ctx context.Context) monitor.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := monitor.Status{
		Version:  s.Version,
		Started:  s.started,
		Stopping: ctx.Err() != nil,
		Config:   s.reloads,
		Redis:    monitor.Redis{Address: s.link.Address(), Failing: s.link.Failing(), Unconfirmed: s.link.Unconfirmed()},
		Sidekiq:  []monitor.Sidekiq{},
	}
	if s.DroppedLogLines != nil {
		status.DroppedLogLines = s.DroppedLogLines()
	}
	for _, q := range s.config.Queues {
		c := s.consumers[queueKey(q)]
		status.Queues = append(status.Queues, monitor.Queue{
			Name:     c.name,
			Stats:    c.poller.Stats(),
			Exceeded: append([]string{}, s.watcher.Exceeded(*c.queues.Load())...),
			Depth:    c.depth.Load(),
		})
	}
	usage, measured := s.watcher.Load()
	if !measured {
		return status
	}
	status.Redis.MemoryUsed, status.Redis.MemoryMax = usage.MemoryUsed, usage.MemoryMax
	for _, name := range config.SidekiqQueues(s.config.Queues...) {
		q := usage.Queues[name]
		status.Sidekiq = append(status.Sidekiq, monitor.Sidekiq{Name: name, Length: q.Length, Latency: q.Latency.Seconds()})
	}
	return status
}
