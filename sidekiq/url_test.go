package sidekiq

import (
	"strings"
	"testing"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct{ url, address, serverName, want string }{
		{url: "redis://localhost", address: "localhost:6379"},
		{url: "redis://localhost:/1", address: "localhost:6379"},
		{url: "redis://redis.internal.:6380", address: "redis.internal.:6380"},
		{url: "rediss://redis.internal.", address: "redis.internal.:6379", serverName: "redis.internal"},
		{url: "redis://[::1]/0", address: "[::1]:6379"},
		{url: "redis://:secret@[2001:db8::1]:6380/3", address: "[2001:db8::1]:6380"},
		{url: "rediss://[::1]", address: "[::1]:6379", serverName: "::1"},
		{url: "rediss://[fe80::1%25eth0]:6380", address: "[fe80::1%eth0]:6380", serverName: "fe80::1"},
		{url: "valkey://localhost/1", address: "localhost:6379"},
		{url: "valkeys://valkey.internal:6380", address: "valkey.internal:6380", serverName: "valkey.internal"},
		{url: "unix:///run/redis.sock?db=3", address: "/run/redis.sock"},

		{url: "valkeyss://h", want: "must begin with"},
		{url: "redis://::1/0", want: "in brackets"},
		{url: "redis://::1:6379", want: "in brackets"},
		{url: "redis://2001:db8::abcd", want: "in brackets"},
		{url: "rediss://u:s3cret@2001:db8::1/0", want: "in brackets"},
		{url: "redis://[fe80::1%eth0]:6379", want: "%25"},
		{url: "redis://[::1", want: "in brackets"},
		{url: "redis://[localhost]", want: "in brackets"},
		{url: "redis://[::1]6379", want: "in brackets"},
		{url: "redis://:6379/0", want: "must have a host"},
		{url: "redis://u:s3cret@:6379", want: "must have a host"},
		{url: "redis://h:0", want: "must have a port from 1 to 65535"},
		{url: "redis://h:65536", want: "must have a port from 1 to 65535"},
		{url: "redis://u:s3:cr/et@h", want: "percent-encoded"},
		{url: "redis://u:s3c#ret@h", want: "percent-encoded"},

		{url: "redis://localhost:6379/0\n", want: "line break"},
		{url: " redis://localhost:6379/0", want: "blank"},
		{url: "redis://local host:6379/0", want: "blank"},
		{url: `"redis://u:s3cret@localhost:6379/0"`, want: "has quotes around it"},
		{url: `'redis://u:s3cret@localhost:6379/0'`, want: "has quotes around it"},
		{url: `redis://localhost:6379/0"`, want: "has quotes around it"},
		{url: "“redis://localhost:6379/0”", want: "has quotes around it"},
		{url: "<redis://localhost:6379/0>", want: "has quotes around it"},
	} {
		t.Run(c.url, func(t *testing.T) {
			u, err := ParseURL(c.url)
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3c")):
				t.Errorf("error = %v, want %q and no password", err, c.want)
			case c.want == "":
				s, err := newServer(u, Options{})
				if err != nil {
					t.Fatal(err)
				}
				if s.address != c.address || (s.tls != nil) != (c.serverName != "") || s.tls != nil && s.tls.config(s.address).ServerName != c.serverName {
					t.Errorf("server = %s, want %s", s, c.address)
				}
			}
		})
	}
}
