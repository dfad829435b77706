package sqsclient

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// once has the SDK make no second attempt, as the poller has it.
func once(o *sqs.Options) { o.RetryMaxAttempts = 1 }

// newWire starts a server that writes its answers as they are, and returns its URL.
func newWire(t *testing.T, answer func(r *http.Request, c net.Conn)) string {
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
			answer(r, c)
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

// plain is an answer of success.
func plain(r *http.Request) string {
	body := oneDeleted
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ReceiveMessage") {
		body = oneMessage
	}
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// An answer that only says that another will come is not the answer, and
// nobody else gets that one.
func TestInterimAnswers(t *testing.T) {
	var requests atomic.Int64
	url := newWire(t, func(r *http.Request, c net.Conn) {
		requests.Add(1)
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
		time.Sleep(5 * time.Millisecond)
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n"+plain(r))
	})
	c := New(newSDK(url, once))
	for range 5 {
		both(t, c)
	}
	if n := requests.Load(); n != 10 {
		t.Errorf("%d requests for 10 calls", n)
	}
}

// What a server sends on an idle connection is no answer to the next request.
func TestStrayBytes(t *testing.T) {
	for name, stray := range map[string]string{
		"a timeout": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"an answer": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"nonsense":  "nonsense",
	} {
		t.Run(name, func(t *testing.T) {
			url := newWire(t, func(r *http.Request, c net.Conn) {
				_, _ = io.WriteString(c, plain(r))
				time.Sleep(5 * time.Millisecond) // until the client has read the answer
				_, _ = io.WriteString(c, stray)
			})
			c := New(newSDK(url, once))
			for range 4 {
				out, err := receive(t.Context(), c)
				if err != nil || len(out.Messages) != 1 {
					t.Fatalf("ReceiveMessage = %v, %v", out, err)
				}
				time.Sleep(30 * time.Millisecond) // until that has come
			}
		})
	}
}

// Where the SDK goes when it is sent elsewhere, it goes alone.
func TestRedirect(t *testing.T) {
	s := newService(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, s.URL+r.URL.Path, http.StatusPermanentRedirect)
	}))
	defer front.Close()
	c := New(newSDK(front.URL, once))
	for range 4 {
		both(t, c)
	}
}

// If only the SDK can connect, it does.
func TestNoWayToConnect(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL, once))
	s.fromSDK.Store(0)
	nowhere := *c.receive.model.Load()
	nowhere.addr = "127.0.0.1:1"
	c.receive.model.Store(&nowhere)
	for range 3 {
		if _, err := receive(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.fromSDK.Load(); n != 3 {
		t.Errorf("%d requests were the SDK's, want all 3", n)
	}
}

// Answers are asked for as they are, for nobody here decompresses them.
func TestCodedAnswers(t *testing.T) {
	s := newService(t)
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") == "identity" {
			s.succeed(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		answer := httptest.NewRecorder()
		s.succeed(answer, r)
		_, _ = z.Write(answer.Body.Bytes())
	})
	c := New(newSDK(s.URL, once))
	for range 3 {
		both(t, c)
	}
}

// A call whose context has ended is not made: its answer would be lost.
func TestCancelledBefore(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL, once))
	s.requests.Store(0)
	for range 100 {
		both(t, c) // leaves a connection
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := receive(ctx, c); err == nil {
			t.Error("a call that was cancelled succeeded")
		}
	}
	if n := s.requests.Load(); n != 200 {
		t.Errorf("%d requests were sent, want those of the 200 other calls", n)
	}
}

// Successes restore the SDK's quota of retries.
func TestQuota(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL, func(o *sqs.Options) { o.Retryer = retryFastV2{retry.NewStandard()} }))
	s.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	for range 60 { // an outage
		_, _ = remove(t.Context(), c)
	}
	s.answers(s.succeed)
	for range 20 { // it is over
		both(t, c)
	}
	var failed atomic.Bool
	s.answers(func(w http.ResponseWriter, r *http.Request) {
		if failed.Swap(true) {
			s.succeed(w, r)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	both(t, c) // by a retry
}

// retryFastV2 is retryFast with the quota.
type retryFastV2 struct{ *retry.Standard }

func (retryFastV2) RetryDelay(int, error) (time.Duration, error) { return 0, nil }
