package sqsclient

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// transport configures how a client connects.
func transport(configure func(*http.Transport)) func(*sqs.Options) {
	return func(o *sqs.Options) {
		o.HTTPClient = newHTTPClient(awshttp.NewBuildableClient().WithTransportOptions(configure))
	}
}

func TestTLS(t *testing.T) {
	s := prepareService(t)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	trusted := x509.NewCertPool()
	trusted.AddCert(s.Certificate())
	c := warm(t, newSDK(s.URL, transport(func(t *http.Transport) { t.TLSClientConfig.RootCAs = trusted })))
	both(t, c)
	if s.fromSDK.Load() != 2 || s.requests.Load() != 4 {
		t.Errorf("%d of %d requests came from the SDK, want 2 of 4", s.fromSDK.Load(), s.requests.Load())
	}
	if _, err := receive(t.Context(), newClient(newSDK(s.URL))); err == nil {
		t.Error("the SDK trusted an unknown certificate")
	}
	// Neither does the fast path.
	c.conns = newPool(awshttp.NewBuildableClient())
	a := newAttempt()
	a.request = appendReceive(a.request, &sqs.ReceiveMessageInput{})
	if c.try(t.Context(), &c.receive, a) || a.response != nil {
		t.Error("the fast path trusted an unknown certificate")
	}
}

// The SDK makes every call through a proxy or with an HTTP client of another type.
func TestOnlyTheSDK(t *testing.T) {
	s := newService(t)
	var proxied atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied.Add(1)
		s.succeed(w, r)
	}))
	defer proxy.Close()
	proxyURL, _ := url.Parse(proxy.URL)
	c := newClient(newSDK("http://sqs.test", transport(func(t *http.Transport) { t.Proxy = http.ProxyURL(proxyURL) })))
	other := newClient(newSDK(s.URL, func(o *sqs.Options) { o.HTTPClient = http.DefaultClient }))
	for range 3 {
		both(t, c)
		both(t, other)
	}
	if proxied.Load() != 6 || s.fromSDK.Load() != 6 {
		t.Errorf("%d requests through the proxy and %d from the SDK to the service, want 6 and 6", proxied.Load(), s.fromSDK.Load())
	}
}

// A call does not fail because the server has closed the idle connections.
func TestCutWhileIdle(t *testing.T) {
	s := newService(t)
	sdk := newSDK(s.URL, func(o *sqs.Options) { o.RetryMaxAttempts = 1 })
	c := warm(t, sdk)
	both(t, c)
	for range 10 {
		s.CloseClientConnections()
		both(t, c)
	}
}

// Connections that have been idle for long are closed, not used.
func TestIdleConnections(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	var calls sync.WaitGroup
	var waiting sync.WaitGroup
	waiting.Add(5)
	s.setHandler(func(w http.ResponseWriter, r *http.Request) { waiting.Done(); waiting.Wait(); s.succeed(w, r) })
	for range 5 {
		calls.Go(func() { _, _ = receive(t.Context(), c) })
	}
	calls.Wait()
	if n := len(c.conns.idle); n != 5 {
		t.Errorf("%d idle connections after 5 concurrent calls", n)
	}
	for _, conn := range c.conns.idle[:4] {
		conn.used = conn.used.Add(-2 * maxIdle)
	}
	s.setHandler(s.succeed)
	s.dials.Store(0)
	both(t, c)
	if n := len(c.conns.idle); n != 1 || s.dials.Load() != 0 {
		t.Errorf("%d idle connections and %d new ones, want only the one that is not old, and no new one", n, s.dials.Load())
	}
}

// The context ends a call to a server that never responds.
func TestSilence(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	released := make(chan struct{})
	defer close(released)
	s.setHandler(func(http.ResponseWriter, *http.Request) { <-released })
	for range 2 { // on an idle connection, and on a new one
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := receive(ctx, c); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := remove(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want context.Canceled", err)
	}
}

// If the server is gone, the error is the SDK's network error.
func TestServerGone(t *testing.T) {
	s := newService(t)
	sdk := newSDK(s.URL)
	c := warm(t, sdk)
	s.Close()
	_, err := receive(t.Context(), c)
	_, want := receive(t.Context(), sdk)
	if _, ok := errors.AsType[*net.OpError](err); !ok || fmt.Sprint(err) != fmt.Sprint(want) {
		t.Errorf("error = %v, the SDK's is %v", err, want)
	}
}

func TestConcurrentCalls(t *testing.T) {
	s := newService(t)
	c := newClient(newSDK(s.URL))
	var calls sync.WaitGroup
	for range 32 {
		calls.Go(func() {
			for range 20 {
				both(t, c)
			}
		})
	}
	calls.Wait()
	if n := s.requests.Load(); n != 32*20*2 {
		t.Errorf("%d requests for %d calls", n, 32*20*2)
	}
}
