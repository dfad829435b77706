//go:build integration

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// checkOnline runs scout check --online with the section redis, a flow mapping, and
// returns its exit code and its findings.
func checkOnline(t *testing.T, redis string) (code int, findings string) {
	t.Helper()
	return checkOnlineConfig(t, "redis: "+redis+"\nqueue: {topics: {orders: OrderWorker}}\n")
}

func checkOnlineConfig(t *testing.T, text string) (code int, findings string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scout.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), []string{"check", "--online", "-c", file}, nil, &stdout, &stderr)
	_, findings, found := strings.Cut(stdout.String(), "the Lambda function does not.\n")
	if !found {
		t.Fatalf("scout check wrote:\n%s%s", &stdout, &stderr)
	}
	return code, findings
}

func TestCheckRedis(t *testing.T) {
	t.Parallel()
	r := env.NewReplication(t, 2, env.ReplicationOptions{})
	sentinels := strings.Join(r.SentinelAddrs(), ", ")
	master := r.Master().Addr
	replica := r.Nodes[1].Addr
	valkey, selfSigned := env.Valkey(t), env.RedisTLS(t, env.SelfSigned(t), nil)
	url := func(text string) string { return fmt.Sprintf("url: %q", text) }
	const twoReplicas = `the master has 2 replicas \(127.0.0.1:\d+, 127.0.0.1:\d+\)`
	for _, c := range []struct {
		name, redis string
		code        int
		want        []string // regular expressions of findings
	}{
		{"Valkey", url(valkey.URL()), 0, []string{`ok    Valkey 9\.\d+\.\d+ at ` + valkey.Addr + ` answers`, `ok    the master has 0 replicas`}},
		{"Sentinel as Redis", url("redis://" + r.Sentinels[0].Addr), 1, []string{`FAIL  ` + r.Sentinels[0].Addr + ` is a Sentinel, .* redis.sentinels`}},
		{"replica", url("redis://" + replica), 1, []string{`FAIL  Redis at ` + replica + ` is a replica, .* redis.sentinels`}},
		{"no wait", url("redis://" + master), 0, []string{`warn  ` + twoReplicas + `, but Scout does not wait .* redis.wait.replicas to 2, or at least min-replicas-to-write`}},
		{"wait for 1 of 2", url("redis://"+master) + ", wait: {replicas: 1, timeout: 5s}", 0, []string{`warn  ` + twoReplicas + `, but Scout waits for only 1`}},
		{"wait for 2 of 2", url("redis://"+master) + ", wait: {replicas: 2, timeout: 5s}", 0, []string{`ok    ` + twoReplicas + `, and Scout waits`, `ok    Redis accepts jobs`}},
		{"wait for 3 of 2", url("redis://"+master) + ", wait: {replicas: 3}", 1, []string{`FAIL  redis.wait needs 3 replicas .* but ` + twoReplicas}},
		{"sentinels", url(r.URL()) + ", sentinels: [" + sentinels + "]", 0, []string{
			`ok    Redis 7.* at ` + env.MasterName + ` \(` + master + `\) answers`,
			`ok    the sentinel at ` + r.Sentinels[2].Addr + ` names this master`,
		}},
		{"one of three sentinels", url(r.URL()) + ", sentinels: [" + r.Sentinels[1].Addr + "]", 0, []string{`ok    the sentinels know one more, at ` + r.Sentinels[0].Addr}},
		{"a sentinel that is down", url(r.URL()) + ", sentinels: [" + sentinels + `, "127.0.0.1:1"]`, 0, []string{`warn  .*127.0.0.1:1.*connection refused`, `ok    Redis accepts jobs`}},
		{"no verification", url(selfSigned.URL()) + ", tls: {verify: false}", 0, []string{`warn  redis.tls.verify is false, .* redis.tls.ca`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			code, findings := checkOnline(t, "{"+c.redis+"}")
			if code != c.code {
				t.Errorf("the exit code is %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !regexp.MustCompile("(?m)^" + want).MatchString(findings) {
					t.Errorf("no finding matches %q", want)
				}
			}
			t.Log("\n" + findings)
		})
	}
}

// With rejected: dead, the dead set must be writable and not too full.
func TestCheckDeadSet(t *testing.T) {
	t.Parallel()
	server := env.Redis(t)
	fill := func(n int) {
		server.Must("DEL", "shop:dead")
		args := redis.Args{"shop:dead"}
		for i := range n {
			args = args.Add(i, i)
		}
		if n > 0 {
			server.Must("ZADD", args...)
		}
	}
	check := func(name, want string, wantCode int, user string) {
		t.Helper()
		code, findings := checkOnlineConfig(t, fmt.Sprintf("redis: {url: \"redis://%s%s\", namespace: shop}\nqueue: {topics: {orders: OrderWorker}, rejected: dead}\n", user, server.Addr))
		if code != wantCode || !regexp.MustCompile("(?m)^"+want).MatchString(findings) {
			t.Errorf("%s: the exit code is %d, want %d; no finding matches %q:\n%s", name, code, wantCode, want, findings)
		}
	}
	fill(0)
	check("empty", "ok    rejected messages go to Sidekiq's dead set, which holds 0 entries", 0, "")
	fill(3999)
	check("in use", "ok    rejected messages go to Sidekiq's dead set, which holds 3999 entries", 0, "")
	fill(4000)
	check("nearly full", "warn  Sidekiq's dead set holds 4000 entries, and Scout adds no more from 5000 on", 0, "")
	fill(5000)
	check("full", "FAIL  rejected messages stay in their queue .* holds 5000 entries", 1, "")
	if n, err := redis.Int(server.Do("ZCARD", "shop:dead")); err != nil || n != 5000 {
		t.Errorf("the check left %d entries (%v)", n, err)
	}
	server.Must("SET", "shop:dead", "x")
	check("not a sorted set", "FAIL  rejected messages stay in their queue .*WRONGTYPE", 1, "")
	server.Must("DEL", "shop:dead")
	server.Must("ACL", redis.Args{"SETUSER", "scout", "on", ">secret", "~shop:*", "+@all", "-zadd"}...)
	check("not allowed", `FAIL  rejected messages stay in their queue .*needs ~dead \+zadd \+zcard`, 1, "scout:secret@")
}

// min-replicas-to-write is no replacement for wait, but it is something.
func TestCheckMinReplicas(t *testing.T) {
	t.Parallel()
	r := env.NewReplication(t, 1, env.ReplicationOptions{})
	r.Master().Must("CONFIG", "SET", "min-replicas-to-write", 1)
	_, findings := checkOnline(t, fmt.Sprintf("{url: %q}", "redis://"+r.Master().Addr))
	if want := "min-replicas-to-write limits how many; set redis.wait.replicas to 1"; !strings.Contains(findings, want) {
		t.Errorf("the findings do not contain %q:\n%s", want, findings)
	}
}
