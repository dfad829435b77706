package devstack

import (
	"strings"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// redisInfo is the reply to INFO, with the fields that Sidekiq, its Web UI and Scout read.
const redisInfo = `redis_version:7.0.15
redis_mode:standalone
uptime_in_days:0
connected_clients:1
used_memory:1048576
used_memory_human:1.00M
used_memory_peak_human:1.00M
maxmemory:0
maxmemory_policy:noeviction
`

// StartRedis starts a Redis in this process that can take jobs from Scout and serve a real Sidekiq.
// With port 0 in addr, it listens on a free port, which Addr returns. The caller closes it.
func StartRedis(addr string) (*miniredis.Miniredis, error) {
	m := miniredis.NewMiniRedis()
	m.ClockTTL(true)
	if err := m.StartAddr(addr); err != nil {
		return nil, err
	}
	m.Server().SetPreHook(func(c *server.Peer, command string, _ ...string) bool {
		if command != "INFO" {
			return false
		}
		c.WriteBulk(strings.ReplaceAll(redisInfo, "\n", "\r\n"))
		return true
	})
	return m, nil
}
