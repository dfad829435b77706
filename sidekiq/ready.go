package sidekiq

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"scout/internal/printable"
)

//go:embed ready.lua
var readySource string

var readyScript = redis.NewScript(-1, readySource)

// Ready returns nil if Redis would take jobs now, for the given queues if any
// are named. It finds what PING does not: a replica, too few replicas, full
// memory, missing permissions. It tries once, and Failing then reports the
// result, except for an ErrUnusable, which may concern only these queues.
func (c *Client) Ready(ctx context.Context, queues ...string) error {
	err := c.withConn(ctx, func(conn *conn) error { return c.checkReady(conn, queues...) })
	if err != nil {
		_, err = c.server.explain(err)
		err = fmt.Errorf("checking that Redis at %s takes jobs: %w", c.server.address, err)
	}
	c.failing.Store(err != nil && !errors.Is(err, ErrUnusable))
	return err
}

// checkReady runs ready.lua. If it succeeds, markers can be set again.
func (c *Client) checkReady(conn *conn, queues ...string) error {
	args := []any{2 + len(queues), c.prefix + "scout:check", c.prefix + "queues"}
	for _, queue := range queues {
		args = append(args, c.prefix+"queue:"+queue)
	}
	// Push uses both commands, so the user needs permission for both.
	reply, err := conn.Do("EVALSHA", append([]any{readyScript.Hash()}, args...)...)
	if isNoScript(err) {
		reply, err = conn.Do("EVAL", append([]any{readySource}, args...)...)
	}
	switch {
	case err != nil:
		return err
	case reply != int64(1):
		return errUnexpectedReply
	}
	c.unmarked.Store(false)
	return nil
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
	var reply []byte
	err := c.withConn(ctx, func(conn *conn) (err error) {
		reply, err = as[[]byte](conn.Do("INFO"))
		return err
	})
	if err != nil {
		_, err = c.server.explain(err)
		return Info{}, fmt.Errorf("asking Redis at %s for its INFO: %w", c.server.address, err)
	}
	return parseInfo(string(reply)), nil
}

func parseInfo(reply string) Info {
	var info Info
	for line := range strings.Lines(reply) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = printable.Text(value, maxShown)
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
