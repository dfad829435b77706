package sidekiq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// How long Redis may take to accept a connection, and then for each read and
// write. A server that is silent for longer counts as down.
const (
	dialTimeout  = 2 * time.Second // to connect, and again for the TLS handshake
	readTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	keepAlive    = 30 * time.Second
)

// A server is where a Redis is and how to log in to it.
type server struct {
	network, address   string
	tls                *tlsSettings // nil: no TLS
	username, password string
	database           int
}

// newServer reads a URL that ParseURL has accepted. An error means that a file of
// the TLS options cannot be read.
func newServer(u *url.URL, o Options) (s server, err error) {
	s = server{network: "tcp", username: u.User.Username()}
	var isSet bool
	if s.password, isSet = u.User.Password(); !isSet {
		s.username, s.password = "", s.username // as redis-cli reads redis://password@host
	}
	if u.Scheme == "unix" {
		s.network, s.address = "unix", u.Path
		s.database, _ = strconv.Atoi(u.Query().Get("db"))
		return s, nil
	}
	s.address = net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "6379"))
	s.database, _ = strconv.Atoi(strings.TrimPrefix(u.Path, "/"))
	if u.Scheme == "rediss" || u.Scheme == "valkeys" {
		name, _, _ := strings.Cut(u.Hostname(), "%") // certificates have no zones
		s.tls, err = newTLSSettings(strings.TrimSuffix(name, "."), o.TLS)
	}
	return s, err
}

// dial opens a connection and logs in.
func (s *server) dial(ctx context.Context) (*conn, error) {
	socket, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	c, err := s.logIn(ctx, socket)
	if err != nil {
		socket.Close()
		return nil, err
	}
	return c, nil
}

func (s *server) logIn(ctx context.Context, socket net.Conn) (*conn, error) {
	stream, err := s.startTLS(ctx, socket)
	if err != nil {
		return nil, err
	}
	replies := &respConn{Conn: stream, maxReply: maxReply}
	c := &conn{redis.NewConn(replies, readTimeout, writeTimeout).(redis.ConnWithContext), replies, socket, nil}
	if s.password != "" {
		args := []any{s.password}
		if s.username != "" {
			args = []any{s.username, s.password}
		}
		if _, err := c.DoContext(ctx, "AUTH", args...); err != nil {
			return nil, err
		}
	}
	if s.database != 0 {
		if _, err := c.DoContext(ctx, "SELECT", s.database); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// errHandshakeTimeout is most often the fault of a server without TLS, which
// waits for the end of what it takes for a command.
var errHandshakeTimeout = errors.New("TLS handshake timeout")

func (s *server) startTLS(ctx context.Context, socket net.Conn) (net.Conn, error) {
	if s.tls == nil {
		return socket, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errHandshakeTimeout)
	defer cancel()
	stream := tls.Client(socket, s.tls.config(""))
	if err := stream.HandshakeContext(ctx); err != nil {
		if context.Cause(ctx) == errHandshakeTimeout {
			err = errHandshakeTimeout
		}
		return nil, err
	}
	return stream, nil
}
