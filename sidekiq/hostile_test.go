package sidekiq

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// serve starts a server that answers whatever it receives with reply, and then,
// if more is not nil, sends more over and over.
func serve(t *testing.T, reply string, more []byte) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				request := make([]byte, 1<<16)
				for {
					if _, err := c.Read(request); err != nil {
						return
					}
					_, err := io.WriteString(c, reply)
					for err == nil && more != nil {
						_, err = c.Write(more)
					}
				}
			}()
		}
	}()
	return listener.Addr().String()
}

// calls are all ways to make a client read replies.
var calls = map[string]func(context.Context, *Client) error{
	"Push": func(ctx context.Context, c *Client) error {
		results, err := c.Push(ctx, testJobs("q", 2))
		for _, r := range results {
			if r.Err != nil && err == nil {
				err = r.Err
			}
		}
		return err
	},
	"Ready": func(ctx context.Context, c *Client) error { return c.Ready(ctx, "q") },
	"Usage": func(ctx context.Context, c *Client) error { _, err := c.Usage(ctx, []string{"q"}); return err },
	"Info":  func(ctx context.Context, c *Client) error { _, err := c.Info(ctx); return err },
}

// Replies that no Redis sends are errors that cost little time and memory.
func TestHostileReplies(t *testing.T) {
	for name, c := range map[string]struct {
		reply string
		more  []byte
	}{
		"huge bulk string":             {reply: "$9223372036854775807\r\n"},
		"bulk string of a gigabyte":    {reply: "$1073741824\r\n"},
		"length that overflows":        {reply: "$92233720368547758070\r\n"},
		"huge array":                   {reply: "*4000000000\r\n"},
		"array of a million":           {reply: "*1000000\r\n"},
		"many arrays":                  {reply: "*9000\r\n" + strings.Repeat("*9000\r\n", 9000)},
		"nested arrays":                {reply: strings.Repeat("*1\r\n", 100_000)},
		"endless nesting":              {more: bytes.Repeat([]byte("*1\r\n"), 1000)},
		"endless line":                 {reply: "+", more: bytes.Repeat([]byte("x"), 1<<16)},
		"endless error":                {reply: "-ERR ", more: bytes.Repeat([]byte("x"), 1<<16)},
		"long error":                   {reply: "-ERR " + strings.Repeat("x", 3<<20) + "\r\n"},
		"error of 60 KB":               {reply: "-ERR " + strings.Repeat("x", 60<<10) + "\r\n"},
		"error for the terminal":       {reply: "-ERR \x1b[31m\u202e\xff\r\n"},
		"nil":                          {reply: "$-1\r\n"},
		"nil array":                    {reply: "*-1\r\n"},
		"empty array":                  {reply: "*0\r\n"},
		"a status":                     {reply: "+OK\r\n"},
		"an unknown result":            {reply: "*2\r\n:1\r\n:9\r\n"},
		"a result of another type":     {reply: "*2\r\n:1\r\n*0\r\n"},
		"a status as a result":         {reply: "*2\r\n:1\r\n+OK\r\n"},
		"nil and a text as results":    {reply: "*2\r\n$-1\r\n$1\r\nx\r\n"},
		"an unknown error of a job":    {reply: "*2\r\n:1\r\n$1\r\nx\r\n"},
		"negative length":              {reply: "$-5\r\n"},
		"no number":                    {reply: ":\r\n"},
		"bulk string without its end":  {reply: "$1\r\nxyz\r\n"},
		"line without carriage return": {reply: ":1\n"},
		"empty line":                   {reply: "\r\n"},
		"RESP3":                        {reply: "%1\r\n+a\r\n:1\r\n"},
	} {
		addr := serve(t, c.reply, c.more)
		for call, do := range calls {
			t.Run(name+"/"+call, func(t *testing.T) {
				client := newTestClient(t, addr, func(o *Options) { o.RetryFor = 100 * time.Millisecond })
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := time.Now()
				err := do(t.Context(), client)
				runtime.ReadMemStats(&after)
				if err == nil {
					t.Fatal("no error")
				}
				text := err.Error()
				if len(text) > 500 || strings.ContainsAny(text, "\x1b\u202e") || !utf8.ValidString(text) || strings.Contains(text, "redigo") {
					t.Errorf("error of %d bytes: %.600q", len(text), text)
				}
				if errors.Is(err, ErrHeldBack) {
					t.Errorf("error = %v for a reply that says nothing of the kind", err)
				}
				if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 16 {
					t.Errorf("%d MiB allocated", mb)
				}
				if elapsed := time.Since(start); elapsed > 3*time.Second {
					t.Errorf("took %v", elapsed)
				}
			})
		}
	}
}

// A server may repeat the password that it receives.
func TestServerRepeatsPassword(t *testing.T) {
	const password = "hunter2-and-more"
	for name, reply := range map[string]string{
		"in full":             "-ERR nobody has the password " + password + " here\r\n",
		"as the code":         "-" + password + "\r\n",
		"where a text is cut": "-ERR " + strings.Repeat("x", 190) + password + "\r\n",
		"after a known code":  "-NOPERM " + password + "\r\n",
		"as a job's error":    "*2\r\n:1\r\n$26\r\nWRONGTYPE " + password + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, reply, nil)
			c := newTestClient(t, "", func(o *Options) { o.URL, o.RetryFor = "redis://:"+password+"@"+addr, time.Millisecond })
			for call, do := range calls {
				if err := do(t.Context(), c); err == nil || strings.Contains(err.Error(), password[:5]) {
					t.Errorf("%s: error = %v", call, err)
				}
			}
		})
	}
}

