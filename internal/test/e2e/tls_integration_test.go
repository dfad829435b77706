//go:build integration

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// Redis and Scout get new certificates under load, at last ones of another
// authority. Each time Redis also cuts all connections, so that Scout has to read
// its files again.
func TestRotatedCertificates(t *testing.T) {
	t.Parallel()
	authority := env.NewAuthority(t)
	pair, client := authority.Issue(), authority.Issue()
	server := env.RedisTLS(t, pair, authority)
	l := newLoad(t)
	scout(t, l.config(fmt.Sprintf("{url: %q, tls: {ca: %q, cert: %q, key: %q}}", server.URL(), authority.File, client.Cert, client.Key)))
	stop := l.start()
	defer stop()
	awaitJobs(t, only(server))

	rotate := func(what string, change func()) {
		t.Helper()
		t.Log(what)
		change()
		server.Must("CONFIG", "SET", "tls-ca-cert-file", authority.File, "tls-cert-file", pair.Cert, "tls-key-file", pair.Key)
		server.Must("CLIENT", "KILL", "TYPE", "normal")
		awaitJobs(t, only(server))
	}
	for range 5 {
		rotate("the server's certificate", func() { authority.Renew(pair) })
		rotate("the client's certificate", func() { authority.Renew(client) })
	}
	rotate("a client's certificate that is not complete yet", func() {
		write(t, client.Cert, "-----BEGIN CERTIFICATE-----\nMIIB")
	})
	rotate("all of them, of another authority", func() {
		next := env.NewAuthority(t)
		next.Renew(client)
		next.Renew(pair)
		write(t, authority.File, read(t, next.File))
	})
	stop()
	l.drained()
	l.mustBeOnce(server)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func only(server *env.RedisServer) func() *env.RedisServer {
	return func() *env.RedisServer { return server }
}

// awaitJobs waits until there are more jobs than now in the Redis that master
// returns; nil is none at the moment.
func awaitJobs(t *testing.T, master func() *env.RedisServer) {
	t.Helper()
	jobs := func() int {
		server := master()
		if server == nil {
			return 0
		}
		n, _ := redis.Int(server.Do("LLEN", "queue:default"))
		return n
	}
	before := jobs()
	for deadline := time.Now().Add(3 * time.Minute); jobs() <= before; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no more jobs arrive, although Redis is ready")
		}
	}
}

// Certificates that Scout accepts.
func TestTrustedCertificates(t *testing.T) {
	t.Parallel()
	authority := env.NewAuthority(t)
	selfSigned, client := env.SelfSigned(t), authority.Issue()
	for _, c := range []struct {
		name    string
		pair    env.KeyPair
		clients *env.Authority
		tls     string
		log     string // a line that the log must contain
	}{
		{name: "own authority", pair: authority.Issue(), tls: fmt.Sprintf("{ca: %q}", authority.File)},
		{name: "other name", pair: authority.Issue(env.OnlyFor("redis.example")), tls: fmt.Sprintf("{ca: %q, server_name: redis.example}", authority.File)},
		{name: "client certificate", pair: authority.Issue(), clients: authority, tls: fmt.Sprintf("{ca: %q, cert: %q, key: %q}", authority.File, client.Cert, client.Key)},
		{name: "self-signed", pair: selfSigned, tls: fmt.Sprintf("{ca: %q}", selfSigned.Cert)},
		{name: "self-signed, not verified", pair: selfSigned, tls: "{verify: false}", log: "level=WARN msg=\"Redis certificate not verified\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := env.RedisTLS(t, c.pair, c.clients)
			l := newLoad(t)
			_, stderr := scout(t, l.config(fmt.Sprintf("{url: %q, tls: %s}", server.URL(), c.tls)))
			l.publish(20)
			l.drained()
			l.mustBeOnce(server)
			if log := read(t, stderr); !strings.Contains(log, c.log) {
				t.Errorf("the log does not contain %s:\n%s", c.log, log)
			}
		})
	}
}

// Scout does not start with a Redis whose TLS will never fit, and says why.
func TestUnusableTLS(t *testing.T) {
	t.Parallel()
	authority, other := env.NewAuthority(t), env.NewAuthority(t)
	foreign := other.Issue()
	plain, open := env.Redis(t), env.RedisTLS(t, authority.Issue(), nil)
	closed := env.RedisTLS(t, authority.Issue(), authority)
	expired := env.RedisTLS(t, authority.Issue(env.Expired), nil)
	named := env.RedisTLS(t, authority.Issue(env.OnlyFor("redis.example")), nil)
	ca := fmt.Sprintf("ca: %q", authority.File)
	for _, c := range []struct {
		name, redis string
		want        []string
	}{
		{"no client certificate", fmt.Sprintf("{url: %q, tls: {%s}}", closed.URL(), ca), []string{"client certificate", "redis.tls.cert"}},
		{"client certificate of another authority", fmt.Sprintf("{url: %q, tls: {%s, cert: %q, key: %q}}", closed.URL(), ca, foreign.Cert, foreign.Key),
			[]string{"client certificate", "redis.tls.cert"}},
		{"TLS to a port without it", fmt.Sprintf("{url: %q}", "rediss://"+plain.Addr), []string{"no answer to the TLS handshake", "redis://"}},
		{"unknown authority", fmt.Sprintf("{url: %q}", open.URL()), []string{"authority", "redis.tls.ca"}},
		{"another authority", fmt.Sprintf("{url: %q, tls: {ca: %q}}", open.URL(), other.File), []string{"authority", "redis.tls.ca"}},
		{"wrong name", fmt.Sprintf("{url: %q, tls: {%s}}", strings.Replace(named.URL(), "127.0.0.1", "localhost", 1), ca), []string{"redis.example", "localhost", "redis.tls.server_name"}},
		{"expired", fmt.Sprintf("{url: %q, tls: {%s}}", expired.URL(), ca), []string{"expired"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			output := fails(t, newLoad(t).config(c.redis), "run")
			for _, want := range c.want {
				if !strings.Contains(output, want) {
					t.Errorf("the output does not contain %q", want)
				}
			}
			t.Log(output)
		})
	}
}

// Redis closes connections without TLS to a port with it, as it also does when it
// has too many. Scout waits, and says what may be wrong.
func TestNoTLSToPortWithIt(t *testing.T) {
	t.Parallel()
	server := env.RedisTLS(t, env.SelfSigned(t), nil)
	output := fails(t, newLoad(t).config(fmt.Sprintf("{url: %q}", "redis://"+server.Addr)), "check", "--online")
	if want := "the Redis URL must begin with rediss://"; !strings.Contains(output, want) {
		t.Errorf("the output does not contain %q:\n%s", want, output)
	}
}

// fails runs the binary, which must end with exit code 1, and returns its output.
func fails(t *testing.T, configuration string, args ...string) (output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, err := scoutCommand(ctx, t, configuration, args...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Errorf("scout %v ended with %v, want exit status 1", args, err)
	}
	return string(text)
}
