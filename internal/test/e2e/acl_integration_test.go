//go:build integration

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// An acl is what docs/configuration.md says about permissions of a Redis user.
type acl struct {
	base      []string            // what Scout always needs
	features  map[string][]string // what it also needs with a feature
	sentinels []string            // what it needs of sentinels
}

var (
	aclCommand = regexp.MustCompile(`ACL SETUSER scout on >secret (.*)`)
	aclRow     = regexp.MustCompile("(?m)^\\| ([^|]+) \\| `([+~][^`]*)` \\|$")
)

func readACL(t *testing.T) acl {
	t.Helper()
	text := read(t, "../../../docs/configuration.md")
	commands := aclCommand.FindAllStringSubmatch(text, -1)
	if len(commands) != 2 {
		t.Fatalf("docs/configuration.md has the ACLs %q, want one of Redis and one of sentinels", commands)
	}
	a := acl{base: strings.Fields(commands[0][1]), features: map[string][]string{"always": nil}, sentinels: strings.Fields(commands[1][1])}
	for _, row := range aclRow.FindAllStringSubmatch(text, -1) {
		a.features[row[1]] = strings.Fields(row[2])
	}
	return a
}

// The documented ACL for each feature is enough for it, and contains nothing that
// the feature does not need: without any of the permissions, the check fails.
func TestSmallestACL(t *testing.T) {
	t.Parallel()
	documented := readACL(t)
	r := env.NewReplication(t, 2, env.ReplicationOptions{})
	master, sentinels := r.Master().Addr, strings.Join(r.SentinelAddrs(), ", ")
	features := map[string]string{
		"always":                  "redis: {url: redis://scout:secret@" + master + "}",
		"a database other than 0": "redis: {url: redis://scout:secret@" + master + "/1}",
		"`limits`, `--listen`":    "redis: {url: redis://scout:secret@" + master + "}\nlimits: {queue_length: 1000}",
		"`redis.sentinels`":       fmt.Sprintf("redis: {url: redis://scout:secret@%s, sentinels: [%s]}", env.MasterName, sentinels),
		"`rejected: dead`":        "redis: {url: redis://scout:secret@" + master + "}\nqueue: {topics: {orders: OrderWorker}, rejected: dead}",
		"`redis.wait`":            "redis: {wait: {replicas: 2, timeout: 5s}, url: redis://scout:secret@" + master + "}",
	}
	names := slices.Sorted(maps.Keys(features))
	if got := slices.Sorted(maps.Keys(documented.features)); !slices.Equal(got, names) {
		t.Fatalf("docs/configuration.md has the features\n%q, want\n%q", got, names)
	}
	// Not in parallel, because all have the same user.
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			testACL(t, r.Nodes, documented.base, documented.features[name], features[name])
		})
	}
	t.Run("sentinels", func(t *testing.T) {
		testACL(t, r.Sentinels, nil, documented.sentinels,
			fmt.Sprintf("redis: {url: redis://%s, sentinels: [%s], sentinel_username: scout, sentinel_password: secret}", env.MasterName, sentinels))
	})
}

func testACL(t *testing.T, servers []*env.RedisServer, base, feature []string, configuration string) {
	all := slices.Concat(base, feature)
	if output, ok := checkWithACL(t, servers, all, configuration); !ok {
		t.Fatalf("the ACL %q is not enough:\n%s", all, output)
	}
	if feature == nil {
		feature = base
	}
	for _, permission := range feature {
		without := slices.DeleteFunc(slices.Clone(all), func(p string) bool { return p == permission })
		if output, ok := checkWithACL(t, servers, without, configuration); ok {
			t.Errorf("the ACL is enough without %s:\n%s", permission, output)
		}
	}
}

// checkWithACL gives the user scout these permissions on servers that know no
// script yet, and returns the output of scout check and whether it succeeded.
func checkWithACL(t *testing.T, servers []*env.RedisServer, permissions []string, configuration string) (output string, ok bool) {
	t.Helper()
	for _, server := range servers {
		server.Must("ACL", redis.Args{"SETUSER", "scout", "reset", "on", ">secret"}.AddFlat(permissions)...)
		_, _ = server.Do("SCRIPT", "FLUSH") // sentinels have none
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if !strings.Contains(configuration, "\nqueue:") {
		configuration += "\nqueue: {topics: {orders: OrderWorker}}"
	}
	text, err := scoutCommand(ctx, t, configuration, "check", "--online").CombinedOutput()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	return string(text), err == nil
}
