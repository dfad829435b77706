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
	first := r.Master()
	first.Must("SET", "x", 1)
	first.Must("WAIT", 2, 0)
	r.Failover()
	r.WaitUntilWhole()
	second := r.CrashMaster()
	second.Start()
	r.WaitUntilWhole()
	for _, node := range r.Nodes {
		if x, err := redis.Int(node.Do("GET", "x")); x != 1 {
			t.Errorf("the node at %s has x = %d, %v; want 1", node.Addr, x, err)
		}
	}
	if role, err := redis.Values(second.Do("ROLE")); err != nil || string(role[0].([]byte)) != "slave" {
		t.Errorf("the killed master has the role %s, %v; want slave", role, err)
	}
}
