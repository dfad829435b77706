package sidekiq

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Bounds of a reply. redigo has none: it allocates as much as the server
// announces, recurses into nested arrays, and panics on some lengths.
const (
	maxReply    = 1 << 20  // bytes; INFO and the results of a chunk are a few KB
	maxJobReply = 16 << 20 // bytes, where the reply is a job; Scout's own have up to 7 MiB
	maxLine     = 64 << 10 // bytes
	maxElements = 10_000   // of all arrays in the reply
	maxDepth    = 8        // of arrays in arrays
)

// Errors of replies.
var (
	errNotRedis        = errors.New("the server is not a Redis")
	errWantsTLS        = errors.New("the port expects TLS")
	errClosedAtOnce    = errors.New("the server closed the connection without a reply")
	errReplyTooLarge   = errors.New("the reply is larger than Scout accepts")
	errUnexpectedReply = errors.New("unexpected reply to the command")
)

// A respConn passes on the bytes of a server as long as they are RESP 2, Redis's
// protocol, and within the bounds, so that redigo neither panics nor allocates
// much more than maxReply.
type respConn struct {
	net.Conn
	maxReply int   // bytes
	err      error // why nothing more is read

	received bool // the server has sent something

	// The current reply.
	size     int // bytes, including all of its last bulk string
	elements int
	missing  [maxDepth]int // elements still to come of each open array
	depth    int           // number of open arrays

	line   []byte // the part of the current line received so far
	bulk   int    // bytes still to come of the current bulk string
	inBulk bool   // the current line ends a bulk string
}

func (c *respConn) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(b)
	c.received = c.received || n > 0
	if c.err = c.check(b[:n]); c.err != nil {
		return 0, c.err
	}
	return n, c.explain(err)
}

func (c *respConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !c.received && !errors.Is(err, os.ErrDeadlineExceeded) {
		// In TLS 1.3, a server rejects a client's certificate after the
		// handshake. Its alert says so, and has to be read.
		_ = c.Conn.SetReadDeadline(time.Now().Add(pingTimeout))
		if _, alert := c.Conn.Read(make([]byte, 1)); isAlert(alert) {
			err = alert
		}
	}
	return n, c.explain(err)
}

// explain marks an error that came before the server's first byte.
func (c *respConn) explain(err error) error {
	if err == nil || c.received {
		return err
	}
	return fmt.Errorf("%w: %w", errClosedAtOnce, err)
}

// check checks the next bytes of the current reply and of those after it.
func (c *respConn) check(b []byte) error {
	for len(b) > 0 {
		if c.bulk > 0 {
			n := min(c.bulk, len(b))
			c.bulk, b = c.bulk-n, b[n:]
			continue
		}
		n := bytes.IndexByte(b, '\n') + 1
		ended := n > 0
		if !ended {
			n = len(b)
		}
		if err := c.checkPart(b[:n]); err != nil {
			return err
		}
		if ended {
			line := c.line
			c.line = c.line[:0]
			if err := c.checkLine(line); err != nil {
				return err
			}
		}
		b = b[n:]
	}
	return nil
}

// checkPart adds a part to the current line.
func (c *respConn) checkPart(part []byte) error {
	if len(c.line) == 0 && !c.inBulk && strings.IndexByte("+-:$*", part[0]) < 0 {
		if c.depth == 0 && part[0] == 0x15 { // an alert of TLS (RFC 8446, section 5.1)
			return errWantsTLS
		}
		return errNotRedis
	}
	c.line = append(c.line, part...)
	if len(c.line) > maxLine {
		return errReplyTooLarge
	}
	return c.addSize(len(part))
}

func (c *respConn) addSize(n int) error {
	if n > c.maxReply-c.size {
		return errReplyTooLarge
	}
	c.size += n
	return nil
}

// checkLine checks a whole line, which ends in a line feed.
func (c *respConn) checkLine(line []byte) error {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	switch {
	case !ok, c.inBulk && len(text) > 0:
		return errNotRedis
	case c.inBulk:
		c.inBulk = false
	case text[0] == ':' || text[0] == '$' || text[0] == '*':
		n, err := strconv.ParseInt(string(text[1:]), 10, 64)
		if err != nil || text[1] == '+' {
			return errNotRedis
		}
		if text[0] != ':' {
			return c.begin(text[0], n)
		}
	}
	c.endElement()
	return nil
}

// begin begins a bulk string of n bytes or an array of n elements; -1 is nil.
func (c *respConn) begin(kind byte, n int64) error {
	switch {
	case n < -1:
		return errNotRedis
	case n == -1, kind == '*' && n == 0:
		c.endElement()
	case kind == '$':
		if n > int64(c.maxReply) {
			return errReplyTooLarge
		}
		c.bulk, c.inBulk = int(n), true
		return c.addSize(int(n))
	case c.depth == maxDepth || n > int64(maxElements-c.elements):
		return errReplyTooLarge
	default:
		c.elements += int(n)
		c.missing[c.depth] = int(n)
		c.depth++
	}
	return nil
}

// endElement ends an element, the arrays whose last element it is, and the reply
// if no array is open.
func (c *respConn) endElement() {
	for c.depth > 0 {
		c.missing[c.depth-1]--
		if c.missing[c.depth-1] > 0 {
			return
		}
		c.depth--
	}
	c.size, c.elements = 0, 0
}
