package env

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
)

// Queued returns the payloads in a Sidekiq queue, given by its Redis key, in the
// order in which Sidekiq takes them.
func Queued(t testing.TB, addr, key string) []string {
	t.Helper()
	conn, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	payloads, err := redis.Strings(conn.Do("LRANGE", key, 0, -1))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(payloads)
	return payloads
}

// Arguments returns the arguments of plain jobs, as they are in the payloads.
func Arguments(payloads []string) []string {
	args := make([]string, len(payloads))
	for i, payload := range payloads {
		_, rest, _ := strings.Cut(payload, `"args":[`)
		args[i], _, _ = strings.Cut(rest, `],"jid"`)
	}
	return args
}
