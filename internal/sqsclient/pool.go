package sqsclient

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// maxIdle is how long a connection may be unused. A server may cut a
// connection after some time, of which we would hear only after we have sent
// the next request. Those of a busy poller wait for milliseconds.
const maxIdle = 3 * time.Second

// A pool holds connections to an endpoint that speak HTTP/1.1. With net/http, a
// request passes through three goroutines; here it is written and answered in
// the caller's.
type pool struct {
	transport *http.Transport // of the SDK; says how to connect

	mu   sync.Mutex
	idle []*conn // the one that was used last is the last
}

type conn struct {
	net.Conn
	addr string // that it was opened for
	in   *bufio.Reader
	used time.Time
}

// newPool returns nil if it cannot connect as the SDK's client does.
func newPool(client sqs.HTTPClient) *pool {
	buildable, ok := client.(interface{ GetTransport() *http.Transport })
	if !ok {
		return nil
	}
	transport := buildable.GetTransport()
	if transport.DialContext == nil || transport.DialTLSContext != nil || transport.TLSClientConfig == nil {
		return nil
	}
	return &pool{transport: transport}
}

// reach reports whether the pool can do such requests: if there is one, and
// they go straight to their URL's host.
func (p *pool) reach(r *http.Request) bool {
	if p == nil || p.transport.Proxy == nil {
		return p != nil
	}
	proxy, err := p.transport.Proxy(r)
	return proxy == nil && err == nil
}

// roundTrip sends an attempt's request and reads what comes of it. It leaves
// the attempt as it is if there is no connection to be had. If a connection
// turns out to have been cut while it was idle, which shows at once, it takes
// another. What is cut later SQS may have acted on: the SDK judges.
func (p *pool) roundTrip(ctx context.Context, m *model, a *attempt) {
	for {
		if a.err = ctx.Err(); a.err != nil {
			return // before SQS gives out messages to nobody
		}
		c, reused, err := p.get(ctx, m)
		if err != nil {
			a.err = ctx.Err()
			return
		}
		start := time.Now()
		answered := p.exchange(ctx, c, a)
		cutBefore := reused && !answered && time.Since(start) < 100*time.Millisecond && ctx.Err() == nil
		if !cutBefore {
			return
		}
	}
}

// exchange is roundTrip on a connection, which it keeps or closes. It reports
// whether there was an answer, or the beginning of one.
func (p *pool) exchange(ctx context.Context, c *conn, a *attempt) (answered bool) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	if _, a.err = c.Write(a.wire); a.err == nil {
		_, a.err = c.in.Peek(1)
	}
	if answered = a.err == nil; answered {
		a.read(c.in)
	}
	if !stop() || a.err != nil || a.response.Close || a.response.StatusCode < 200 || c.in.Buffered() > 0 {
		c.Close()
	} else {
		p.put(c)
	}
	return answered
}

// read reads a response, after any that only say that it will come. Its body
// can be read again, up to where it was cut.
func (a *attempt) read(in *bufio.Reader) {
	for a.response == nil || a.response.StatusCode < 200 && a.response.StatusCode != http.StatusSwitchingProtocols {
		if a.response, a.err = http.ReadResponse(in, nil); a.err != nil {
			return
		}
	}
	if n := a.response.ContentLength; n > 0 && n < 64<<20 {
		a.body.Grow(int(n) + bytes.MinRead)
	}
	_, a.err = a.body.ReadFrom(a.response.Body)
	a.response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(a.body.Bytes()), end{a.err}))
}

// An end is a reader of nothing more.
type end struct{ err error }

func (e end) Read([]byte) (int, error) { return 0, cmp.Or(e.err, io.EOF) }

// get returns a connection that was used before, or a new one.
func (p *pool) get(ctx context.Context, m *model) (c *conn, reused bool, err error) {
	for c := p.take(m.addr); c != nil; c = p.take(m.addr) {
		if c.quiet() {
			return c, true, nil
		}
		c.Close()
	}
	c, err = p.dial(ctx, m)
	return c, false, err
}

// quiet reports whether the server has neither closed the connection nor sent
// anything: what it sends to nobody is no answer to the next request.
func (c *conn) quiet() (quiet bool) {
	wire := c.Conn
	if secured, ok := wire.(*tls.Conn); ok {
		wire = secured.NetConn()
	}
	socket, ok := wire.(syscall.Conn)
	if !ok {
		return true // nobody can know
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
		return true
	})
	return quiet && err == nil
}

// take takes the connection that was used last.
func (p *pool) take(addr string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.prune()
	last := len(p.idle) - 1
	if last < 0 || p.idle[last].addr != addr {
		return nil
	}
	c := p.idle[last]
	p.idle = p.idle[:last]
	return c
}

func (p *pool) put(c *conn) {
	c.used = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
	p.prune()
}

// prune closes the connections that were idle for too long.
func (p *pool) prune() {
	n := 0
	for n < len(p.idle) && time.Since(p.idle[n].used) > maxIdle {
		p.idle[n].Close()
		n++
	}
	p.idle = slices.Delete(p.idle, 0, n)
}

func (p *pool) dial(ctx context.Context, m *model) (*conn, error) {
	c, err := p.transport.DialContext(ctx, "tcp", m.addr)
	if err != nil {
		return nil, err
	}
	if m.https {
		if c, err = p.handshake(ctx, c, m); err != nil {
			return nil, err
		}
	}
	return &conn{Conn: c, addr: m.addr, in: bufio.NewReader(c)}, nil
}

func (p *pool) handshake(ctx context.Context, c net.Conn, m *model) (net.Conn, error) {
	if limit := p.transport.TLSHandshakeTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	config := p.transport.TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(m.addr)
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}
