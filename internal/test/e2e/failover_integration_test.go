//go:build integration

package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// failovers is how many the tests make: SCOUT_FAILOVERS, or enough for CI.
var failovers, _ = strconv.Atoi(cmp.Or(os.Getenv("SCOUT_FAILOVERS"), "4"))

// The master is replaced again and again under load, in turns by SENTINEL FAILOVER
// and because it was killed. With wait for all replicas, no message is lost or
// doubled, and Scout polls again each time that all replicas are back.
func TestFailovers(t *testing.T) {
	t.Parallel()
	lost, doubled, log := testFailovers(t, env.ReplicationOptions{}, ", wait: {replicas: 2, timeout: 500ms}", failovers)
	if lost > 0 || doubled > 0 {
		t.Error("messages must not be lost or doubled")
	}
	for _, line := range []string{"polling paused", "polling resumed"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log does not contain %q", line)
		}
	}
}

// Without wait, or with fewer replicas than can be promoted, jobs are lost. The
// documentation says how many were; SCOUT_FAILOVERS measures it again.
func TestFailoverLosses(t *testing.T) {
	if os.Getenv("SCOUT_FAILOVERS") == "" {
		t.Skip("this test only measures; set SCOUT_FAILOVERS to the number of failovers")
	}
	for name, wait := range map[string]string{"no wait": "", "one of two replicas": ", wait: {replicas: 1, timeout: 500ms}"} {
		t.Run(name, func(t *testing.T) {
			if _, doubled, _ := testFailovers(t, env.ReplicationOptions{}, wait, failovers); doubled > 0 {
				t.Error("messages must not be doubled")
			}
		})
	}
}

// Sentinels and nodes that want passwords and certificates of their clients.
func TestFailoverWithPasswordsAndTLS(t *testing.T) {
	t.Parallel()
	authority := env.NewAuthority(t)
	pair, client := authority.Issue(), authority.Issue()
	options := env.ReplicationOptions{Password: "node-secret", SentinelPassword: "sentinel-secret", TLS: &pair, Authority: authority}
	wait := fmt.Sprintf(", sentinel_password: sentinel-secret, wait: {replicas: 2}, tls: {ca: %q, cert: %q, key: %q}", authority.File, client.Cert, client.Key)
	lost, doubled, log := testFailovers(t, options, wait, 1)
	if lost > 0 || doubled > 0 {
		t.Error("messages must not be lost or doubled")
	}
	if strings.Contains(log, "-secret") {
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

// testFailovers replaces the master of a replication under load. keys are those of
// the section redis besides url and sentinels.
func testFailovers(t *testing.T, options env.ReplicationOptions, keys string, failovers int) (lost, doubled int, log string) {
	r := env.NewReplication(t, 2, options)
	l := newLoad(t)
	_, stderr := scout(t, l.config(fmt.Sprintf("{url: %q, sentinels: [%s]%s}", r.URL(), strings.Join(r.SentinelAddrs(), ", "), keys)))
	stop := l.start()
	defer stop()
	awaitJobs(t, r.Master)
	for n := range failovers {
		time.Sleep(rand.N(500 * time.Millisecond)) // any moment of the load
		kind := "SENTINEL FAILOVER"
		if n%2 == 0 {
			r.Failover()
		} else {
			kind = "kill -9"
			r.CrashMaster().Start()
		}
		r.WaitUntilWhole()
		awaitJobs(t, r.Master)
		t.Logf("failover %d by %s, after %d messages", n+1, kind, l.published.Load())
	}
	stop()
	l.drained()
	r.WaitUntilWhole()
	lost, doubled = l.counts(r.Master())
	t.Logf("%d messages, %d failovers: %d lost, %d doubled", l.published.Load(), failovers, lost, doubled)
	return lost, doubled, read(t, stderr)
}
