package sidekiq

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"syscall"

	"github.com/gomodule/redigo/redis"

	"scout/internal/printable"
)

// Errors of Redis that callers branch on. Other errors may go away by
// themselves.
var (
	// ErrCredentials means that Redis rejects the user or the password.
	ErrCredentials = errors.New("wrong Redis credentials")

	// ErrUnusable means that Scout cannot use this Redis as it is set up: a
	// permission is missing, its certificate is not trusted, it is a Redis Cluster,
	// or it is not a Redis.
	ErrUnusable = errors.New("this Redis cannot be used")
)

var errCluster = fmt.Errorf("%w: Sidekiq does not work with Redis Cluster", ErrUnusable)

// Advice that several errors share.
const (
	checkAddress  = "check the host and port, or the path, of the Redis URL"
	checkLogin    = "check the user and password of the Redis URL"
	checkIAM      = "check redis.iam.cache, that the user of the Redis URL has IAM authentication and is in the cache's user group, and the permission elasticache:Connect"
	checkDatabase = "check the database at the end of the Redis URL"
	checkACL      = "grant the permissions of the ACL in docs/configuration.md"
	checkTLS      = "if the port has no TLS, the Redis URL must begin with redis://"
	noPassword    = "this Redis has no password, so the Redis URL must have none"
)

// transientReplies are the beginnings of error replies that may be gone a moment
// later or on another connection. These and the texts below are those of
// Redis 4 to 8 (src/server.c, acl.c, replication.c, networking.c, script.c).
var transientReplies = []string{
	"READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "BUSY", "NOSCRIPT", "TRYAGAIN",
	"ERR max number of clients",
}

// permanentReplies are the beginnings of error replies that last until somebody
// acts.
var permanentReplies = []struct {
	prefix string
	is     error // nil: callers may wait until the error is gone
	advice string
}{
	{"OOM", nil, "make room in Redis, or raise its maxmemory"},
	{"MISCONF", nil, "Redis's log says why it cannot save its data"},

	{"NOAUTH", ErrCredentials, checkLogin},
	{"WRONGPASS", ErrCredentials, checkLogin},
	{"ERR Protocol error: unauthenticated", ErrCredentials, checkLogin}, // to a command with many arguments
	{"ERR invalid password", ErrCredentials, checkLogin},
	{"ERR AUTH", ErrCredentials, noPassword},
	{"ERR Client sent AUTH", ErrCredentials, noPassword},
	{"ERR wrong number of arguments for 'auth'", ErrCredentials, "before version 6, Redis has no users: leave the user out of the Redis URL"},

	{"NOPERM", ErrUnusable, checkACL},
	{"ERR The user executing the script", ErrUnusable, checkACL},
	{"The user executing the script", ErrUnusable, checkACL},
	{"ERR unknown command", ErrUnusable, "the server must be a Redis or Valkey with this command; a Sentinel belongs in redis.sentinels"},
	{"ERR DB index", ErrUnusable, checkDatabase},
	{"ERR invalid DB index", ErrUnusable, checkDatabase},
	{"DENIED", ErrUnusable, "set a password in Redis, or turn off its protected mode"},
	{"ERR SELECT is not allowed in cluster mode", errCluster, "use one without cluster mode"},
	{"CROSSSLOT", errCluster, "use one without cluster mode"},
	{"MOVED", errCluster, "use one without cluster mode"},
	{"CLUSTERDOWN", errCluster, "use one without cluster mode"},
}

// scriptPrefix is what Redis 6 and older put before the text of an error in a
// script.
var scriptPrefix = regexp.MustCompile(`^(ERR Error running script \(.*?\): )?(@user_script: ?\d+: )*-?`)

// An explainedError holds the results of an earlier explain.
type explainedError struct {
	retry bool
	error
}

func (e *explainedError) Unwrap() error { return e.error }

// explain returns an error of a connection in a form that is fit for a log, says
// what to do, and wraps ErrCredentials or ErrUnusable where they apply. It
// reports whether a retry on another connection may succeed.
func (s *server) explain(err error) (retry bool, _ error) {
	if explained, ok := errors.AsType[*explainedError](err); ok {
		return explained.retry, explained.error
	}
	reply, ok := errors.AsType[redis.Error](err)
	if !ok {
		return s.explainFailure(err)
	}
	shown := redis.Error(strings.TrimSuffix(s.show(string(reply)), "."))
	text := strings.TrimPrefix(string(reply), scriptPrefix.FindString(string(reply)))
	for _, prefix := range transientReplies {
		if strings.HasPrefix(text, prefix) {
			return true, shown
		}
	}
	for _, r := range permanentReplies {
		switch {
		case !strings.HasPrefix(text, r.prefix):
		case r.advice == checkLogin && s.newPassword != nil:
			return false, fmt.Errorf("%w: %w; %s", r.is, shown, checkIAM)
		case r.is == nil:
			return false, fmt.Errorf("%w; %s", shown, r.advice)
		default:
			return false, fmt.Errorf("%w: %w; %s", r.is, shown, r.advice)
		}
	}
	return false, shown
}

