package monitor

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A pipeListener accepts connections in memory, for tests in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	close  func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), errs: make(chan error, 1), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.close(); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// dial returns the client's end of a connection, once it was accepted.
func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

// serve serves a Monitor in the test's bubble.
func serve(t *testing.T, log *slog.Logger) *pipeListener {
	t.Helper()
	m := New(func() Status { return Status{} })
	m.Log = log
	ctx, cancel := context.WithCancel(t.Context())
	l := newPipeListener()
	done := make(chan struct{})
	go func() { defer close(done); m.Serve(ctx, l) }()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// Connections that are idle or slow are closed.
func TestConnectionsAreClosed(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		within  time.Duration
	}{
		"nothing is sent":          {"", headTimeout},
		"half a header":            {"GET /healthz HTTP/1.1\r\nHost: x\r\n", headTimeout},
		"idle after a request":     {"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", idleTimeout},
		"a body that never ends":   {"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", idleTimeout + timeout},
		"a header without an end":  {"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 1<<20), headTimeout},
		"the response is not read": {"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", timeout + idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := serve(t, slog.New(slog.DiscardHandler)).dial()
				begin := time.Now()
				go func() { _, _ = io.WriteString(conn, c.request) }()
				if strings.HasPrefix(name, "the response") {
					time.Sleep(c.within)
				}
				_, _ = io.Copy(io.Discard, conn)
				if elapsed := time.Since(begin); elapsed > c.within+time.Second {
					t.Errorf("closed after %v, want %v", elapsed, c.within)
				}
			})
		})
	}
}

// However many clients connect, only so many connections are open.
func TestConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := serve(t, slog.New(slog.DiscardHandler))
		for range maxConns {
			l.dial()
		}
		begin := time.Now()
		conn := l.dial() // waits until the others have timed out
		if waited := time.Since(begin); waited != headTimeout {
			t.Errorf("connection %d was accepted after %v, want %v", maxConns+1, waited, headTimeout)
		}
		go func() { _, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") }()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Errorf("response %v, %v", response, err)
		}
	})
}

// Errors of net/http go through slog.
func TestServerErrorsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := serve(t, slog.New(slog.NewJSONHandler(&log, nil)))
		l.errs <- &net.OpError{Op: "accept", Err: syscall.EMFILE}
		time.Sleep(time.Second)
		synctest.Wait()
		var line struct{ Level, Text string }
		if err := json.Unmarshal(log.Bytes(), &line); err != nil || line.Level != "WARN" || !strings.Contains(line.Text, "too many open files") {
			t.Errorf("%v; log: %s", err, &log)
		}
	})
}
