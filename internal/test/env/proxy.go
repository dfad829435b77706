package env

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// A Proxy is a TCP proxy that counts round trips, and that can lose replies.
type Proxy struct {
	Addr string // host:port

	// Swallow is called for each reply of the server; nil means false. If it
	// returns true, the client gets a closed connection instead of the reply.
	Swallow func() bool

	RoundTrips atomic.Int64 // replies, each to one request or several pipelined ones
}

// NewProxy starts a proxy in front of the server at addr. It ends with the test.
func NewProxy(t testing.TB, addr string, swallow func() bool) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &Proxy{Addr: l.Addr().String(), Swallow: swallow}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client, addr)
		}
	}()
	return p
}

func (p *Proxy) serve(client net.Conn, addr string) {
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	var requested atomic.Bool // since the last reply
	go func() {
		defer server.Close()
		_, _ = io.Copy(server, readFunc(func(b []byte) (int, error) {
			n, err := client.Read(b)
			requested.Store(true)
			return n, err
		}))
	}()
	_, _ = io.Copy(client, readFunc(func(b []byte) (int, error) {
		n, err := server.Read(b)
		if requested.Swap(false) {
			p.RoundTrips.Add(1)
		}
		if p.Swallow != nil && n > 0 && p.Swallow() {
			return 0, io.ErrUnexpectedEOF
		}
		return n, err
	}))
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }
