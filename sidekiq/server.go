package sidekiq

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
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
	network, address   string       // with sentinels, the address is the master's name
	tls                *tlsSettings // nil: no TLS
	username, password string
	newPassword        func(context.Context) (string, error) // nil: password
	database           int
	sentinels          *sentinels // nil: the address is the Redis's

	// generation grows when existing connections may lead to a server that is no
	// longer the master. Connections of earlier generations are not used again.
	generation atomic.Int64
}

// newServer reads a URL that ParseURL has accepted. An error means that a file of
// the TLS options cannot be read.
func newServer(u *url.URL, o Options) (*server, error) {
	s := &server{network: "tcp", username: u.User.Username(), newPassword: o.Password}
	var isSet bool
	if s.password, isSet = u.User.Password(); !isSet && o.Password == nil {
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
		var err error
		if s.tls, err = newTLSSettings(o.TLS); err != nil {
			return nil, fmt.Errorf("reading the certificates for Redis: %w", err)
		}
	}
	if len(o.Sentinels) > 0 {
		s.address = u.Hostname()
		s.sentinels = newSentinels(s, o)
	}
	return s, nil
}

// String returns where the Redis is, for logs.
func (s *server) String() string {
	if s.sentinels == nil {
		return s.address
	}
	if master := s.sentinels.lastMaster(); master != "" {
		return s.address + " (" + master + ")"
	}
	return s.address
}

// dial opens a connection to the Redis and logs in.
func (s *server) dial(ctx context.Context) (*conn, error) {
	if s.sentinels != nil {
		return s.dialMaster(ctx)
	}
	return s.open(ctx, s.address)
}

// open opens a connection to an address and logs in.
func (s *server) open(ctx context.Context, address string) (*conn, error) {
	generation := s.generation.Load()
	socket, err := (&net.Dialer{Timeout: dialTimeout, KeepAlive: keepAlive}).DialContext(ctx, s.network, address)
	if err != nil {
		return nil, err
	}
	c, err := s.logIn(ctx, socket, address)
	if err != nil {
		socket.Close()
		return nil, err
	}
	c.generation = generation
	return c, nil
}

// logIn turns a socket into a connection, in one round trip after those of TLS.
func (s *server) logIn(ctx context.Context, socket net.Conn, address string) (*conn, error) {
	stream, err := s.startTLS(ctx, socket, address)
	if err != nil {
		return nil, err
	}
	replies := &respConn{Conn: stream, maxReply: maxReply}
	c := &conn{ConnWithContext: redis.NewConn(replies, readTimeout, writeTimeout).(redis.ConnWithContext), replies: replies, socket: socket}
	commands, err := s.authCommands(ctx)
	if err != nil {
		return nil, err
	}
	if s.database != 0 {
		commands = append(commands, []any{"SELECT", s.database})
	}
	if s.sentinels != nil {
		commands = append(commands, []any{"ROLE"})
	}
	if len(commands) == 0 {
		return c, nil // naming the client is not worth a round trip
	}
	values, err := c.pipeline(ctx, append(commands, []any{"CLIENT", "SETINFO", "LIB-NAME", "scout"})...)
	switch {
	case err != nil && (len(values) < len(commands) || !isHarmless(err)):
		return nil, err
	case s.sentinels != nil:
		return c, checkRole(values[len(commands)-1])
	}
	return c, nil
}

// isHarmless reports whether an error of CLIENT SETINFO, which makes CLIENT LIST
// show the client's name, only means that the server does not know the command,
// which is new in Redis 7.2, or does not allow it.
func isHarmless(err error) bool {
	return replyHasPrefix(err, "NOPERM") || replyHasPrefix(err, "ERR") && !replyHasPrefix(err, "ERR max number of clients")
}

// authCommands returns the command AUTH, or nothing if there is no password.
func (s *server) authCommands(ctx context.Context) ([][]any, error) {
	password := s.password
	if s.newPassword != nil {
		var err error
		if password, err = s.newPassword(ctx); err != nil {
			return nil, &explainedError{true, err}
		}
	}
	switch {
	case password == "":
		return nil, nil
	case s.username == "":
		return [][]any{{"AUTH", password}}, nil
	default:
		return [][]any{{"AUTH", s.username, password}}, nil
	}
}

// errHandshakeTimeout usually comes from a server without TLS, which takes the
// handshake for a command and waits for its end.
var errHandshakeTimeout = errors.New("TLS handshake timeout")

func (s *server) startTLS(ctx context.Context, socket net.Conn, address string) (net.Conn, error) {
	if s.tls == nil {
		return socket, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, dialTimeout, errHandshakeTimeout)
	defer cancel()
	stream := tls.Client(socket, s.tls.config(address))
	if err := stream.HandshakeContext(ctx); err != nil {
		if context.Cause(ctx) == errHandshakeTimeout {
			err = errHandshakeTimeout
		}
		return nil, err
	}
	return stream, nil
}
