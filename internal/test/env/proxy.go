package env

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A Proxy is a TCP proxy that counts round trips, and that can lose requests and
// replies.
type Proxy struct {
	Addr string // host:port

	// Swallow is called for each reply of the server; nil means false. If it
	// returns true, the client gets a closed connection instead of the reply.
	Swallow func() bool

	// Cut, unless nil, is called for each request, or part of one, of a client. If it
	// returns true, the server gets half of the request, and the connection of the
	// client is closed. Set it before the first connection.
	Cut func() bool

	mu     sync.Mutex // guards the fields below
	server string     // the address of the server
	conns  map[net.Conn]bool

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
	p := &Proxy{Addr: l.Addr().String(), Swallow: swallow, server: addr, conns: map[net.Conn]bool{}}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go p.serve(client)
		}
	}()
	return p
}

// Retarget closes all connections. Later ones go to the server at addr.
func (p *Proxy) Retarget(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.server = addr
	for client := range p.conns {
		client.Close()
	}
}

// open records the connection of a client, and returns the address of the server.
func (p *Proxy) open(client net.Conn) (addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[client] = true
	return p.server
}

func (p *Proxy) close(client net.Conn) {
	client.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
}

func (p *Proxy) serve(client net.Conn) {
	addr := p.open(client)
	defer p.close(client)
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
			if p.Cut != nil && n > 0 && p.Cut() {
				return n / 2, io.ErrUnexpectedEOF
			}
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
