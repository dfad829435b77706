package sidekiq

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"
)

//go:embed ready.lua
var readySource string

var readyScript = redis.NewScript(-1, readySource)

// Ready returns nil if Redis would take jobs now, for the given queues if any
// are named. It finds what PING does not: a replica, too few replicas, full
// memory, missing permissions. It tries once, and Failing then reports the
// result, except for an ErrUnusable, which may concern only these queues.
func (c *Client) Ready(ctx context.Context, queues ...string) error {
	args := []any{2 + len(queues), c.prefix + "scout:check", c.prefix + "queues"}
	for _, queue := range queues {
		args = append(args, c.prefix+"queue:"+queue)
	}
	// Push uses both commands, so the user needs permission for both.
	_, err := c.command(ctx, "EVALSHA", append([]any{readyScript.Hash()}, args...)...)
	if isNoScript(err) {
		_, err = c.command(ctx, "EVAL", append([]any{readySource}, args...)...)
	}
	c.failing.Store(err != nil && !errors.Is(err, ErrUnusable))
	return err
}

// Info is what a Redis says about itself.
type Info struct {
	Version   string // such as "7.0.15"; of Valkey and others, the Redis version they are compatible with
	Cluster   bool   // Redis Cluster, which Sidekiq does not work with
	Eviction  string // the maxmemory-policy, such as "noeviction"
	Used, Max int64  // bytes of memory; Max is 0 if there is no limit
}

// Info asks Redis about itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	reply, err := redis.String(c.command(ctx, "INFO"))
	if err != nil {
		return Info{}, err
	}
	return parseInfo(reply), nil
}

func parseInfo(reply string) Info {
	var info Info
	for line := range strings.Lines(reply) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "redis_version":
			info.Version = value
		case "redis_mode":
			info.Cluster = value == "cluster"
		case "maxmemory_policy":
			info.Eviction = value
		case "used_memory":
			fmt.Sscan(value, &info.Used)
		case "maxmemory":
			fmt.Sscan(value, &info.Max)
		}
	}
	return info
}

// command sends one command and returns its reply.
func (c *Client) command(ctx context.Context, name string, args ...any) (reply any, err error) {
	err = c.withConn(ctx, func(conn *conn) error {
		reply, err = conn.Do(name, args...)
		return err
	})
	if err != nil {
		_, err = classify(err)
		return nil, fmt.Errorf("%s to Redis at %s: %w", name, c.address, err)
	}
	return reply, nil
}
