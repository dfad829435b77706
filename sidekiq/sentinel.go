package sidekiq

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/printable"
)

const (
	sentinelTimeout = time.Second            // to connect to a sentinel and get its answers
	roleInterval    = 250 * time.Millisecond // between two attempts while the named master is a replica
	maxSentinels    = 16
)

// sentinels find out which Redis is the master, as Ruby's redis-client does. A
// failover needs no notification: connections to the former master are cut, or
// answer READONLY, and the next one leads to the new master.
type sentinels struct {
	server     server   // logs in to a sentinel; has no address of its own
	name       string   // of the master
	configured []string // addresses

	mu        sync.Mutex // guards the fields below
	addresses []string   // configured and reported ones, in the order to ask them
	master    string     // the address last found
}

func newSentinels(s *server, o Options) *sentinels {
	return &sentinels{
		server:     server{network: "tcp", tls: s.tls, username: o.SentinelUsername, password: o.SentinelPassword},
		name:       s.address,
		configured: o.Sentinels,
		addresses:  o.Sentinels,
	}
}

func (n *sentinels) lastMaster() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.master
}

// order returns the addresses of the sentinels in the order to ask them.
func (n *sentinels) order() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addresses
}

// Sentinels returns the addresses of the sentinels: the configured ones and
// those that they have reported so far. The one that answered last comes first.
func (c *Client) Sentinels() []string {
	if c.server.sentinels == nil {
		return nil
	}
	return slices.Clone(c.server.sentinels.order())
}

// errNotMaster means that a failover is under way, possibly unnoticed by the
// sentinels so far.
var errNotMaster = errors.New("the Redis that the sentinels call the master is a replica")

// dialMaster opens a connection to the master.
func (s *server) dialMaster(ctx context.Context) (*conn, error) {
	for end := time.Now().Add(dialTimeout); ; {
		address, changed, err := s.sentinels.findMaster(ctx)
		if err != nil {
			return nil, err
		}
		if changed {
			s.generation.Add(1)
		}
		c, err := s.open(ctx, address)
		if !errors.Is(err, errNotMaster) || time.Now().After(end) || sleep(ctx, roleInterval) != nil {
			return c, err
		}
	}
}

// checkRole checks the reply to ROLE.
func checkRole(reply any) error {
	fields, err := as[[]any](reply, nil)
	if err != nil || len(fields) == 0 {
		return errUnexpectedReply
	}
	if role, _ := fields[0].([]byte); string(role) != "master" {
		return errNotMaster
	}
	return nil
}

// findMaster returns the master's address according to the first sentinel that
// knows it, and whether that has changed since the last call.
func (n *sentinels) findMaster(ctx context.Context) (master string, changed bool, _ error) {
	var failures []error
	retry := false
	for _, sentinel := range n.order() {
		master, others, err := n.ask(ctx, sentinel)
		if err == nil {
			return master, n.update(sentinel, others, master), nil
		}
		if ctx.Err() != nil {
			return "", false, ctx.Err()
		}
		again, err := n.explain(err)
		retry = retry || again
		failures = append(failures, fmt.Errorf("the sentinel at %s: %w", sentinel, err))
	}
	err := failures[0]
	if retry { // one sentinel that may answer later is enough, so no permanent error counts
		texts := make([]string, len(failures))
		for i, failure := range failures {
			texts[i] = failure.Error()
		}
		err = errors.New(printable.Text(strings.Join(texts, "; "), 3*maxShown))
	}
	return "", false, &explainedError{retry, fmt.Errorf("no sentinel names the master %q: %w", n.name, err)}
}

// ask asks a sentinel for the address of the master and those of the other
// sentinels.
func (n *sentinels) ask(ctx context.Context, sentinel string) (master string, others []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, sentinelTimeout)
	defer cancel()
	c, err := n.server.open(ctx, sentinel)
	if err != nil {
		return "", nil, err
	}
	defer c.socket.Close()
	replies, err := c.pipeline(ctx, []any{"SENTINEL", "GET-MASTER-ADDR-BY-NAME", n.name}, []any{"SENTINEL", "SENTINELS", n.name})
	if len(replies) == 0 {
		return "", nil, err
	}
	if replies[0] == nil {
		return "", nil, errUnknownMaster
	}
	address, err := redis.Strings(replies[0], nil)
	if err != nil || len(address) != 2 {
		return "", nil, errUnexpectedReply
	}
	if len(replies) > 1 {
		others = reportedSentinels(replies[1])
	}
	return net.JoinHostPort(address[0], address[1]), others, nil
}

// reportedSentinels reads the reply to SENTINEL SENTINELS. It skips entries that
// it does not understand, because they are needed only if other sentinels fail.
func reportedSentinels(reply any) []string {
	var addresses []string
	list, _ := reply.([]any)
	for _, item := range list {
		if fields, err := redis.StringMap(item, nil); err == nil && fields["ip"] != "" && fields["port"] != "" {
			addresses = append(addresses, net.JoinHostPort(fields["ip"], fields["port"]))
		}
	}
	return addresses
}

// update records the answers of a sentinel, which is asked first from now on. It
// reports whether the master has changed.
func (n *sentinels) update(sentinel string, others []string, master string) (changed bool) {
	var addresses []string
	for _, address := range slices.Concat([]string{sentinel}, n.configured, others) {
		if !slices.Contains(addresses, address) && len(addresses) < maxSentinels {
			addresses = append(addresses, address)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	changed = n.master != "" && n.master != master
	n.addresses, n.master = addresses, master
	return changed
}

var errUnknownMaster = errors.New("the sentinel does not know this master")

// explain is (*server).explain for the errors of a sentinel.
func (n *sentinels) explain(err error) (retry bool, _ error) {
	const checkSentinels = "check redis.sentinels"
	dns, isDNS := errors.AsType[*net.DNSError](err)
	retry, explained := n.server.explain(err)
	switch {
	case errors.Is(err, errUnknownMaster):
		return false, fmt.Errorf("%w: it watches no master of this name; the host of the Redis URL must be the name that the sentinels use", ErrUnusable)
	case errors.Is(explained, ErrCredentials):
		return false, fmt.Errorf("%w: %s; check redis.sentinel_username and redis.sentinel_password", ErrCredentials, n.server.show(err.Error()))
	case replyHasPrefix(err, "ERR unknown command"):
		return false, fmt.Errorf("%w: it is no Sentinel; %s", ErrUnusable, checkSentinels)
	case replyHasPrefix(err, "NOPERM"):
		return false, fmt.Errorf("%w: %s; grant the sentinels' user +sentinel", ErrUnusable, n.server.show(err.Error()))
	case isDNS:
		return true, fmt.Errorf("the host %q cannot be looked up; %s", dns.Name, checkSentinels)
	case errors.Is(err, syscall.ECONNREFUSED):
		return true, errors.New("connection refused")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errHandshakeTimeout):
		return true, fmt.Errorf("no answer within %v", sentinelTimeout)
	}
	return retry, explained
}
