//go:build integration

package sidekiq

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

func TestClientOnRedis(t *testing.T) {
	testClient(t, func(t *testing.T) string { return env.Redis(t).Addr })
}

// Push and Ready recognize the reasons why Redis cannot take jobs.
func TestRedisInTrouble(t *testing.T) {
	for _, c := range []struct {
		name  string
		args  []string
		setup [][]any
		want  string
		is    error
	}{
		{"full", nil, [][]any{{"CONFIG", "SET", "maxmemory", 1}}, "OOM command not allowed", nil},
		{"replica", nil, [][]any{{"REPLICAOF", "127.0.0.1", 1}}, "READONLY", nil},
		{"too few replicas", nil, [][]any{{"CONFIG", "SET", "min-replicas-to-write", 1}}, "NOREPLICAS", nil},
		{"password missing", []string{"--requirepass", "s3cret"}, nil, "wrong Redis credentials", ErrCredentials},
		{"cluster", []string{"--cluster-enabled", "yes"}, nil, "Redis Cluster", ErrUnusable},
		{"no permission for a command", nil, [][]any{{"ACL", "SETUSER", "default", "-lpush"}}, "can't run this command", ErrUnusable},
		{"no permission for EVALSHA", nil, [][]any{{"ACL", "SETUSER", "default", "-evalsha"}}, "NOPERM", ErrUnusable},
		{"the key queues is not a set", nil, [][]any{{"SET", "queues", "x"}}, "WRONGTYPE", nil},
		{"no permission for a key", nil, [][]any{{"ACL", "SETUSER", "default", "resetkeys", "~scout:*", "~queues", "~queue:other"}}, "NOPERM", ErrUnusable},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := env.Redis(t, c.args...)
			for _, command := range c.setup {
				do(t, server.Addr, command[0].(string), command[1:]...)
			}
			client := newTestClient(t, server.Addr, func(o *Options) { o.RetryFor = 100 * time.Millisecond })
			ready := client.Ready(t.Context(), "q")
			if c.name == "the key queues is not a set" { // Ready cannot try this without changing it
				ready = errors.New(c.want)
			}
			_, _ = client.Push(t.Context(), testJobs("p", 1)) // with EVAL; the next one with EVALSHA
			results, err := client.Push(t.Context(), testJobs("q", 2))
			for what, err := range map[string]error{"Push": err, "Ready": ready, "result": results[1].Err} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s: error = %v, want %q", what, err, c.want)
				}
				for _, sentinel := range []error{ErrCredentials, ErrUnusable} {
					if errors.Is(err, sentinel) != (sentinel == c.is) {
						t.Errorf("%s: error = %v, want it to be %v", what, err, c.is)
					}
				}
			}
		})
	}
}

// After a failover, connections to the old master are not used again.
func TestFailover(t *testing.T) {
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, nil)
	mustPush(t, client, testJobs("q", 1))
	do(t, server.Addr, "REPLICAOF", "127.0.0.1", 1)
	time.AfterFunc(300*time.Millisecond, func() { do(t, server.Addr, "REPLICAOF", "NO", "ONE") })
	mustPush(t, client, testJobs("q", 2))
	if got := env.Queued(t, server.Addr, "queue:q"); len(got) != 2 {
		t.Errorf("queue:q = %v, want 2 jobs", got)
	}
	if n := client.pool.ActiveCount(); n != 1 {
		t.Errorf("%d connections, want 1: those that got READONLY are closed", n)
	}
}

// Connections that were cut while idle are replaced without an error.
func TestIdleConnectionsCut(t *testing.T) {
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, func(o *Options) { o.RetryFor = time.Nanosecond }) // no retry
	mustPush(t, client, testJobs("q", 1))
	do(t, server.Addr, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	time.Sleep(1100 * time.Millisecond)
	mustPush(t, client, testJobs("q", 2))
}

func TestSilentRedis(t *testing.T) {
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, nil)
	mustPush(t, client, testJobs("q", 1))
	server.Pause()
	defer server.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := client.Push(ctx, testJobs("q", 2)); err == nil {
		t.Error("no error from a silent server")
	}
	if elapsed := time.Since(start); elapsed > 2*time.Second {
		t.Errorf("Push took %v with a deadline of 500 ms", elapsed)
	}
}

func TestRestartUnderPush(t *testing.T) {
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, nil)
	jobs := testJobs("q", 600)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 3 {
			time.Sleep(150 * time.Millisecond)
			server.Kill()
			server.Start()
		}
	}()
	for i := range jobs {
		mustPush(t, client, jobs[i:i+1])
		time.Sleep(time.Millisecond)
	}
	<-done
	got := env.Queued(t, server.Addr, "queue:q")
	if want := payloads(jobs); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%d jobs in the queue, want %d, each once and in order", len(got), len(want))
	}
}