// Errors say in a sentence what happened and what to check.
func TestErrorsSayWhatToDo(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	secureWeb := httptest.NewUnstartedServer(http.NotFoundHandler())
	secureWeb.Config.ErrorLog = log.New(io.Discard, "", 0)
	secureWeb.StartTLS()
	defer secureWeb.Close()
	closed := func() string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		return listener.Addr().String()
	}()
	hangUp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hangUp.Close()
	go func() {
		for {
			c, err := hangUp.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	for name, c := range map[string]struct {
		url  string
		is   error
		want []string
	}{
		"web server":           {"redis://" + web.Listener.Addr().String(), ErrUnusable, []string{"not a Redis", "host and port"}},
		"TLS port":             {"redis://" + secureWeb.Listener.Addr().String(), nil, []string{"closed the connection", "rediss://"}},
		"TLS port, with alert": {"redis://" + serve(t, "\x15\x03\x01\x00\x02\x02\x46", nil), ErrUnusable, []string{"expects TLS", "rediss://"}},
		"closed at once":       {"redis://" + hangUp.Addr().String(), nil, []string{"closed the connection", "rediss://"}},
		"no TLS":               {"rediss://" + web.Listener.Addr().String(), ErrUnusable, []string{"does not speak TLS", "redis://"}},
		"unknown CA":           {"rediss://" + secureWeb.Listener.Addr().String(), ErrUnusable, []string{"certificate"}},
		"MySQL":                {"redis://" + serve(t, "J\x00\x00\x00\n8.0.36\x00\x08\x00\x00\x00", nil), ErrUnusable, []string{"not a Redis", "host and port"}},
		"connection refused":   {"redis://" + closed, nil, []string{"connection refused", "host and port", closed}},
		"unknown host":         {"redis://no-such-host.invalid", nil, []string{"no-such-host.invalid", "host"}},
		"no socket":            {"unix:///nonexistent/redis.sock", nil, []string{"/nonexistent/redis.sock", "no such file", "path"}},
		"missing permission":   {"redis://" + serve(t, "-NOPERM this user has no permissions to run the 'eval' command\r\n", nil), ErrUnusable, []string{"'eval'", "docs/configuration.md", "ACL"}},
		"wrong password":       {"redis://:x@" + serve(t, "-WRONGPASS invalid username-password pair\r\n", nil), ErrCredentials, []string{"WRONGPASS", "user and password"}},
		"needless password":    {"redis://:x@" + serve(t, "-ERR AUTH <password> called without any password configured\r\n", nil), ErrCredentials, []string{"has no password"}},
		"memory is full":       {"redis://" + serve(t, "-OOM command not allowed when used memory > 'maxmemory'.\r\n", nil), nil, []string{"OOM", "maxmemory"}},
		"cannot write to disk": {"redis://" + serve(t, "-MISCONF Redis is configured to save RDB snapshots\r\n", nil), nil, []string{"MISCONF", "log"}},
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, "", func(o *Options) { o.URL, o.RetryFor = c.url, time.Millisecond })
			for call, do := range calls {
				err := do(t.Context(), client)
				if err == nil {
					t.Fatal("no error")
				}
				for _, want := range c.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%s: error = %v, want %q in it", call, err, want)
					}
				}
				for _, sentinel := range []error{ErrCredentials, ErrUnusable} {
					if errors.Is(err, sentinel) != (sentinel == c.is) {
						t.Errorf("%s: error = %v, want it to be %v", call, err, c.is)
					}
				}
				for _, raw := range []string{"redigo", "dial tcp", "lookup", "EOF", "\x00"} {
					if strings.Contains(err.Error(), raw) {
						t.Errorf("%s: error = %v, want no %q", call, err, raw)
					}
				}
			}
		})
	}
}

// A timeout of Redis is not the caller's deadline.
func TestSilenceIsNoDeadline(t *testing.T) {
	err := error(&net.OpError{Op: "dial", Net: "tcp", Err: context.DeadlineExceeded})
	if _, err = new(server).explain(err); errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "firewall") {
		t.Errorf("error = %v, want one about the network", err)
	}
	c := newTestClient(t, serve(t, "", nil), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	results, err := c.Push(ctx, testJobs("q", 1))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(results[0].Err, context.DeadlineExceeded) {
		t.Errorf("error = %v, result = %v, want the deadline", err, results[0])
	}
}

func TestClosedClient(t *testing.T) {
	c := newTestClient(t, serve(t, "", nil), nil)
	c.Close()
	start := time.Now()
	_, err := c.Push(t.Context(), testJobs("q", 1))
	if err == nil || !strings.Contains(err.Error(), "client is closed") || time.Since(start) > time.Second {
		t.Errorf("error after %v = %v, want at once that the client is closed", time.Since(start), err)
	}
}