// explainFailure explains an error that is not a reply. It does not wrap the
// timeouts of package net, which errors.Is takes for context.DeadlineExceeded,
// because the caller's deadline has not passed.
func (s *server) explainFailure(err error) (retry bool, _ error) {
	dns, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	verification, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case untrusted:
		return false, fmt.Errorf("%w: the server's certificate cannot be trusted (%s): %s%s", ErrUnusable, s.show(verification.Err.Error()), certificateAdvice(err), s.tls.note())
	case isAlert(err):
		return false, fmt.Errorf("%w: the server ended TLS (%s); if it wants a client certificate, set redis.tls.cert and redis.tls.key%s", ErrUnusable, s.show(op.Err.Error()), s.tls.note())
	case noTLS:
		return false, fmt.Errorf("%w: the server does not speak TLS; %s", ErrUnusable, checkTLS)
	case errors.Is(err, errHandshakeTimeout):
		return false, fmt.Errorf("%w: no answer to the TLS handshake within %v; %s", ErrUnusable, dialTimeout, checkTLS)
	case errors.Is(err, errWantsTLS):
		return false, fmt.Errorf("%w: %w, so the Redis URL must begin with rediss://", ErrUnusable, errWantsTLS)
	case errors.Is(err, ErrUnconfirmed):
		return true, err
	case errors.Is(err, errNotMaster):
		return true, errNotMaster
	case errors.Is(err, errNotRedis):
		return false, fmt.Errorf("%w: %w; %s", ErrUnusable, errNotRedis, checkAddress)
	case errors.Is(err, errReplyTooLarge), errors.Is(err, errUnexpectedReply):
		return false, fmt.Errorf("%w; check that the Redis URL belongs to a Redis", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true, fmt.Errorf("no reply within %v; check the load of Redis and the network", readTimeout)
	case errors.Is(err, errClosedAtOnce) && s.tls == nil:
		return true, fmt.Errorf("%w; if its port expects TLS, the Redis URL must begin with rediss://", errClosedAtOnce)
	case errors.Is(err, errClosedAtOnce):
		return true, errClosedAtOnce
	case isDNS:
		return true, fmt.Errorf("the host %q cannot be looked up: %s; check the host of the Redis URL and this machine's DNS", dns.Name, s.show(dns.Err))
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, errors.New("connection refused; start Redis, or " + checkAddress)
	case isOp && op.Op == "dial" && op.Timeout():
		return true, fmt.Errorf("no connection within %v; check firewalls and security groups; %s", dialTimeout, checkAddress)
	case isOp && op.Op == "dial":
		return true, fmt.Errorf("no connection: %s; %s", s.show(op.Err.Error()), checkAddress)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return true, errors.New("the server closed the connection")
	case strings.HasSuffix(err.Error(), "get on closed pool"):
		return false, errors.New("the client is closed")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true, err
	}
	return true, errors.New(s.show(err.Error()))
}

// show returns a server's text in a form that is fit for a log: short, printable
// and without the password. It removes the arguments that Redis repeats, cut
// off, when it does not know a command, because those of AUTH are the password.
func (s *server) show(text string) string {
	text, _, _ = strings.Cut(text, ", with args beginning with")
	if s.password != "" {
		text = strings.ReplaceAll(text, s.password, "[password]")
	}
	return printable.Text(text, maxShown)
}

// maxShown is the maximum length of a server's text in an error, in bytes.
const maxShown = 200

func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

func replyHasPrefix(err error, prefix string) bool {
	reply, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(string(reply), prefix)
}

// isFormerMaster reports whether an error comes from a master that has become a
// replica, or that may have been replaced without knowing it.
func isFormerMaster(err error) bool {
	return errors.Is(err, ErrUnconfirmed) || replyHasPrefix(err, "READONLY") || replyHasPrefix(err, "UNBLOCKED") || replyHasPrefix(err, "MASTERDOWN")
}

func isNoScript(err error) bool { return replyHasPrefix(err, "NOSCRIPT") }

func isWrongType(err error) bool { return replyHasPrefix(err, "WRONGTYPE") }
