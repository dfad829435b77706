//go:build integration

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// Sentinels, and nodes that want passwords and certificates of their clients. The
// master is replaced under load by SENTINEL FAILOVER, and because it was killed. make
// torture does so for longer.
func TestFailoverWithPasswordsAndTLS(t *testing.T) {
	t.Parallel()
	authority := env.NewAuthority(t)
	pair, client := authority.Issue(), authority.Issue()
	options := env.ReplicationOptions{Password: "node-secret", SentinelPassword: "sentinel-secret", TLS: &pair, Authority: authority}
	wait := fmt.Sprintf(", sentinel_password: sentinel-secret, wait: {replicas: 2}, tls: {ca: %q, cert: %q, key: %q}", authority.File, client.Cert, client.Key)
	r := env.NewReplication(t, 2, options)
	l := newLoad(t)
	_, stderr := scout(t, l.config(fmt.Sprintf("{url: %q, sentinels: [%s]%s}", r.URL(), strings.Join(r.SentinelAddrs(), ", "), wait)))
	stop := l.start()
	defer stop()
	awaitJobs(t, r.Master)
	for _, replace := range []func(){r.Failover, func() { r.CrashMaster().Start() }} {
		replace()
		r.WaitUntilWhole()
		awaitJobs(t, r.Master)
	}
	stop()
	l.drained()
	r.WaitUntilWhole()
	l.mustBeOnce(r.Master())
	if strings.Contains(read(t, stderr), "-secret") {
		t.Error("the log contains a password")
	}
}

// While its only replica is away, a master takes jobs that Scout must not count. Nor
// must it when it tries again and finds their markers.
func TestUnconfirmed(t *testing.T) {
	t.Parallel()
	const messages = 5
	r := env.NewReplication(t, 1, env.ReplicationOptions{})
	master, replica := r.Nodes[0], r.Nodes[1]
	l := newLoad(t)
	scout(t, l.config(fmt.Sprintf("{url: %q, wait: {replicas: 1, timeout: 100ms}}", master.URL())))
	l.publish(1)
	l.drained()
	replica.Kill()
	l.publish(messages)
	eventually(t, "the master has the jobs, and Scout has waited for the replica again and again", func() bool {
		stats, _ := redis.String(master.Do("INFO", "commandstats"))
		_, stats, _ = strings.Cut(stats, "cmdstat_wait:calls=")
		calls, _, _ := strings.Cut(stats, ",")
		n, _ := strconv.Atoi(calls)
		jobs, _ := redis.Int(master.Do("LLEN", "queue:default"))
		return jobs == 1+messages && n > 5
	})
	if n := l.depth(); n != messages {
		t.Errorf("SQS has %d messages, want the %d whose jobs no replica has", n, messages)
	}
	replica.Start()
	l.drained()
	l.mustBeOnce(master)
}
