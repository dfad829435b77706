package sidekiq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Each connection logs in with a new password, and an old connection is
// replaced.
func TestPasswordForEachConnection(t *testing.T) {
	m := miniredis.RunT(t)
	n := 0
	client := newTestClient(t, "", func(o *Options) {
		o.URL, o.MaxConnAge, o.RetryFor = "redis://scout@"+m.Addr(), 100*time.Millisecond, time.Nanosecond
		o.Password = func(context.Context) (string, error) {
			n++
			m.RequireUserAuth("scout", fmt.Sprint("token", n))
			return fmt.Sprint("token", n), nil
		}
	})
	for range 3 {
		mustPush(t, client, testJobs("q", 1))
	}
	time.Sleep(150 * time.Millisecond)
	mustPush(t, client, testJobs("q", 1))
	if connections := m.TotalConnectionCount(); n != 2 || connections != 2 {
		t.Errorf("%d passwords for %d connections, want 2", n, connections)
	}
}

func TestPasswordFails(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("scout", "secret")
	for name, c := range map[string]struct {
		password func(context.Context) (string, error)
		want     string
		is       error
	}{
		"none":     {func(context.Context) (string, error) { return "", errors.New("no role") }, "no role", nil},
		"rejected": {func(context.Context) (string, error) { return "wrong", nil }, "redis.iam.cache", ErrCredentials},
	} {
		client := newTestClient(t, "", func(o *Options) {
			o.URL, o.Password, o.RetryFor = "redis://scout@"+m.Addr(), c.password, time.Nanosecond
		})
		_, err := client.Push(t.Context(), testJobs("q", 1))
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrCredentials) != (c.is != nil) {
			t.Errorf("%s: error = %v, want %q, wrapping %v", name, err, c.want, c.is)
		}
	}
}
