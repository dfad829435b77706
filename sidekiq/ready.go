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
// memory, missing permissions. It tries once, and Failing reports
// the result, but for an ErrUnusable, which may be about these queues alone.
func (c *Client) Ready(ctx context.Context, queues ...string) error {
	args := []any{2 + len(queues), c.prefix + "scout:check", c.prefix + "queues"}
	for _, queue := range queues {
		args = append(args, c.prefix+"queue:"+queue)
	}
	// As Push does: a user needs the permission for both.
	_, err := c.do(ctx, "EVALSHA", append([]any{readyScript.Hash()}, args...)...)
	if isNoScript(err) {
		_, err = c.do(ctx, "EVAL", append([]any{readySource}, args...)...)
	}
	c.failing.Store(err != nil && !errors.Is(err, ErrUnusable))
	return err
}

// Info is what a Redis says of itself.
type Info struct {
	Version   string // such as "7.0.15"; that of the compatible Redis for Valkey and its like
	Cluster   bool   // Redis Cluster, which Sidekiq does not work with
	Eviction  string // the maxmemory-policy, such as "noeviction"
	Used, Max int64  // memory in bytes; Max is 0 if it is not limited
}

// Info asks Redis what it is.
func (c *Client) Info(ctx context.Context) (Info, error) {
	reply, err := redis.String(c.do(ctx, "INFO"))
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

// do sends one command on a connection of the pool.
func (c *Client) do(ctx context.Context, command string, args ...any) (any, error) {
	conn, release, err := c.get(ctx)
	if err == nil {
		defer release()
		var reply any
		if reply, err = redis.DoWithTimeout(conn, within(ctx, readTimeout), command, args...); err == nil {
			return reply, nil
		}
	}
	_, err = classify(err)
	return nil, fmt.Errorf("%s to Redis at %s: %w", command, c.address, err)
}