// minimalACL is what a user needs according to the README.
var minimalACL = []any{"~queues", "~queue:*", "~scout:*", "+eval", "+evalsha", "+exists", "+set", "+lpush", "+sadd", "+ping", "+info", "+select"}

// A user needs the documented permissions for each feature, and no others. One
// that is missing is an error that says so.
func TestPermissions(t *testing.T) {
	server, _ := startReplicated(t)
	sentinel := serve(t, sentinelReply(server.Addr, 0), nil)
	push := func(c *Client) error {
		err := c.Ready(t.Context(), "q")
		if err == nil {
			_, err = c.Push(t.Context(), testJobs("q", 1))
		}
		return err
	}
	for _, c := range []struct {
		feature   string
		more      []string // commands; those of jobs are needed always
		configure func(*Options)
		call      func(*Client) error
	}{
		{"jobs", []string{"eval", "evalsha", "exists", "set", "lpush", "sadd", "ping"}, nil, push},
		{"a database", []string{"select"}, func(o *Options) { o.URL += "/3" }, push},
		{"sentinels", []string{"role"}, func(o *Options) {
			o.URL, o.Sentinels = strings.Replace(o.URL, server.Addr, "shop", 1), []string{sentinel}
		}, push},
		{"wait", []string{"wait"}, func(o *Options) { o.Wait = Wait{1, time.Minute} }, push},
		{"check", []string{"info"}, nil, func(c *Client) error { _, err := c.Info(t.Context()); return err }},
		{"limits", []string{"info", "llen", "lindex"}, nil, func(c *Client) error { _, err := c.Usage(t.Context(), []string{"q"}); return err }},
	} {
		t.Run(c.feature, func(t *testing.T) {
			run := func(without string) error {
				acl := []any{"SETUSER", "scout", "reset", "on", ">secret", "~queues", "~queue:*", "~scout:*"}
				for _, command := range append([]string{"eval", "evalsha", "exists", "set", "lpush", "sadd", "ping"}, c.more...) {
					if command != without {
						acl = append(acl, "+"+command)
					}
				}
				server.Must("ACL", acl...)
				server.Must("SCRIPT", "FLUSH")
				client := newTestClient(t, "", func(o *Options) {
					o.URL = "redis://scout:secret@" + server.Addr
					if c.configure != nil {
						c.configure(o)
					}
				})
				return c.call(client)
			}
			if err := run(""); err != nil {
				t.Fatalf("with all permissions: %v", err)
			}
			for _, command := range c.more {
				if err := run(command); !errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), "ACL") {
					t.Errorf("without +%s: error = %v, want ErrUnusable and advice", command, err)
				}
			}
		})
	}
}

func TestURLs(t *testing.T) {
	const password = "p@ss:w/rd?"
	certificate, key := selfSigned(t)
	tlsAddr := "127.0.0.1:" + freePort(t)
	server := env.Redis(t, "--tls-port", tlsAddr[len("127.0.0.1:"):], "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no")
	do(t, server.Addr, "ACL", append([]any{"SETUSER", "scout", "on", ">" + password}, minimalACL...)...)
	user := url.UserPassword("scout", password).String() + "@"
	for name, u := range map[string]string{
		"redis":  "redis://" + user + server.Addr + "/3",
		"rediss": "rediss://" + user + tlsAddr + "/3",
		"unix":   "unix://" + user + server.Socket + "?db=3",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("SSL_CERT_FILE", certificate) // read once, when the system's roots are first needed
			c := newTestClient(t, "", func(o *Options) { o.URL = u })
			if err := c.Ready(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			mustPush(t, c, testJobs(name, 2))
			info, err := c.Info(t.Context())
			if err != nil || !strings.Contains(info.Version, ".") || info.Cluster || info.Eviction != "noeviction" || info.Used == 0 {
				t.Errorf("Info = %+v, %v", info, err)
			}
			if a := c.Address(); strings.Contains(a, "p@ss") || strings.Contains(a, "p%40ss") {
				t.Errorf("the address %q shows the password", a)
			}
		})
	}
	if stats := do(t, server.Addr, "INFO", "keyspace").([]byte); !strings.Contains(string(stats), "db3:") || strings.Contains(string(stats), "db0:") {
		t.Errorf("keyspace = %s, want only database 3", stats)
	}
}

