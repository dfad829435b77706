//go:build integration

package sidekiq

import (
	"errors"
	"testing"

	"scout/internal/test/env"
)

// TestDeadSetPermissions checks that jobs are pushed though the user may not write
// the dead set, and that an entry without its marker makes the client fail, like a
// job.
func TestDeadSetPermissions(t *testing.T) {
	for name, rules := range map[string][]any{
		"no ZADD":  {"-zadd"},
		"no ZCARD": {"-zcard"},
		"no key":   {"resetkeys", "~scout:*", "~queues", "~queue:*"},
	} {
		t.Run(name, func(t *testing.T) {
			server := env.Redis(t)
			c := newTestClient(t, server.Addr, nil)
			do(t, server.Addr, "ACL", append([]any{"SETUSER", "default"}, rules...)...)
			results := mustPush(t, c, []Job{deadJob("a", "", 2), testJobs("q", 1)[0]})
			if !errors.Is(results[0].Err, ErrDeadSet) || results[1].Outcome != Enqueued || c.Failing() {
				t.Errorf("results %+v, failing %t", results, c.Failing())
			}
			if _, err := c.DeadSet(t.Context()); !errors.Is(err, ErrUnusable) {
				t.Errorf("DeadSet: %v", err)
			}
		})
	}
	server := env.Redis(t)
	c := newTestClient(t, server.Addr, nil)
	do(t, server.Addr, "ACL", "SETUSER", "default", "-set")
	if results := mustPush(t, c, []Job{deadJob("a", "", 1)}); results[0].Outcome != Dead || !c.Failing() {
		t.Errorf("without its marker: %+v, failing %t", results, c.Failing())
	}
}
