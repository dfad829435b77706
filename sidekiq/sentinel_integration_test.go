//go:build integration

package sidekiq

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// A client that knows one sentinel follows two failovers.
func TestSentinel(t *testing.T) {
	authority := env.NewAuthority(t)
	pair := authority.Issue()
	for name, c := range map[string]struct {
		options   env.ReplicationOptions
		configure func(*Options)
	}{
		"open": {configure: func(o *Options) { o.URL = "redis://" + env.MasterName + "/2" }},
		"passwords and TLS": {
			env.ReplicationOptions{Password: "node-secret", SentinelPassword: "sentinel-secret", TLS: &pair, Authority: authority},
			func(o *Options) {
				o.URL, o.SentinelPassword = "rediss://:node-secret@"+env.MasterName+"/2", "sentinel-secret"
				o.TLS = TLS{CA: authority.File, Cert: pair.Cert, Key: pair.Key}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := env.NewReplication(t, 1, c.options)
			client := newTestClient(t, "", func(o *Options) {
				c.configure(o)
				o.Sentinels, o.RetryFor = r.SentinelAddrs()[:1], time.Minute
			})
			for i, failOver := range []func(){func() {}, r.Failover, func() { r.CrashMaster().Start() }} {
				failOver()
				r.WaitUntilWhole() // until then, the former master still takes jobs, and loses them
				queue := fmt.Sprint(i)
				mustPush(t, client, testJobs(queue, 3))
				master := r.Master()
				if n, err := redis.Int(do2(t, master, "LLEN", "queue:"+queue), nil); n != 3 || err != nil {
					t.Errorf("%d jobs of push %s in the master, want 3", n, queue)
				}
				if want := env.MasterName + " (" + master.Addr + ")"; client.Address() != want || len(client.Sentinels()) != 3 {
					t.Errorf("the client uses %s, with the sentinels %v; want %s and all 3", client.Address(), client.Sentinels(), want)
				}
			}
		})
	}
}

// do2 runs a command in database 2.
func do2(t *testing.T, server *env.RedisServer, command string, args ...any) any {
	t.Helper()
	return server.Must("EVAL", append([]any{"redis.call('SELECT', 2) return redis.call(unpack(ARGV))", 0, command}, args...)...)
}

// A Sentinel that is given as the Redis is recognized.
func TestSentinelAsRedis(t *testing.T) {
	r := env.NewReplication(t, 0, env.ReplicationOptions{})
	client := newTestClient(t, r.Sentinels[0].Addr, nil)
	info, err := client.Info(t.Context())
	if err != nil || !info.Sentinel {
		t.Errorf("Info = %+v, %v; want a Sentinel", info, err)
	}
	if _, err := client.Push(t.Context(), testJobs("q", 1)); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "redis.sentinels") {
		t.Errorf("error = %v, want ErrUnusable with advice", err)
	}
}