// Valkey works like Redis, and is called by its own name and version.
func TestValkey(t *testing.T) {
	server := env.Valkey(t)
	client := newTestClient(t, "", func(o *Options) { o.URL = "valkey://" + server.Addr + "/1" })
	mustPush(t, client, testJobs("q", 2))
	if list := do(t, server.Addr, "CLIENT", "LIST").([]byte); !strings.Contains(string(list), "lib-name=scout") {
		t.Errorf("the client does not show its name: %s", list)
	}
	info, err := client.Info(t.Context())
	if err != nil || info.Name != "Valkey" || !strings.HasPrefix(info.Version, "9.") || !strings.HasPrefix(info.Redis, "7.") || info.Role != "master" {
		t.Errorf("Info = %+v, %v; want a Valkey 9", info, err)
	}
}

// A server that does not know AUTH repeats its arguments in the error.
func TestPasswordIsNotInErrors(t *testing.T) {
	server := env.Redis(t, "--rename-command", "AUTH", "")
	c := newTestClient(t, "", func(o *Options) { o.URL = "redis://:hunter2@" + server.Addr })
	_, err := c.Push(t.Context(), testJobs("q", 1))
	if !errors.Is(err, ErrUnusable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error = %v, want ErrUnusable without the password", err)
	}
}

// Neither idle connections to a server that has become silent nor an unanswered
// TLS handshake use up more than the deadline.
func TestDeadlineIsKept(t *testing.T) {
	server := env.Redis(t)
	idle := newTestClient(t, server.Addr, nil)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { _, _ = idle.Push(t.Context(), testJobs("q", 1)) })
	}
	all.Wait()
	noTLS := newTestClient(t, "", func(o *Options) { o.URL = "rediss://" + server.Addr })
	time.Sleep(1100 * time.Millisecond)
	server.Pause()
	defer server.Resume()
	for name, client := range map[string]*Client{"idle connections": idle, "TLS": noTLS} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := client.Push(ctx, testJobs("q", 2)); err == nil {
			t.Errorf("%s: no error from a silent server", name)
		}
		if elapsed := time.Since(start); elapsed > 900*time.Millisecond {
			t.Errorf("%s: Push took %v with a deadline of 500 ms", name, elapsed)
		}
	}
}

// A push whose context has ended does not wait for a silent Redis.
func TestCancelEndsPush(t *testing.T) {
	for _, idle := range []time.Duration{0, 1100 * time.Millisecond} { // the second with a PING before the push
		server := env.Redis(t)
		c := newTestClient(t, server.Addr, nil)
		mustPush(t, c, testJobs("first", 1))
		time.Sleep(idle)
		server.Pause()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(500*time.Millisecond, cancel)
		begin := time.Now()
		results, err := c.Push(ctx, testJobs("second", 1))
		if elapsed := time.Since(begin); elapsed > time.Second || err == nil || results[0].Err == nil {
			t.Errorf("a push cancelled after 0.5 s took %v: %v", elapsed, err)
		}
		server.Resume()
		mustPush(t, c, testJobs("third", 1)) // the client is still usable
	}
}

// A push does not wait for a server that accepts connections and never reads.
func TestDeadlineOfWrites(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := newTestClient(t, listener.Addr().String(), nil)
	jobs := testJobs("q", 30)
	for i := range jobs {
		jobs[i].Payload = make([]byte, 1<<20) // more than the sockets' buffers
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := c.Push(ctx, jobs); err == nil {
		t.Error("no error from a server that does not read")
	}
	if elapsed := time.Since(start); elapsed > 900*time.Millisecond {
		t.Errorf("Push took %v with a deadline of 500 ms", elapsed)
	}
}

func TestUntrustedCertificate(t *testing.T) {
	certificate, key := selfSigned(t)
	port := freePort(t)
	env.Redis(t, "--tls-port", port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no")
	// The certificate is not for this host name, whoever signed it.
	c := newTestClient(t, "", func(o *Options) { o.URL = "rediss://localhost:" + port })
	start := time.Now()
	if _, err := c.Push(t.Context(), testJobs("q", 1)); !errors.Is(err, ErrUnusable) {
		t.Errorf("error = %v, want ErrUnusable", err)
	}
	if time.Since(start) > 3*time.Second {
		t.Error("retried an error that cannot pass by itself")
	}
}

// selfSigned makes a self-signed certificate for 127.0.0.1 and returns the files
// with it and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", pkcs8)
}

func freePort(t *testing.T) string {
	t.Helper()
	return strings.TrimPrefix(env.FreeAddr(t), "127.0.0.1:")
}

// From Redis 7.0 on, no job is pushed that cannot be marked, for any number of pushes
// in flight when the permission is revoked.
func TestPermissionToMarkRevoked(t *testing.T) {
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, nil)
	var unmarked, enqueued atomic.Int64
	var pushes sync.WaitGroup
	for i := range 8 {
		pushes.Go(func() {
			for n := 0; ; n++ {
				results, err := client.Push(t.Context(), testJobs(fmt.Sprintf("q%d-%d-", i, n), 200))
				unmarked.Add(int64(count(results, Unmarked)))
				enqueued.Add(int64(count(results, Enqueued)))
				if err != nil {
					if !errors.Is(err, ErrUnusable) {
						t.Errorf("error = %v, want ErrUnusable", err)
					}
					return
				}
			}
		})
	}
	for enqueued.Load() == 0 {
		runtime.Gosched()
	}
	do(t, server.Addr, "ACL", "SETUSER", "default", "-set")
	pushes.Wait()
	if unmarked.Load() != 0 {
		t.Errorf("%d jobs were pushed without a marker, of %d", unmarked.Load(), enqueued.Load())
	}
}

