package sqsclient

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// maxIdle is how long a connection may be unused. A server closes idle
// connections after some time, and a client may not notice until it has sent the
// next request. The connections of a busy poller are idle for milliseconds.
const maxIdle = 3 * time.Second

// Limits of a response. All but maxInterim also hold for the SDK's calls.
const (
	maxBody    = 32 << 20 // bytes; ten messages of 1 MiB can be 20 MiB in JSON
	maxHeader  = 64 << 10 // bytes, interim responses included
	maxInterim = 5        // responses with a status of 1xx
	maxValues  = 20_000   // in JSON; ten messages with ten attributes have some 500
)

var (
	errBody    = errors.New("the body of the response is larger than 32 MiB")
	errHeader  = errors.New("the headers of the response are larger than 64 KiB")
	errInterim = errors.New("more than five interim responses")
	errValues  = errors.New("the response has more than 20000 JSON values")
)

// A pool holds HTTP/1.1 connections to an endpoint. In net/http, a request
// passes through three goroutines; here the caller writes the request and reads
// the response itself.
type pool struct {
	gate      Gate            // may be nil
	transport *http.Transport // of the SDK; determines how to connect

	mu   sync.Mutex
	idle []*conn // in the order of their last use
}

type conn struct {
	net.Conn
	addr string // host:port for which it was opened
	in   *bufio.Reader
	left int // bytes that may still be read from Conn
	used time.Time
}

// Read fills c.in.
func (c *conn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errHeader // only headers are limited here
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
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

// canSend reports whether the pool can send requests like r, because they go
// straight to the host of their URL.
func (p *pool) canSend(r *http.Request) bool {
	if p.transport.Proxy == nil {
		return true
	}
	proxy, err := p.transport.Proxy(r)
	return proxy == nil && err == nil
}

// roundTrip sends the request of an attempt and reads its outcome. It leaves
// the attempt as it is if it cannot connect. If a connection turns out to have
// been cut while it was idle, which shows at once, it takes another one. On a
// connection that is cut later, SQS may have acted: that is for the SDK to judge.
func (p *pool) roundTrip(ctx context.Context, t *template, a *attempt) {
	for {
		if a.err = ctx.Err(); a.err != nil {
			return // otherwise, SQS would send messages that are not read
		}
		c, reused, err := p.get(ctx, t)
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

// exchange is roundTrip on one connection, which it then keeps or closes. It
// reports whether a response began.
func (p *pool) exchange(ctx context.Context, c *conn, a *attempt) (answered bool) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	c.left = maxHeader
	if _, a.err = c.Write(a.wire); a.err == nil {
		_, a.err = c.in.Peek(1)
	}
	if answered = a.err == nil; answered {
		a.read(ctx, c, p.gate)
	}
	if !stop() || a.err != nil || a.response.Close || a.response.StatusCode < 200 || c.in.Buffered() > 0 {
		c.Close()
	} else {
		p.put(c)
	}
	return answered
}

// read reads the response, after any interim ones, and its body into a.body.
// There is no response if it exceeds a limit.
func (a *attempt) read(ctx context.Context, c *conn, gate Gate) {
	for interim := 0; ; interim++ {
		if a.response, a.err = http.ReadResponse(c.in, nil); a.err != nil {
			return
		}
		if a.response.StatusCode >= 200 || a.response.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		if interim == maxInterim {
			a.response, a.err = nil, errInterim
			return
		}
	}
	c.left = math.MaxInt
	a.readBody(ctx, gate)
}

// readBody reads the body of the response. A body that is large, or may be, enters the gate first.
func (a *attempt) readBody(ctx context.Context, gate Gate) {
	body, size := io.LimitReader(a.response.Body, maxBody+1), a.response.ContentLength
	if size < 0 { // it comes in chunks
		var n int64
		if n, a.err = a.body.ReadFrom(io.LimitReader(body, minGated)); n < minGated || a.err != nil {
			return
		}
		size = 10 << 20 // messages of the maximum size
	}
	if size > maxBody {
		a.response, a.err = nil, errBody
		return
	}
	if gate != nil && size >= minGated {
		if a.err = gate.Enter(ctx, size); a.err != nil {
			a.response = nil
			return
		}
		a.leave = func() { gate.Leave(size) }
	}
	a.body.Grow(int(size) + bytes.MinRead)
	if _, a.err = a.body.ReadFrom(body); a.body.Len() > maxBody {
		a.response, a.err = nil, errBody
	}
}

// get returns a usable idle connection, or else a new one.
func (p *pool) get(ctx context.Context, t *template) (c *conn, reused bool, err error) {
	for c := p.take(t.addr); c != nil; c = p.take(t.addr) {
		if c.usable() {
			return c, true, nil
		}
		c.Close()
	}
	c, err = p.dial(ctx, t)
	return c, false, err
}

// usable reports whether the server has neither closed the idle connection nor
// sent anything: bytes that arrive before the next request are not its response.
func (c *conn) usable() (usable bool) {
	wire := c.Conn
	if secured, ok := wire.(*tls.Conn); ok {
		wire = secured.NetConn()
	}
	socket, ok := wire.(syscall.Conn)
	if !ok {
		return true // unknown
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		usable = err == syscall.EAGAIN
		return true
	})
	return usable && err == nil
}

// take removes and returns the connection that was used last. It returns nil if
// there is none or it belongs to another address.
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

// prune closes the connections that have been idle for too long.
func (p *pool) prune() {
	n := 0
	for n < len(p.idle) && time.Since(p.idle[n].used) > maxIdle {
		p.idle[n].Close()
		n++
	}
	p.idle = slices.Delete(p.idle, 0, n)
}

func (p *pool) dial(ctx context.Context, t *template) (*conn, error) {
	c, err := p.transport.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	if t.https {
		if c, err = p.handshake(ctx, c, t); err != nil {
			return nil, err
		}
	}
	opened := &conn{Conn: c, addr: t.addr}
	opened.in = bufio.NewReader(opened)
	return opened, nil
}

func (p *pool) handshake(ctx context.Context, c net.Conn, t *template) (net.Conn, error) {
	if limit := p.transport.TLSHandshakeTimeout; limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	config := p.transport.TLSClientConfig.Clone()
	config.NextProtos = []string{"http/1.1"}
	if config.ServerName == "" {
		config.ServerName, _, _ = net.SplitHostPort(t.addr)
	}
	secured := tls.Client(c, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return secured, nil
}
