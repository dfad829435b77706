package sidekiq

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"

	"scout/internal/printable"
)

//go:embed ready.lua
var readySource string

var readyScript = redis.NewScript(-1, readySource)

// Ready returns nil if Redis would take jobs now, for the given queues if any
// are named. It notices what PING does not: a replica, too few replicas, full
// memory, missing permissions, replicas that do not confirm. It tries once.
// Failing then reports the result, except for an ErrUnusable, which may concern
// only these queues.
func (c *Client) Ready(ctx context.Context, queues ...string) error {
	err := c.withConn(ctx, func(conn *conn) error { return c.checkReady(ctx, conn, queues...) })
	if err != nil {
		_, err = c.server.explain(err)
		err = fmt.Errorf("checking that Redis at %s takes jobs: %w", c.server, err)
	}
	c.failing.Store(err != nil && !errors.Is(err, ErrUnusable))
	return err
}

// checkReady runs ready.lua, and waits for the replicas to have what that writes.
// If it succeeds, markers can be set again.
func (c *Client) checkReady(ctx context.Context, conn *conn, queues ...string) error {
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
	if err := c.sendWait(ctx, conn); err != nil {
		return err
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	if err := c.receiveWait(conn); err != nil {
		return err
	}
	c.unmarked.Store(false)
	return nil
}

// Info is what a Redis says about itself.
type Info struct {
	Name      string // "Redis" or "Valkey"
	Version   string // its own, such as "7.0.15"
	Redis     string // the version of Redis that it is compatible with
	Cluster   bool   // Redis Cluster, which Sidekiq does not work with
	Sentinel  bool   // a Sentinel, which takes no jobs; see Options.Sentinels
	Eviction  string // the maxmemory-policy, such as "noeviction"
	Used, Max int64  // bytes of memory; Max is 0 if there is no limit

	Role          string   // "master" or "slave"
	Replicas      []string // the addresses of a master's connected replicas
	NeedsReplicas bool     // min-replicas-to-write is set, so that a master without replicas takes no jobs
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
		return Info{}, fmt.Errorf("asking Redis at %s for its INFO: %w", c.server, err)
	}
	return parseInfo(string(reply)), nil
}

func parseInfo(reply string) Info {
	info := Info{Name: "Redis"}
	valkey := ""
	for line := range strings.Lines(reply) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		value = printable.Text(value, maxShown)
		switch key {
		case "redis_version":
			info.Redis = value
		case "valkey_version":
			valkey = value
		case "redis_mode", "server_mode":
			info.Cluster = value == "cluster"
			info.Sentinel = value == "sentinel"
		case "maxmemory_policy":
			info.Eviction = value
		case "used_memory":
			fmt.Sscan(value, &info.Used)
		case "maxmemory":
			fmt.Sscan(value, &info.Max)
		case "role":
			info.Role = value
		case "min_slaves_good_slaves": // is there only if min-replicas-to-write is set
			info.NeedsReplicas = true
		default:
			if address := replicaAddress(key, value); address != "" {
				info.Replicas = append(info.Replicas, address)
			}
		}
	}
	info.Version = info.Redis
	if valkey != "" {
		info.Name, info.Version = "Valkey", valkey
	}
	return info
}

// replicaAddress returns the address in a line such as
// "slave0:ip=10.0.0.2,port=6379,state=online,offset=1,lag=0" of INFO, or "" if
// the line is another one or the replica is not connected.
func replicaAddress(key, value string) string {
	number, ok := strings.CutPrefix(key, "slave")
	if _, err := strconv.Atoi(number); !ok || err != nil {
		return ""
	}
	fields := map[string]string{}
	for field := range strings.SplitSeq(value, ",") {
		name, value, _ := strings.Cut(field, "=")
		fields[name] = value
	}
	if fields["state"] != "online" {
		return ""
	}
	return net.JoinHostPort(fields["ip"], fields["port"])
}
