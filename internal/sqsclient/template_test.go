package sqsclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// rotating provides credentials that change.
type rotating struct {
	atomic.Pointer[aws.Credentials]
}

func (r *rotating) Retrieve(context.Context) (aws.Credentials, error) { return *r.Load(), nil }

// verify signs a received request with the SDK's signer, and reports whether the
// request came with the same signature.
func verify(t *testing.T, r *http.Request, c aws.Credentials) bool {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	date, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if err != nil {
		t.Error(err)
	}
	again := r.Clone(t.Context())
	again.URL.Scheme, again.URL.Host = "http", r.Host
	for _, name := range []string{"Authorization", "X-Amz-Date", "X-Amz-Security-Token", "Accept-Encoding"} {
		again.Header.Del(name) // the signer adds these
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), c, again, hex.EncodeToString(hash[:]), "sqs", "eu-west-1", date); err != nil {
		t.Error(err)
	}
	return again.Header.Get("Authorization") == r.Header.Get("Authorization") &&
		again.Header.Get("X-Amz-Security-Token") == r.Header.Get("X-Amz-Security-Token")
}

// Signatures are those of the SDK's signer, for permanent and temporary
// credentials, and after the credentials have changed.
func TestSignatures(t *testing.T) {
	s := newService(t)
	var current rotating
	s.setHandler(func(w http.ResponseWriter, r *http.Request) {
		if !verify(t, r, *current.Load()) {
			t.Errorf("wrong signature: %v", r.Header)
		}
		s.succeed(w, r)
	})
	for path, ours := range map[string]bool{"": true, "/v1/sqs.test": true, "/a b/ü": false} {
		current.Store(&aws.Credentials{AccessKeyID: "AKID1", SecretAccessKey: "one"})
		c := newClient(newSDK(s.URL+path, func(o *sqs.Options) { o.Credentials = &current }))
		for _, next := range []aws.Credentials{
			{AccessKeyID: "AKID1", SecretAccessKey: "one"},
			{AccessKeyID: "AKID2", SecretAccessKey: "two"},
			{AccessKeyID: "ASIA1", SecretAccessKey: "three", SessionToken: "token/one+=="},
			{AccessKeyID: "ASIA2", SecretAccessKey: "four", SessionToken: "token/two"},
			{AccessKeyID: "AKID2", SecretAccessKey: "two"},
		} {
			current.Store(&next)
			both(t, c)
			s.fromSDK.Store(0)
			both(t, c)
			if got := s.fromSDK.Load() == 0; got != ours {
				t.Errorf("path %q: %d requests came from the SDK", path, s.fromSDK.Load())
			}
		}
	}
}

// The signing key changes with the day.
func TestSigningKeyOfTheDay(t *testing.T) {
	m := &template{scope: "eu-west-1/sqs/aws4_request"}
	first := m.signingKey("secret", "20260102")
	if !bytes.Equal(m.signingKey("secret", "20260102"), first) || bytes.Equal(m.signingKey("secret", "20260103"), first) ||
		bytes.Equal(m.signingKey("other", "20260102"), first) {
		t.Error("the signing key does not depend on the day and the secret")
	}
}

// If the clock is wrong, the SDK finds out by how much, and the template keeps
// that.
func TestWrongClock(t *testing.T) {
	s := newService(t)
	const ahead = time.Hour
	var rejected atomic.Int32
	s.setHandler(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		if date, _ := time.Parse(amzDate, r.Header.Get("X-Amz-Date")); now.Sub(date).Abs() > 5*time.Minute {
			rejected.Add(1)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#SignatureDoesNotMatch","message":"Signature expired"}`)
			return
		}
		s.succeed(w, r)
	})
	c := newClient(newSDK(s.URL))
	for range 5 {
		both(t, c)
	}
	if rejected.Load() != 1 || s.fromSDK.Load() != 3 {
		t.Errorf("%d requests were rejected, want 1; %d came from the SDK, want 3", rejected.Load(), s.fromSDK.Load())
	}
}

// After a request of the fast path was rejected, the SDK makes all calls for a while.
func TestRejected(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	s.setHandler(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Amz-Sdk-Invocation-Id") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		s.succeed(w, r)
	})
	if _, err := receive(t.Context(), c); err == nil {
		t.Error("a rejected request led to no error")
	}
	s.requests.Store(0)
	for range 10 {
		if _, err := receive(t.Context(), c); err != nil {
			t.Error(err)
		}
	}
	if n := s.requests.Load(); n != 10 {
		t.Errorf("%d requests for 10 calls", n)
	}
	s.setHandler(s.succeed)
	c.receive.dropped = c.receive.dropped.Add(-templateDelay) // as if time had passed
	s.fromSDK.Store(0)
	for range 10 {
		both(t, c)
	}
	if n := s.fromSDK.Load(); n != 1 {
		t.Errorf("the SDK made %d requests after a while, want 1", n)
	}
}

