//go:build integration

package sidekiq

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"scout/internal/test/env"
)

// A client works with a server's certificate, or says what is wrong.
func TestTLS(t *testing.T) {
	authority, other := env.NewAuthority(t), env.NewAuthority(t)
	trusted, selfSigned := TLS{CA: authority.File}, env.SelfSigned(t)
	withPair := func(pair env.KeyPair) TLS { return TLS{CA: authority.File, Cert: pair.Cert, Key: pair.Key} }
	for name, c := range map[string]struct {
		server  env.KeyPair
		clients *env.Authority // whose certificates the server wants
		options TLS
		want    string // of the error; "" if the client works
	}{
		"own authority":                    {authority.Issue(), nil, trusted, ""},
		"system's authorities":             {authority.Issue(), nil, TLS{}, "its authority is not trusted; set redis.tls.ca"},
		"another authority":                {authority.Issue(), nil, TLS{CA: other.File}, "its authority is not trusted"},
		"another name":                     {authority.Issue(env.OnlyFor("redis.internal")), nil, trusted, "its name is not the host's"},
		"server_name":                      {authority.Issue(env.OnlyFor("redis.internal")), nil, TLS{CA: authority.File, ServerName: "redis.internal"}, ""},
		"expired":                          {authority.Issue(env.Expired), nil, trusted, "its date is wrong"},
		"self-signed":                      {selfSigned, nil, trusted, "its authority is not trusted"},
		"self-signed, not verified":        {selfSigned, nil, TLS{SkipVerify: true}, ""},
		"self-signed, as the authority":    {selfSigned, nil, TLS{CA: selfSigned.Cert}, ""},
		"client certificate":               {authority.Issue(), authority, withPair(authority.Issue()), ""},
		"client certificate missing":       {authority.Issue(), authority, trusted, "if it wants a client certificate, set redis.tls.cert"},
		"client certificate not trusted":   {authority.Issue(), authority, withPair(other.Issue()), "the server ended TLS"},
		"client certificate expired":       {authority.Issue(), authority, withPair(authority.Issue(env.Expired)), "the server ended TLS"},
		"client certificate is not wanted": {authority.Issue(), nil, withPair(authority.Issue()), ""},
	} {
		t.Run(name, func(t *testing.T) {
			server := env.RedisTLS(t, c.server, c.clients)
			for range 5 { // the client's request and the server's alert cross in TLS 1.3
				client := newTestClient(t, "", func(o *Options) { o.URL, o.TLS = server.URL(), c.options })
				start := time.Now()
				_, err := client.Push(t.Context(), testJobs("q", 100))
				if c.want == "" && err != nil {
					t.Fatal(err)
				}
				if c.want != "" && (!errors.Is(err, ErrUnusable) || !strings.Contains(err.Error(), c.want)) {
					t.Fatalf("error = %v, want ErrUnusable and %q", err, c.want)
				}
				if elapsed := time.Since(start); c.want != "" && elapsed > 5*time.Second {
					t.Errorf("the error came after %v", elapsed)
				}
			}
		})
	}
}

// If only one end uses TLS, the error says so.
func TestTLSOnOneSide(t *testing.T) {
	authority := env.NewAuthority(t)
	plain, secure := env.Redis(t), env.RedisTLS(t, authority.Issue(), nil)
	for url, want := range map[string]string{
		"rediss://" + plain.Addr: "must begin with redis://",
		"redis://" + secure.Addr: "must begin with rediss://",
	} {
		client := newTestClient(t, "", func(o *Options) { o.URL, o.RetryFor = url, time.Second })
		if _, err := client.Push(t.Context(), testJobs("q", 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error = %v, want %q", url, err, want)
		}
	}
}

// Certificates are replaced while jobs are pushed over connections that are cut
// again and again. Each job is pushed once, and the last connections use the
// last certificates.
func TestCertificatesRotate(t *testing.T) {
	authority := env.NewAuthority(t)
	serverPair, clientPair := authority.Issue(), authority.Issue()
	server := env.RedisTLS(t, serverPair, authority)
	client := newTestClient(t, "", func(o *Options) {
		o.URL, o.TLS = server.URL(), TLS{CA: authority.File, Cert: clientPair.Cert, Key: clientPair.Key}
	})
	jobs := testJobs("q", 1_000)
	for i := range jobs {
		switch {
		case i%100 == 50: // in the middle of a rotation
			if err := os.WriteFile(clientPair.Cert, []byte("-----BEGIN"), 0o600); err != nil {
				t.Fatal(err)
			}
			server.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		case i%100 == 99:
			authority.Renew(serverPair)
			server.Must("CONFIG", "SET", "tls-cert-file", serverPair.Cert, "tls-key-file", serverPair.Key)
			authority.Renew(clientPair)
			server.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
		mustPush(t, client, jobs[i:i+1])
	}
	if n := server.Must("LLEN", "queue:q"); n != int64(len(jobs)) {
		t.Errorf("%d jobs in the queue, want %d", n, len(jobs))
	}
	authority.Renew(clientPair, env.Expired)
	server.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	if _, err := client.Push(t.Context(), testJobs("p", 1)); !errors.Is(err, ErrUnusable) {
		t.Errorf("with a new certificate that has expired: error = %v, want ErrUnusable", err)
	}
	authority.Renew(clientPair)
	mustPush(t, client, testJobs("p", 1))
}

// Files that cannot be read are an error at first. Later the previous ones stay
// in use, and errors of TLS say so.
func TestCertificatesUnreadable(t *testing.T) {
	authority, other := env.NewAuthority(t), env.NewAuthority(t)
	pair, otherPair := authority.Issue(), authority.Issue()
	empty := t.TempDir() + "/empty"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]TLS{
		"missing":        {CA: "/nonexistent.pem"},
		"empty":          {CA: empty},
		"no certificate": {CA: pair.Key},
		"wrong key":      {Cert: pair.Cert, Key: otherPair.Key},
		"no key":         {Cert: pair.Cert},
	} {
		if _, err := NewClient(Options{URL: "rediss://localhost", TLS: files}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}

	server := env.RedisTLS(t, pair, nil)
	ca := t.TempDir() + "/ca.pem"
	replaceCA := func(with string) {
		text, err := os.ReadFile(with)
		if err == nil {
			err = os.WriteFile(ca, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	replaceCA(other.File)
	client := newTestClient(t, "", func(o *Options) { o.URL, o.TLS = server.URL(), TLS{CA: ca} })
	replaceCA(empty)
	if _, err := client.Push(t.Context(), testJobs("q", 1)); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("error = %v, want that the changed file is not in use", err)
	}
	replaceCA(authority.File)
	mustPush(t, client, testJobs("q", 1))
	if err := os.Remove(ca); err != nil {
		t.Fatal(err)
	}
	server.Must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	mustPush(t, client, testJobs("q", 2))
}