// withoutACLCheck makes push.lua run as on a Redis before 7.0, which has no
// redis.acl_check_cmd.
func withoutACLCheck(t *testing.T) {
	t.Helper()
	source := strings.Replace(pushSource, "redis.acl_check_cmd and", "false and", 1)
	if source == pushSource {
		t.Fatal("push.lua does not check the ACL")
	}
	script := pushScript
	t.Cleanup(func() { pushScript = script })
	pushScript = redis.NewScript(-1, source)
}

// If a Redis before 7.0 stops setting markers, at most one window of jobs is pushed
// before Failing reports it and Push fails. Push works again once Redis sets markers.
func TestUnmarked(t *testing.T) {
	withoutACLCheck(t)
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, nil)
	mustPush(t, client, testJobs("first", 1))
	do(t, server.Addr, "ACL", "SETUSER", "default", "-set")

	results, err := client.Push(t.Context(), testJobs("q", 3_000))
	unmarked := count(results, Unmarked)
	if unmarked == 0 || unmarked > windowChunks*chunkJobs || !errors.Is(err, ErrUnusable) {
		t.Errorf("%d jobs unmarked: %v; want at most %d, and ErrUnusable", unmarked, err, windowChunks*chunkJobs)
	}
	if n := len(env.Queued(t, server.Addr, "queue:q")); n != unmarked {
		t.Errorf("%d jobs in the queue, want the %d that are unmarked", n, unmarked)
	}
	for range 3 {
		results, err = client.Push(t.Context(), testJobs("p", 10))
		if !client.Failing() || !errors.Is(err, ErrUnusable) || count(results, NotPushed) != 10 {
			t.Errorf("failing = %t, error = %v, results = %v; want nothing pushed", client.Failing(), err, results)
		}
		if err := client.Ready(t.Context()); !errors.Is(err, ErrUnusable) || !client.Failing() {
			t.Errorf("Ready = %v, failing = %t", err, client.Failing())
		}
	}

	do(t, server.Addr, "ACL", "SETUSER", "default", "+set")
	if err := client.Ready(t.Context()); err != nil || client.Failing() {
		t.Errorf("Ready = %v, failing = %t after the permission came back", err, client.Failing())
	}
	if n := count(mustPush(t, client, testJobs("p", 10)), Enqueued); n != 10 {
		t.Errorf("%d jobs enqueued, want 10", n)
	}
}

// A caller that never asks Ready, as the Lambda function, recovers as well.
func TestUnmarkedRecoversByItself(t *testing.T) {
	withoutACLCheck(t)
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, nil)
	do(t, server.Addr, "ACL", "SETUSER", "default", "-set")
	if results := mustPush(t, client, testJobs("q", 2)); count(results, Unmarked) != 2 || !client.Failing() {
		t.Errorf("results = %v, failing = %t", results, client.Failing())
	}
	do(t, server.Addr, "ACL", "SETUSER", "default", "+set")
	if results := mustPush(t, client, testJobs("p", 2)); count(results, Enqueued) != 2 || client.Failing() {
		t.Errorf("results = %v, failing = %t after the permission came back", results, client.Failing())
	}
}

func TestNoDedupNeedsNoMarkers(t *testing.T) {
	server := env.Redis(t)
	client := newTestClient(t, server.Addr, func(o *Options) { o.DedupTTL = 0 })
	do(t, server.Addr, "ACL", "SETUSER", "default", "-set")
	for range 2 {
		if results := mustPush(t, client, testJobs("q", 2)); count(results, Enqueued) != 2 || client.Failing() {
			t.Errorf("results = %v, failing = %t", results, client.Failing())
		}
	}
}
