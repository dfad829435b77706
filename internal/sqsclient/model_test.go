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

// rotating are credentials that change.
type rotating struct {
	atomic.Pointer[aws.Credentials]
}

func (r *rotating) Retrieve(context.Context) (aws.Credentials, error) { return *r.Load(), nil }

// verify signs a request that was received with the SDK's signer, and reports
// whether the result is the signature that the request came with.
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
		again.Header.Del(name) // the signer adds them
	}
	hash := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(t.Context(), c, again, hex.EncodeToString(hash[:]), "sqs", "eu-west-1", date); err != nil {
		t.Error(err)
	}
	return again.Header.Get("Authorization") == r.Header.Get("Authorization") &&
		again.Header.Get("X-Amz-Security-Token") == r.Header.Get("X-Amz-Security-Token")
}

// The signatures are those of the SDK's signer, for permanent and for
// temporary credentials, and after these have changed.
func TestSignatures(t *testing.T) {
	s := newService(t)
	var current rotating
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		if !verify(t, r, *current.Load()) {
			t.Errorf("wrong signature: %v", r.Header)
		}
		s.succeed(w, r)
	})
	for path, ours := range map[string]bool{"": true, "/v1/sqs.test": true, "/a b/ü": false} {
		current.Store(&aws.Credentials{AccessKeyID: "AKID1", SecretAccessKey: "one"})
		c := New(newSDK(s.URL+path, func(o *sqs.Options) { o.Credentials = &current }))
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
				t.Errorf("path %q: the SDK made %d requests", path, s.fromSDK.Load())
			}
		}
	}
}

// A day later, the key is another one.
func TestSigningKeyOfTheDay(t *testing.T) {
	m := &model{scope: "eu-west-1/sqs/aws4_request"}
	first := m.signingKey("secret", "20260102")
	if !bytes.Equal(m.signingKey("secret", "20260102"), first) || bytes.Equal(m.signingKey("secret", "20260103"), first) ||
		bytes.Equal(m.signingKey("other", "20260102"), first) {
		t.Error("the signing key does not follow the day and the secret")
	}
}

// With a clock that is wrong, the SDK finds out what SQS's clock says, and the
// Client learns that.
func TestWrongClock(t *testing.T) {
	s := newService(t)
	const ahead = time.Hour
	var refused atomic.Int32
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
		if date, _ := time.Parse(amzDate, r.Header.Get("X-Amz-Date")); now.Sub(date).Abs() > 5*time.Minute {
			refused.Add(1)
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"__type":"com.amazon.coral.service#SignatureDoesNotMatch","message":"Signature expired"}`)
			return
		}
		s.succeed(w, r)
	})
	c := New(newSDK(s.URL))
	for range 5 {
		both(t, c)
	}
	if refused.Load() != 1 || s.fromSDK.Load() != 3 {
		t.Errorf("%d requests were refused, want 1; %d were the SDK's, want 3", refused.Load(), s.fromSDK.Load())
	}
}

// A Client whose own requests are refused leaves them to the SDK for a while.
func TestRefused(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Amz-Sdk-Invocation-Id") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		s.succeed(w, r)
	})
	if _, err := receive(t.Context(), c); err == nil {
		t.Error("a refused request led to no error")
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
	s.answers(s.succeed)
	c.receive.refused.Add(-int64(relearnAfter)) // time passes
	s.fromSDK.Store(0)
	for range 10 {
		both(t, c)
	}
	if n := s.fromSDK.Load(); n != 1 {
		t.Errorf("the SDK made %d requests after a while, want 1", n)
	}
}

// Where the SDK sends a request to, and what it is signed for, is learned from
// it, whatever decides that.
func TestModels(t *testing.T) {
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
			var m *model
			sdk := newSDK("", func(o *sqs.Options) {
				o.BaseEndpoint = nil
				o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
					m = newModel(r, time.Now())
					return answering(oneMessage).Do(r)
				})
			}, want.configure)
			if _, err := receive(t.Context(), sdk); err != nil || m == nil {
				t.Fatalf("model = %v, %v", m, err)
			}
			host := ""
			for _, h := range m.headers {
				if h.name == "host" {
					host = h.value
				}
			}
			if m.addr != want.addr || m.https != want.https || host != want.host || m.scope != want.scope+"/sqs/aws4_request" || m.path != "/" || m.skew != 0 || m.token {
				t.Errorf("host %q, model %+v", host, m)
			}
		})
	}
}

// Requests that are signed otherwise, or not at all, are the SDK's.
func TestNoModel(t *testing.T) {
	sdk := newSDK("http://sqs.test", func(o *sqs.Options) {
		o.Credentials = aws.AnonymousCredentials{}
		o.HTTPClient = doer(func(r *http.Request) (*http.Response, error) {
			if m := newModel(r, time.Now()); m != nil {
				t.Errorf("model = %+v", m)
			}
			return answering(oneMessage).Do(r)
		})
	})
	if _, err := receive(t.Context(), sdk); err != nil {
		t.Error(err)
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
