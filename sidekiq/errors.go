package sidekiq

import (
	"crypto/tls"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// Errors of Redis that its users branch on. What wraps neither may pass by itself.
var (
	// ErrCredentials means that Redis knows no such user and password.
	ErrCredentials = errors.New("wrong Redis credentials")

	// ErrUnusable means that this Redis cannot be used as it is set up:
	// Redis Cluster, missing permissions, or a certificate that is not trusted.
	ErrUnusable = errors.New("this Redis cannot be used")
)

// A remedy is what to do about an error.
type remedy int

const (
	giveBack remedy = iota // Redis cannot take jobs until somebody mends it
	again                  // a moment later, on another connection, it may work
	refused                // it will not work with this configuration
)

// replies maps what Redis's error replies begin with to their remedies. The
// texts are those of Redis 4 to 8 (src/server.c, acl.c, replication.c,
// networking.c, script.c).
var replies = []struct {
	prefix string
	remedy remedy
	is     error
}{
	{"READONLY", again, nil},
	{"LOADING", again, nil},
	{"MASTERDOWN", again, nil},
	{"NOREPLICAS", again, nil},
	{"UNBLOCKED", again, nil},
	{"BUSY", again, nil},
	{"NOSCRIPT", again, nil},
	{"TRYAGAIN", again, nil},
	{"ERR max number of clients", again, nil},

	{"NOAUTH", refused, ErrCredentials},
	{"WRONGPASS", refused, ErrCredentials},
	{"ERR Protocol error: unauthenticated", refused, ErrCredentials}, // to a command with many arguments
	{"ERR invalid password", refused, ErrCredentials},
	{"ERR AUTH", refused, ErrCredentials},
	{"ERR Client sent AUTH", refused, ErrCredentials},
	{"ERR wrong number of arguments for 'auth'", refused, ErrCredentials}, // a user, before Redis 6

	{"NOPERM", refused, ErrUnusable},
	{"ERR The user executing the script", refused, ErrUnusable},
	{"The user executing the script", refused, ErrUnusable},
	{"ERR unknown command", refused, ErrUnusable},
	{"ERR DB index", refused, ErrUnusable},
	{"ERR invalid DB index", refused, ErrUnusable},
	{"DENIED", refused, ErrUnusable}, // protected mode
	{"ERR SELECT is not allowed in cluster mode", refused, errCluster},
	{"CROSSSLOT", refused, errCluster},
	{"MOVED", refused, errCluster},
	{"CLUSTERDOWN", refused, errCluster},
}

var errCluster = fmt.Errorf("%w: Sidekiq does not work with Redis Cluster", ErrUnusable)

// inScript is what Redis 6 and older put before the text of an error in a script.
var inScript = regexp.MustCompile(`^(ERR Error running script \(.*?\): )?(@user_script: ?\d+: )*-?`)

// classify says what to do about an error of a connection and wraps it in
// ErrCredentials or ErrUnusable where it is one of these.
func classify(err error) (remedy, error) {
	if reply, ok := errors.AsType[redis.Error](err); ok {
		text := strings.TrimPrefix(string(reply), inScript.FindString(string(reply)))
		for _, r := range replies {
			if !strings.HasPrefix(text, r.prefix) {
				continue
			}
			if r.is != nil {
				err = fmt.Errorf("%w: %w", r.is, err)
			}
			return r.remedy, err
		}
		return giveBack, err
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	// redigo's error has no type; a server without TLS never answers the handshake.
	if untrusted || notTLS || alert || strings.HasSuffix(err.Error(), "TLS handshake timeout") {
		return refused, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return again, err // refused, unreachable, cut or silent
}
