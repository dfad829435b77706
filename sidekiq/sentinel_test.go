package sidekiq

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	miniserver "github.com/alicebob/miniredis/v2/server"

	"scout/internal/test/env"
)

// sentinelReply is what a sentinel answers that knows a master, and as many
// other sentinels at unused addresses.
func sentinelReply(master string, others int) string {
	host, port, _ := net.SplitHostPort(master)
	var b strings.Builder
	fmt.Fprintf(&b, "*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n*%d\r\n", len(host), host, len(port), port, others)
	for i := range others {
		fmt.Fprintf(&b, "*4\r\n$2\r\nip\r\n$9\r\n127.0.0.2\r\n$4\r\nport\r\n$4\r\n%d\r\n", 1000+i)
	}
	return b.String()
}

// startMaster starts a Redis that has the given roles, one after the other, of
// which the last one stays.
func startMaster(t *testing.T, roles ...string) (addr string) {
	t.Helper()
	m := miniredis.RunT(t)
	n := 0
	m.Server().SetPreHook(func(peer *miniserver.Peer, command string, _ ...string) bool {
		if !strings.EqualFold(command, "ROLE") {
			return false
		}
		peer.WriteLen(3)
		peer.WriteBulk(roles[min(n, len(roles)-1)])
		peer.WriteInt(0)
		peer.WriteLen(0)
		n++
		return true
	})
	return m.Addr()
}

const unknownMaster = "*-1\r\n-ERR No such master with that name\r\n"

// The sentinels are asked in order until one knows the master.
func TestFindMaster(t *testing.T) {
	master := startMaster(t, "master")
	down, unknown := env.FreeAddr(t), serve(t, unknownMaster, nil)
	knowing := serve(t, sentinelReply(master, 0), nil)
	noSentinel := serve(t, "-ERR unknown command 'SENTINEL', with args beginning with: \r\n-ERR unknown command\r\n", nil)
	password := serve(t, "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n", nil)
	for name, c := range map[string]struct {
		sentinels []string
		want      string // of the error
		is        error
		first     string // the sentinel to ask first later
	}{
		"the first one knows":           {[]string{knowing, down}, "", nil, knowing},
		"the last one knows":            {[]string{down, unknown, noSentinel, password, knowing}, "", nil, knowing},
		"none knows":                    {[]string{unknown, unknown}, `no sentinel names the master "shop"`, ErrUnusable, ""},
		"one is down, the other not":    {[]string{unknown, down}, "connection refused", nil, ""},
		"no sentinel":                   {[]string{noSentinel}, "it is no Sentinel", ErrUnusable, ""},
		"password missing":              {[]string{password}, "redis.sentinel_password", ErrCredentials, ""},
		"something else":                {[]string{serve(t, "HTTP/1.1 400 Bad Request\r\n", nil)}, "not a Redis", ErrUnusable, ""},
		"a huge reply":                  {[]string{serve(t, "*100000\r\n", nil)}, "larger than Scout accepts", nil, ""},
		"a reply of another shape":      {[]string{serve(t, "*1\r\n:1\r\n*0\r\n", nil)}, "unexpected reply", nil, ""},
		"a silent one before a knowing": {[]string{serve(t, "", nil), knowing}, "", nil, knowing},
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, "", func(o *Options) {
				o.URL, o.Sentinels, o.RetryFor = "redis://shop/0", c.sentinels, time.Millisecond
			})
			_, err := client.Push(t.Context(), testJobs("q", 2))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("error = %v, want %q", err, c.want)
			}
			for _, sentinel := range []error{ErrCredentials, ErrUnusable} {
				if errors.Is(err, sentinel) != (sentinel == c.is) {
					t.Errorf("error = %v, want it to be %v", err, c.is)
				}
			}
			if c.want != "" {
				return
			}
			if client.Address() != "shop ("+master+")" || client.Sentinels()[0] != c.first || len(client.Sentinels()) != len(c.sentinels) {
				t.Errorf("the master is %s, the sentinels are %v; want %s, and %s first", client.Address(), client.Sentinels(), master, c.first)
			}
		})
	}
}

// The list of sentinels follows their reports, is bounded, and always has the
// configured ones.
func TestSentinelsAreRefreshed(t *testing.T) {
	master := startMaster(t, "master")
	down := env.FreeAddr(t)
	for _, reported := range []int{0, 2, 1000} {
		knowing := serve(t, sentinelReply(master, reported), nil)
		client := newTestClient(t, "", func(o *Options) { o.URL, o.Sentinels = "redis://shop/0", []string{down, knowing} })
		mustPush(t, client, testJobs(fmt.Sprint(reported), 1))
		got := client.Sentinels()
		if len(got) != min(2+reported, maxSentinels) || got[0] != knowing || got[1] != down || reported > 0 && got[2] != "127.0.0.2:1000" {
			t.Errorf("%d reported: the list is %v", reported, got)
		}
	}
}

// If the named master is a replica, the sentinels are asked again.
func TestMasterIsReplica(t *testing.T) {
	becoming := serve(t, sentinelReply(startMaster(t, "slave", "slave", "master"), 0), nil)
	client := newTestClient(t, "", func(o *Options) {
		o.URL, o.Sentinels, o.RetryFor = "redis://shop/0", []string{becoming}, time.Nanosecond // no retry of the push
	})
	begin := time.Now()
	mustPush(t, client, testJobs("q", 1))
	if elapsed := time.Since(begin); elapsed < 2*roleInterval {
		t.Errorf("the role was asked for again too soon: three times in %v", elapsed)
	}
	replica := serve(t, sentinelReply(startMaster(t, "slave"), 0), nil)
	client = newTestClient(t, "", func(o *Options) {
		o.URL, o.Sentinels, o.RetryFor = "redis://shop/0", []string{replica}, time.Nanosecond
	})
	if _, err := client.Push(t.Context(), testJobs("q", 1)); err == nil || !strings.Contains(err.Error(), "is a replica") || errors.Is(err, ErrUnusable) {
		t.Errorf("error = %v, want that it is a replica", err)
	}
}

// After a failover, idle connections to the former master are not used again.
func TestIdleConnectionsToFormerMaster(t *testing.T) {
	m := miniredis.RunT(t)
	client := newTestClient(t, m.Addr(), nil)
	for range 2 {
		mustPush(t, client, testJobs("q", 1))
	}
	client.server.generation.Add(1)
	for range 2 {
		mustPush(t, client, testJobs("p", 1))
	}
	if n := m.TotalConnectionCount(); n != 2 || client.pool.ActiveCount() != 1 {
		t.Errorf("%d connections were made and %d are open, want 2 and 1", n, client.pool.ActiveCount())
	}
}
