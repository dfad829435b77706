package sqsclient

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scout/config"
	"scout/internal/jsonscan"
)

// configured returns a client as New makes it, for an endpoint.
func configured(t *testing.T, endpoint string, sdkOnly bool) *Client {
	t.Helper()
	c, err := New(t.Context(), config.AWS{Region: "eu-west-1", AccessKey: "x", SecretKey: "x", Endpoint: endpoint, SDKOnly: sdkOnly}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// An endpoint that sends without end makes a call fail, after a bounded number
// of bytes and without another attempt on the same connection.
func TestResponseLimits(t *testing.T) {
	const maxSent = maxBody + 128<<20 // in bytes; the sockets buffer up to 32 MiB on Linux
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
	for _, test := range []struct {
		name, start, repeat string // the response: repeat is sent until the client closes the connection
		fast, sdk           string // the errors
	}{
		{"a body of 3 GB", ok + "Content-Length: 3000000000\r\n\r\n", strings.Repeat(" ", 1<<20), errBody.Error(), errBody.Error()},
		{"a body of unknown length", ok + "Connection: close\r\n\r\n", strings.Repeat("x", 1<<20), errBody.Error(), errBody.Error()},
		{"endless chunks", ok + "Transfer-Encoding: chunked\r\n\r\n", "100000\r\n" + strings.Repeat(" ", 1<<20) + "\r\n", errBody.Error(), errBody.Error()},
		{"endless headers", ok, strings.Repeat("X-Header: "+strings.Repeat("x", 1000)+"\r\n", 64), errHeader.Error(), "server response headers exceeded 65536 bytes"},
		{"a header without end", ok + "X-Header: ", strings.Repeat("x", 1<<16), errHeader.Error(), "server response headers exceeded 65536 bytes"},
		{"a status without end", "HTTP/1.1 200 ", strings.Repeat("x", 1<<16), errHeader.Error(), "server response headers exceeded 65536 bytes"},
		{"endless interim responses", "", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000), errInterim.Error(), "server response headers exceeded 65536 bytes"},
	} {
		for _, sdkOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, SDK only %t", test.name, sdkOnly), func(t *testing.T) {
				t.Parallel()
				var hostile atomic.Bool
				sent := make(chan int, 10)
				url := newWire(t, func(r *http.Request, c net.Conn) {
					if !hostile.Load() {
						_, _ = io.WriteString(c, plain(r))
						return
					}
					sent <- sendUntilClosed(c, test.start, test.repeat)
				})
				c := configured(t, url, sdkOnly)
				both(t, c)
				hostile.Store(true)
				_, err := c.ReceiveMessage(t.Context(), receiveInput(), once)
				want := test.fast
				if sdkOnly {
					want = test.sdk
				}
				if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 1000 {
					t.Errorf("error = %.1000v, want %q", err, want)
				}
				if n := <-sent; n > maxSent {
					t.Errorf("%d bytes were read, want at most %d", n, maxSent)
				}
				if len(sent) > 0 {
					t.Error("there was another attempt")
				}
				hostile.Store(false)
				both(t, c)
			})
		}
	}
}

// sendUntilClosed sends until the client closes the connection, and returns how
// many bytes that were.
func sendUntilClosed(c net.Conn, start, repeat string) (sent int) {
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	_, err := io.WriteString(c, start)
	for err == nil && sent < 1<<30 {
		var n int
		n, err = io.WriteString(c, repeat)
		sent += n
	}
	return sent
}

// The largest response that SQS may send is within the limits: ten messages of
// 1 MiB of which every byte needs an escape.
func TestLargestResponse(t *testing.T) {
	message := string(jsonscan.AppendQuote(nil, strings.Repeat(`"`, 1<<20)))
	body := `{"Messages":[` + strings.Repeat(`{"MessageId":"m","ReceiptHandle":"h","Body":`+message+`},`, 9) + `{"Body":` + message + `}]}`
	url := newWire(t, func(_ *http.Request, c net.Conn) {
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	})
	c := configured(t, url, false)
	for range 2 { // with the SDK, and with the fast path
		out, err := receive(t.Context(), c)
		if err != nil || len(out.Messages) != 10 || len(*out.Messages[9].Body) != 1<<20 {
			t.Fatal(err)
		}
	}
}

