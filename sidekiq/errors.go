package sidekiq

import (
	"crypto/tls"
	"errors"
	"fmt"
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
// texts are those of Redis 4 to 8 (src/server.c, acl.c, replication.c, networking.c).
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

	{"NOPERM", refused, ErrUnusable},
	{"ERR The user executing the script", refused, ErrUnusable},
	{"CROSSSLOT", refused, fmt.Errorf("%w: Sidekiq does not work with Redis Cluster", ErrUnusable)},
	{"MOVED", refused, fmt.Errorf("%w: Sidekiq does not work with Redis Cluster", ErrUnusable)},
	{"CLUSTERDOWN", refused, fmt.Errorf("%w: Sidekiq does not work with Redis Cluster", ErrUnusable)},
}

// classify says what to do about an error of a connection and wraps it in
// ErrCredentials or ErrUnusable where it is one of these.
func classify(err error) (remedy, error) {
	if reply, ok := errors.AsType[redis.Error](err); ok {
		for _, r := range replies {
			if !strings.HasPrefix(string(reply), r.prefix) {
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
	if untrusted || notTLS {
		return refused, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	return again, err // refused, unreachable, cut or silent
}