// The template has the address and the scope of the SDK's request, whatever they
// are derived from.
func TestTemplates(t *testing.T) {
	for name, want := range map[string]struct {
		configure         func(*sqs.Options)
		addr, host, scope string
		https             bool
	}{
		"region":       {func(*sqs.Options) {}, "sqs.eu-west-1.amazonaws.com:https", "sqs.eu-west-1.amazonaws.com", "eu-west-1", true},
		"China":        {func(o *sqs.Options) { o.Region = "cn-north-1" }, "sqs.cn-north-1.amazonaws.com.cn:https", "sqs.cn-north-1.amazonaws.com.cn", "cn-north-1", true},
		"FIPS":         {func(o *sqs.Options) { o.EndpointOptions.UseFIPSEndpoint = aws.FIPSEndpointStateEnabled }, "sqs-fips.eu-west-1.amazonaws.com:https", "sqs-fips.eu-west-1.amazonaws.com", "eu-west-1", true},
		"dual stack":   {func(o *sqs.Options) { o.EndpointOptions.UseDualStackEndpoint = aws.DualStackEndpointStateEnabled }, "sqs.eu-west-1.api.aws:https", "sqs.eu-west-1.api.aws", "eu-west-1", true},
		"VPC endpoint": {func(o *sqs.Options) { o.BaseEndpoint = aws.String("https://vpce-1.sqs.eu-west-1.vpce.amazonaws.com") }, "vpce-1.sqs.eu-west-1.vpce.amazonaws.com:https", "vpce-1.sqs.eu-west-1.vpce.amazonaws.com", "eu-west-1", true},
		"emulator":     {func(o *sqs.Options) { o.BaseEndpoint = aws.String("http://localhost:4566") }, "localhost:4566", "localhost:4566", "eu-west-1", false},
		"port 80":      {func(o *sqs.Options) { o.BaseEndpoint = aws.String("http://localhost:80") }, "localhost:80", "localhost", "eu-west-1", false},
		"IPv6":         {func(o *sqs.Options) { o.BaseEndpoint = aws.String("http://[::1]") }, "[::1]:http", "[::1]", "eu-west-1", false},
	} {
		t.Run(name, func(t *testing.T) {
			var m *template
			sdk := newSDK("", func(o *sqs.Options) {
				o.BaseEndpoint = nil
				o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
					m = newTemplate(r, time.Now())
					return responding(oneMessage).Do(r)
				})
			}, want.configure)
			if _, err := receive(t.Context(), sdk); err != nil || m == nil {
				t.Fatalf("template = %v, %v", m, err)
			}
			host := ""
			for _, h := range m.headers {
				if h.name == "host" {
					host = h.value
				}
			}
			if m.addr != want.addr || m.https != want.https || host != want.host || m.scope != want.scope+"/sqs/aws4_request" || m.path != "/" || m.skew != 0 || m.token {
				t.Errorf("host %q, template %+v", host, m)
			}
		})
	}
}

// Requests with another kind of signature, or none, are not copied.
func TestNoTemplate(t *testing.T) {
	sdk := newSDK("http://sqs.test", func(o *sqs.Options) {
		o.Credentials = aws.AnonymousCredentials{}
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			if m := newTemplate(r, time.Now()); m != nil {
				t.Errorf("template = %+v", m)
			}
			return responding(oneMessage).Do(r)
		})
	})
	if _, err := receive(t.Context(), sdk); err != nil {
		t.Error(err)
	}
}

// A request in another protocol than JSON 1.0 is not copied, because its
// successors would have bodies in JSON.
func TestOtherProtocols(t *testing.T) {
	for contentType, copied := range map[string]bool{
		"application/x-amz-json-1.0": true, "application/x-amz-json-1.1": false, "application/x-www-form-urlencoded": false, "application/cbor": false, "": false,
	} {
		sdk := newSDK("http://sqs.test", func(o *sqs.Options) {
			o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
				r.Header.Set("Content-Type", contentType)
				if got := newTemplate(r, time.Now()) != nil; got != copied {
					t.Errorf("a request of type %q was copied: %t", contentType, got)
				}
				return responding(oneMessage).Do(r)
			})
		})
		if _, err := receive(t.Context(), sdk); err != nil {
			t.Error(err)
		}
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
