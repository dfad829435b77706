// Package devstack is what Scout needs around it, in memory and in one process, for laptops and tests: SNS and SQS
// (start at Server) and Redis (StartRedis). What SNS and SQS do is written down in conformance_test.go, which holds
// moto to the same.
package devstack

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

const (
	accountID     = "000000000000"
	defaultRegion = "us-east-1"

	// maxRequest bounds a request's body: 1 MiB of message, with room for the worst of JSON and form escaping.
	maxRequest = 16 << 20
)

// Server is an http.Handler that speaks SQS (AWS JSON 1.0) and SNS (Query) at one URL, as the SDKs and the AWS CLI
// expect them of an --endpoint-url. It asks for no credentials, and is safe for concurrent use.
//
// Everything belongs to account 000000000000 and to the region that the creating request was signed for, us-east-1
// if it was not signed. Names are unique in a Server, whatever the region.
//
// What it does not support it refuses, with these exceptions, which are accepted and have no effect: permissions,
// encryption, tags, message retention, and the limits on requests per second and on messages in flight.
type Server struct {
	// Log, if set before the first use, hears of notifications that a subscribed queue refused. SNS drops them too.
	Log *slog.Logger

	// OnTopic, if set before the first use, is called with the ARN of each new topic.
	OnTopic func(topicARN string)

	mu     sync.Mutex        // guards what follows, and all that it leads to
	queues map[string]*queue // by name
	topics map[string]*topic // by name

	closed    chan struct{} // closed by Close
	closeOnce sync.Once
}

// NewServer returns a Server without queues and topics.
func NewServer() *Server {
	return &Server{
		queues: make(map[string]*queue),
		topics: make(map[string]*topic),
		closed: make(chan struct{}),
	}
}

// Close ends the long polls under way, with no messages, and lets later ones not wait. It may be called twice.
// A http.Server in front of s should be shut down after that, or it waits for the polls.
func (s *Server) Close() {
	s.closeOnce.Do(func() { close(s.closed) })
}

// ServeHTTP answers an SQS request, which names its action in a header, or an SNS one, which has it in a form.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		http.Error(w, "SNS and SQS for development: use an AWS SDK with this URL as its endpoint", http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	w.Header().Set("X-Amzn-Requestid", newID())
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		s.serveSQS(w, r, target)
	} else {
		s.serveSNS(w, r)
	}
}

var credentialRegion = regexp.MustCompile(`Credential=[^/,]+/\d{8}/([a-z0-9-]+)/`)

// region returns the region that the request's signature (SigV4) is for.
func region(r *http.Request) string {
	if m := credentialRegion.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		return m[1]
	}
	return defaultRegion
}

// afterLast returns what follows the last separator: the name in an ARN or a queue URL.
func afterLast(s, separator string) string {
	return s[strings.LastIndex(s, separator)+1:]
}

// isFIFO tells from its name whether a queue or a topic is a FIFO one.
func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

// sequenceNumber returns n in the 20 digits that AWS uses.
func sequenceNumber(n uint64) string { return fmt.Sprintf("%020d", n) }

// newID returns a random (version 4) UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
