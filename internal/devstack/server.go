// Package devstack provides the services that Scout needs, in memory and in one process, for local
// development and for tests: SNS and SQS (start at [Server]) and Redis ([StartRedis]). The conformance
// tests specify what SNS and SQS do, and run against moto as well.
package devstack

import (
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"

	"scout/internal/uuid"
)

const (
	accountID     = "000000000000"
	defaultRegion = "us-east-1"

	// maxRequest is the maximum size of a request's body in bytes: 1 MiB of message, with room for the
	// worst case of JSON and form escaping.
	maxRequest = 16 << 20
)

// Server is an http.Handler that serves SQS (AWS JSON 1.0) and SNS (Query) at one URL, as the SDKs and
// the AWS CLI expect of an --endpoint-url. It checks no credentials, and is safe for concurrent use.
//
// Queues and topics belong to account 000000000000 and to the region for which the request that
// created them was signed, or us-east-1 if it was not signed. Names are unique in a Server across all
// regions, except those of topics that CreateTopicARN creates.
//
// Server rejects what it does not support, with these exceptions, which it accepts and ignores:
// permissions, encryption, tags, message retention, and the limits on requests per second and on
// messages in flight. A long poll whose client has gone away hides no messages, as it may in AWS.
type Server struct {
	// Log receives a warning for each notification that a subscribed queue rejects and that is therefore
	// dropped, as SNS does. Nil means no log. Set it before the first use.
	Log *slog.Logger

	// OnTopic is called with the ARN of each new topic unless it is nil. Set it before the first use.
	OnTopic func(topicARN string)

	// OnDeadLetter is called with each message that moves to a dead-letter queue unless it is nil. It
	// must not call the Server. Set it before the first use.
	OnDeadLetter func(DeadLetter)

	mu     sync.Mutex        // guards queues, topics and everything reachable from them
	queues map[string]*queue // by name
	topics map[string]*topic // by ARN

	closed    chan struct{} // closed by Close
	closeOnce sync.Once
}

// NewServer returns a Server without queues or topics.
func NewServer() *Server {
	return &Server{
		queues: make(map[string]*queue),
		topics: make(map[string]*topic),
		closed: make(chan struct{}),
	}
}

// Close ends all long polls without messages; later ones do not wait. It may be called more than once.
// Shut down an http.Server in front of s after Close, because its Shutdown waits for the polls.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
}

// ServeHTTP serves an SQS request, which names its action in a header, or an SNS request, which names
// it in a form.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "SNS and SQS for development: set this URL as the endpoint of an AWS SDK", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	w.Header().Set("X-Amzn-Requestid", uuid.New())
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		s.serveSQS(w, r, target)
	} else {
		s.serveSNS(w, r)
	}
}

var credentialRegion = regexp.MustCompile(`Credential=[^/,]+/\d{8}/([a-z0-9-]+)/`)

// region returns the region in the request's signature (SigV4), or the default region.
func region(r *http.Request) string {
	if m := credentialRegion.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		return m[1]
	}
	return defaultRegion
}

// afterLast returns the part of s after the last separator: the name in an ARN or a queue URL.
func afterLast(s, separator string) string {
	return s[strings.LastIndex(s, separator)+1:]
}

// isFIFO reports whether the name is that of a FIFO queue or FIFO topic.
func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

// sequenceNumber formats n with 20 digits, as AWS does.
func sequenceNumber(n uint64) string { return fmt.Sprintf("%020d", n) }
