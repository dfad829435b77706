package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"scout/sidekiq"
)

// checkRedis rejects a Redis that cannot be used, and warns of one that may lose
// jobs. A Redis that is down is accepted.
func (s *Service) checkRedis(ctx context.Context, client *sidekiq.Client, queues []string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	info, err := client.Info(ctx)
	if err == nil && info.Cluster {
		return fmt.Errorf("%w: Redis at %s is a cluster, which Sidekiq does not support; use one without cluster mode", sidekiq.ErrUnusable, client.Address())
	}
	if err == nil && info.Eviction != "noeviction" && info.Eviction != "" {
		s.Log.Warn("Redis evicts keys when its memory is full", "maxmemory_policy", info.Eviction, "advice", EvictionAdvice(info.Eviction))
	}
	err = client.Ready(ctx, queues...)
	if errors.Is(err, sidekiq.ErrCredentials) || errors.Is(err, sidekiq.ErrUnusable) {
		return err
	}
	return nil
}

// EvictionAdvice says what a maxmemory-policy other than noeviction causes, and
// what to do.
func EvictionAdvice(policy string) string {
	if strings.HasPrefix(policy, "allkeys") {
		return "jobs will be lost; set maxmemory-policy to noeviction"
	}
	return "a message delivered twice may become two jobs; set maxmemory-policy to noeviction"
}
