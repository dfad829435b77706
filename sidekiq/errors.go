package sidekiq

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// Errors of Redis that callers branch on. Other errors may go away by
// themselves.
var (
	// ErrCredentials means that Redis rejects the user or the password.
	ErrCredentials = errors.New("wrong Redis credentials")

	// ErrUnusable means that Scout cannot use this Redis as it is set up:
	// it is a Redis Cluster, a permission is missing, or its certificate is
	// not trusted.
	ErrUnusable = errors.New("this Redis cannot be used")
)

var errCluster = fmt.Errorf("%w: Sidekiq does not work with Redis Cluster", ErrUnusable)

// transientReplies are what those of Redis's errors begin with that a moment
// later, or on another connection, may be gone. These and the texts below are
// those of Redis 4 to 8 (src/server.c, acl.c, replication.c, networking.c,
// script.c).
var transientReplies = []string{
	"READONLY", "LOADING", "MASTERDOWN", "NOREPLICAS", "UNBLOCKED", "BUSY", "NOSCRIPT", "TRYAGAIN",
	"ERR max number of clients",
}

// fatalReplies are what those of Redis's errors begin with that stay until
// somebody changes the configuration of Scout or Redis.
var fatalReplies = []struct {
	prefix string
	is     error
}{
	{"NOAUTH", ErrCredentials},
	{"WRONGPASS", ErrCredentials},
	{"ERR Protocol error: unauthenticated", ErrCredentials}, // to a command with many arguments
	{"ERR invalid password", ErrCredentials},
	{"ERR AUTH", ErrCredentials},
	{"ERR Client sent AUTH", ErrCredentials},
	{"ERR wrong number of arguments for 'auth'", ErrCredentials}, // a user, before Redis 6

	{"NOPERM", ErrUnusable},
	{"ERR The user executing the script", ErrUnusable},
	{"The user executing the script", ErrUnusable},
	{"ERR unknown command", ErrUnusable},
	{"ERR DB index", ErrUnusable},
	{"ERR invalid DB index", ErrUnusable},
	{"DENIED", ErrUnusable}, // protected mode
	{"ERR SELECT is not allowed in cluster mode", errCluster},
	{"CROSSSLOT", errCluster},
	{"MOVED", errCluster},
	{"CLUSTERDOWN", errCluster},
}

// scriptPrefix is what Redis 6 and older put before the text of an error in a
// script.
var scriptPrefix = regexp.MustCompile(`^(ERR Error running script \(.*?\): )?(@user_script: ?\d+: )*-?`)

// classify wraps an error of a connection in ErrCredentials or ErrUnusable if
// it is one of them, and reports whether a retry on another connection may
// succeed.
func classify(err error) (retry bool, _ error) {
	reply, ok := errors.AsType[redis.Error](err)
	if !ok {
		if isTLSFailure(err) {
			return false, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		return true, err // refused, unreachable, cut or silent
	}
	text := strings.TrimPrefix(string(reply), scriptPrefix.FindString(string(reply)))
	for _, prefix := range transientReplies {
		if strings.HasPrefix(text, prefix) {
			return true, err
		}
	}
	for _, r := range fatalReplies {
		if strings.HasPrefix(text, r.prefix) {
			return false, fmt.Errorf("%w: %w", r.is, err)
		}
	}
	return false, err // such as OOM and MISCONF
}

// isTLSFailure reports whether the two sides cannot agree on TLS, or the
// server's certificate is not trusted.
func isTLSFailure(err error) bool {
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return untrusted || notTLS || alert || errors.Is(err, errHandshakeTimeout)
}

func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

func replyHasPrefix(err error, prefix string) bool {
	reply, ok := errors.AsType[redis.Error](err)
	return ok && strings.HasPrefix(string(reply), prefix)
}

func isNoScript(err error) bool { return replyHasPrefix(err, "NOSCRIPT") }

func isWrongType(err error) bool { return replyHasPrefix(err, "WRONGTYPE") }
