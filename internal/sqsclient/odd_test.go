package sqsclient

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/internal/logging"
)

// once limits the SDK to one attempt, as the poller does.
func once(o *sqs.Options) { o.RetryMaxAttempts = 1 }

// newWire starts a server that calls respond to write each response, and returns its URL.
func newWire(t *testing.T, respond func(r *http.Request, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		for in := bufio.NewReader(c); ; {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			respond(r, c)
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "http://" + l.Addr().String()
}

// plain returns a successful response.
func plain(r *http.Request) string {
	body := oneDeleted
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ReceiveMessage") {
		body = oneMessage
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// An interim response is not taken for the response, and the response not for
// that to the next request.
func TestInterimResponses(t *testing.T) {
	var requests atomic.Int64
	url := newWire(t, func(r *http.Request, c net.Conn) {
		requests.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
		time.Sleep(5 * time.Millisecond)
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"+plain(r))
	})
	c := newClient(newSDK(url, once))
	for range 5 {
		both(t, c)
	}
	if n := requests.Load(); n != 10 {
		t.Errorf("%d requests for 10 calls", n)
	}
}

// Bytes that a server sends on an idle connection are not the response to the next request.
func TestStrayBytes(t *testing.T) {
	for name, stray := range map[string]string{
		"a timeout":  "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"a response": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"nonsense":   "nonsense",
	} {
		t.Run(name, func(t *testing.T) {
			returned, sent := make(chan struct{}, 1), make(chan struct{}, 1)
			url := newWire(t, func(r *http.Request, c net.Conn) {
				_, _ = io.WriteString(c, plain(r))
				<-returned
				_, _ = io.WriteString(c, stray)
				sent <- struct{}{}
			})
			c := newClient(newSDK(url, once))
			for range 4 {
				out, err := receive(t.Context(), c)
				returned <- struct{}{}
				if err != nil || len(out.Messages) != 1 {
					t.Fatalf("ReceiveMessage = %v, %v", out, err)
				}
				<-sent
			}
		})
	}
}

// Only the SDK follows redirects.
func TestRedirect(t *testing.T) {
	s := newService(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.URL+r.URL.Path, http.StatusPermanentRedirect)
	}))
	defer front.Close()
	c := newClient(newSDK(front.URL, once))
	for range 4 {
		both(t, c)
	}
}

// If only the SDK can connect, it makes the call.
func TestNoWayToConnect(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL, once))
	s.fromSDK.Store(0)
	nowhere := *c.receive.template.Load()
	nowhere.addr = "127.0.0.1:1"
	c.receive.template.Store(&nowhere)
	for range 3 {
		if _, err := receive(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.fromSDK.Load(); n != 3 {
		t.Errorf("%d requests came from the SDK, want all 3", n)
	}
}

// The fast path asks for uncompressed responses, because it does not decompress them.
func TestCompressedResponses(t *testing.T) {
	s := newService(t)
	s.setHandler(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") == "identity" {
			s.succeed(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		recorder := httptest.NewRecorder()
		s.succeed(recorder, r)
		_, _ = z.Write(recorder.Body.Bytes())
	})
	c := newClient(newSDK(s.URL, once))
	for range 3 {
		both(t, c)
	}
}

// A call whose context has ended is not made, because its response would be lost.
func TestCancelledBefore(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL, once))
	s.requests.Store(0)
	for range 100 {
		both(t, c) // leaves an idle connection
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := receive(ctx, c); err == nil {
			t.Error("a call that was cancelled succeeded")
		}
	}
	if n := s.requests.Load(); n != 200 {
		t.Errorf("%d requests were sent, want only those of the 200 other calls", n)
	}
}

// Successful calls restore the SDK's quota of retries.
func TestQuota(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL, func(o *sqs.Options) { o.Retryer = retryFastV2{retry.NewStandard()} }))
	s.setHandler(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for range 60 { // during an outage
		_, _ = remove(t.Context(), c)
	}
	s.setHandler(s.succeed)
	for range 20 { // after it
		both(t, c)
	}
	var failed atomic.Bool
	s.setHandler(func(w http.ResponseWriter, r *http.Request) {
		if failed.Swap(true) {
			s.succeed(w, r)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	both(t, c) // needs a retry
}

// retryFastV2 is retryFast with a quota of retries.
type retryFastV2 struct{ *retry.Standard }

func (retryFastV2) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

// A server that sends more than its response makes net/http print the rest with
// package log, which no option of net/http prevents. What the process logs of it
// has nothing of a message.
func TestUnsolicitedBytesAreNotLogged(t *testing.T) {
	var mu sync.Mutex
	var text bytes.Buffer
	flags, output := log.Flags(), log.Writer()
	t.Cleanup(func() { log.SetFlags(flags); log.SetOutput(output) })
	logging.Redirect(slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, nil)))
	url := newWire(t, func(r *http.Request, c net.Conn) {
		_, _ = io.WriteString(c, plain(r)+plain(r)+`{"Messages":[{"Body":"hunter2"}]}`)
	})
	for _, sdkOnly := range []bool{false, true} {
		c := configured(t, url, sdkOnly)
		for range 3 { // whatever comes of it: the rest may be taken for the next response
			_, _ = receive(t.Context(), c)
			_, _ = remove(t.Context(), c)
		}
	}
	logged := func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(logged(), "Unsolicited response"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("net/http logs nothing")
		}
	}
	if got := logged(); strings.Contains(got, "hunter2") || strings.Contains(got, "Body") || strings.Contains(got, "MessageId") {
		t.Errorf("the log is %s", got)
	}
}

// A lockedWriter writes under a mutex.
type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
