package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"scout/config"
	"scout/sidekiq"
)

const checkTimeout = 5 * time.Second

// checkRedis returns an error if the Redis of a plan must not be used, and logs a
// warning if it may lose jobs. It rejects a Redis that cannot be used as it is set
// up. It accepts one that only takes no jobs at the moment, unless the Redis in use
// takes jobs.
func (s *Service) checkRedis(ctx context.Context, p *plan) error {
	if p.config.Redis.TLS.SkipVerify {
		s.Log.Warn("Redis certificate not verified", "advice", "an attacker on the network can pose as Redis; set redis.tls.ca instead of verify: false")
	}
	checkCtx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	info, err := p.redis.Info(checkCtx)
	if err == nil && info.Cluster {
		return fmt.Errorf("%w: Redis at %s is a cluster, which Sidekiq does not support; use one without cluster mode", sidekiq.ErrUnusable, p.redis.Address())
	}
	if err == nil && info.Eviction != "noeviction" && info.Eviction != "" {
		s.Log.Warn("Redis evicts keys when its memory is full", "maxmemory_policy", info.Eviction, "advice", EvictionAdvice(info.Eviction))
	}
	err = p.redis.Ready(checkCtx, config.SidekiqQueues(p.config.Queues...)...)
	if err == nil || errors.Is(err, sidekiq.ErrCredentials) || errors.Is(err, sidekiq.ErrUnusable) {
		return err
	}
	if s.config != nil && !s.link.Uses(p.config.Redis) && s.inUseReady(ctx) {
		return fmt.Errorf("the new Redis takes no jobs, and the one in use does: %w", err)
	}
	return nil
}

// inUseReady reports whether the Redis in use takes jobs.
func (s *Service) inUseReady(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return s.link.Ready(ctx) == nil
}

// EvictionAdvice says what a maxmemory-policy other than noeviction causes, and
// what to do.
func EvictionAdvice(policy string) string {
	if strings.HasPrefix(policy, "allkeys") {
		return "jobs will be lost; set maxmemory-policy to noeviction"
	}
	return "a message delivered twice may become two jobs; set maxmemory-policy to noeviction"
}
