//go:build integration

package env

import (
	"testing"

	"github.com/gomodule/redigo/redis"
)

// What is in the master when it is replaced is in the next one too, and a killed
// master returns as a replica.
func TestReplication(t *testing.T) {
	t.Parallel()
	authority := NewAuthority(t)
	pair := authority.Issue()
	for name, options := range map[string]ReplicationOptions{
		"open":              {},
		"passwords and TLS": {Password: "node-secret", SentinelPassword: "sentinel-secret", TLS: &pair, Authority: authority},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testReplication(t, NewReplication(t, 2, options))
		})
	}
}

func testReplication(t *testing.T, r *Replication) {
	everywhere := func() bool {
		for _, node := range r.Nodes {
			if x, _ := redis.Int(node.Do("GET", "x")); x != 1 {
				return false
			}
		}
		return true
	}
	r.Master().Must("SET", "x", 1)
	r.wait("the replicas do not have x", everywhere)
	r.Failover()
	r.WaitUntilWhole()
	second := r.CrashMaster()
	second.Start()
	r.WaitUntilWhole()
	if !everywhere() {
		t.Error("a node has lost x")
	}
	if role, err := redis.Values(second.Do("ROLE")); err != nil || string(role[0].([]byte)) != "slave" {
		t.Errorf("the killed master has the role %s, %v; want slave", role, err)
	}
}