// Five interim responses are skipped.
func TestFiveInterimResponses(t *testing.T) {
	url := newWire(t, func(r *http.Request, c net.Conn) {
		_, _ = io.WriteString(c, strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim)+plain(r))
	})
	c := warm(t, newSDK(url, once))
	both(t, c)
}

// A response with more values than SQS has to send is an error, because each of
// them would take far more memory than its text.
func TestManyValues(t *testing.T) {
	repeat := func(start, value, end string) string {
		return start + strings.Repeat(value+",", maxValues) + value + end
	}
	for name, body := range map[string]string{
		"messages":           repeat(`{"Messages":[`, `{}`, `]}`),
		"attributes":         repeat(`{"Messages":[{"Attributes":{`, `"a":""`, `}}]}`),
		"message attributes": repeat(`{"Messages":[{"MessageAttributes":{`, `"a":{}`, `}}]}`),
		"lists":              repeat(`{"Messages":[{"Unknown":[`, `[]`, `]}]}`),
		"nested lists":       `{"Messages":` + strings.Repeat("[", maxValues+1),
		"nested objects":     `{"Messages":` + strings.Repeat(`{"a":`, maxValues+1),
		"deletions":          repeat(`{"Successful":[`, `{"Id":"0"}`, `]}`),
		"failed deletions":   repeat(`{"Failed":[`, `{}`, `]}`),
	} {
		t.Run(name, func(t *testing.T) {
			if decodeReceive([]byte(body)) != nil || decodeDelete([]byte(body)) != nil {
				t.Error("the response was decoded")
			}
			s := newService(t)
			for _, sdkOnly := range []bool{false, true} {
				s.setHandler(s.succeed)
				c := configured(t, s.URL, sdkOnly)
				both(t, c)
				s.setHandler(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
				for range 2 { // with the fast path, if it is on, and with the SDK
					_, err := c.ReceiveMessage(t.Context(), receiveInput(), once)
					if !errors.Is(err, errValues) {
						t.Errorf("error = %v, want %v", err, errValues)
					}
				}
			}
		})
	}
}

// Structural characters within strings do not count as values.
func TestManyValuesInStrings(t *testing.T) {
	text := strings.Repeat(`,[{\"`, 100_000)
	body := `{"Messages":[{"MessageId":"\\","Body":` + string(jsonscan.AppendQuote(nil, text)) + `,"ReceiptHandle":"h"}]}`
	s := newService(t)
	s.setHandler(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
	for _, sdkOnly := range []bool{false, true} {
		c := configured(t, s.URL, sdkOnly)
		for range 2 {
			out, err := receive(t.Context(), c)
			if err != nil || len(out.Messages) != 1 || *out.Messages[0].Body != text {
				t.Fatal(err)
			}
		}
	}
}

// Buffers of large messages are not kept for later attempts.
func TestLargeBuffersAreNotKept(t *testing.T) {
	a := new(attempt)
	a.body.Grow(maxPooled + 1)
	a.free()
	for range 100 {
		if b := newAttempt(); b == a {
			t.Fatal("the attempt was kept")
		}
	}
}

// With SCOUT_SQS_CLIENT=sdk, the SDK makes every call.
func TestSDKOnly(t *testing.T) {
	s := newService(t)
	c := configured(t, s.URL, true)
	for range 3 {
		both(t, c)
	}
	if s.requests.Load() != 6 || s.fromSDK.Load() != 6 {
		t.Errorf("%d of %d requests were the SDK's, want 6 of 6", s.fromSDK.Load(), s.requests.Load())
	}
}
