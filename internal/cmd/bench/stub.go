package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"scout/internal/jsonscan"
)

// A stub is an SQS with one queue at an address of its own. Because it shares
// the machine with the contender, it parses as little as possible of HTTP and of
// the requests, and writes responses that are nearly ready.
type stub struct {
	queue     *queue
	latency   time.Duration // how much longer each call takes
	template  *template
	receiving atomic.Int64 // receives in flight
	scheme    string
	listener  net.Listener
}

// newStub starts a stub, with TLS if it gets a configuration for that.
func newStub(q *queue, latency time.Duration, size int, config *tls.Config) (*stub, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &stub{queue: q, latency: latency, template: newTemplate(size), scheme: "http", listener: l}
	if config != nil {
		s.scheme, s.listener = "https", tls.NewListener(l, config)
	}
	go s.accept()
	return s, nil
}

// close stops accepting connections. The existing ones end with the client.
func (s *stub) close() { _ = s.listener.Close() }

// url returns the URL of the endpoint.
func (s *stub) url() string { return s.scheme + "://" + s.listener.Addr().String() }

func (s *stub) queueURL() string { return s.url() + "/123456789012/bench" }

func (s *stub) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			if err := s.serve(conn); err != nil && !errors.Is(err, net.ErrClosed) {
				log.Printf("SQS stub: %v", err)
			}
		}()
	}
}

// serve responds to the requests of a connection, one after the other.
func (s *stub) serve(conn net.Conn) error {
	in := bufio.NewReaderSize(conn, 64<<10)
	var response []byte
	for {
		action, body, err := readRequest(in)
		if err != nil {
			return nil // the client is gone
		}
		response, err = s.appendResponse(append(response[:0], responseHead...), action, body)
		if err != nil {
			return err
		}
		putDigits(response[:lengthEnd], len(response)-len(responseHead))
		if _, err := conn.Write(response); err != nil {
			return nil
		}
	}
}

// readRequest reads a request. The body is valid until the next one is read.
func readRequest(in *bufio.Reader) (action string, body []byte, err error) {
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", nil, err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, _ = strconv.Atoi(string(value))
		case bytes.EqualFold(name, []byte("X-Amz-Target")):
			action = string(bytes.TrimPrefix(value, []byte("AmazonSQS.")))
		}
	}
	if body, err = in.Peek(length); err != nil {
		return "", nil, err
	}
	_, err = in.Discard(length)
	return action, body, err
}

// responseHead is a response up to its body, with room for the body's length,
// which ends at lengthEnd.
const (
	responseHead = "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length:          \r\n\r\n"
	lengthEnd    = len(responseHead) - len("\r\n\r\n")
)

// putDigits writes a number so that its last digit is the last byte of b.
func putDigits(b []byte, n int) {
	for i := len(b) - 1; ; i-- {
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return
		}
	}
}

// appendResponse carries out a request and appends the response's body.
func (s *stub) appendResponse(b []byte, action string, request []byte) ([]byte, error) {
	if action == "ReceiveMessage" {
		s.receiving.Add(1)
		defer s.receiving.Add(-1)
	}
	if s.latency > 0 {
		time.Sleep(s.latency)
	}
	switch action {
	case "ReceiveMessage":
		return s.receive(b, request), nil
	case "DeleteMessageBatch":
		b, n := appendSuccessful(b, request)
		s.queue.delete(n)
		return b, nil
	case "ChangeMessageVisibilityBatch":
		b, _ = appendSuccessful(b, request)
		return b, nil
	case "GetQueueUrl":
		return fmt.Appendf(b, `{"QueueUrl":%q}`, s.queueURL()), nil
	case "GetQueueAttributes":
		waiting, inFlight, _ := s.queue.counts()
		return fmt.Appendf(b, `{"Attributes":{"VisibilityTimeout":"30","ApproximateNumberOfMessages":"%d","ApproximateNumberOfMessagesNotVisible":"%d","ApproximateNumberOfMessagesDelayed":"0"}}`, waiting, inFlight), nil
	}
	return nil, errors.New("unknown action " + action)
}

// appendSuccessful appends the response that every entry of a batch succeeded,
// and returns their number. In Scout's requests, only the ids of entries look like
// ids.
func appendSuccessful(b, request []byte) (response []byte, n int) {
	b = append(b, `{"Failed":[],"Successful":[`...)
	for {
		_, after, ok := bytes.Cut(request, []byte(`"Id":"`))
		if !ok {
			return append(b, "]}"...), n
		}
		if n > 0 {
			b = append(b, ',')
		}
		id, rest, _ := bytes.Cut(after, []byte(`"`))
		b = append(append(append(b, `{"Id":"`...), id...), `"}`...)
		request, n = rest, n+1
	}
}

func (s *stub) receive(b, request []byte) []byte {
	max, wait := 1, 0
	for key, value := range jsonscan.Members(request) {
		switch string(key) {
		case "MaxNumberOfMessages":
			max, _ = strconv.Atoi(string(value))
		case "WaitTimeSeconds":
			wait, _ = strconv.Atoi(string(value))
		}
	}
	first, n := s.queue.receive(max, time.Duration(wait)*time.Second)
	b = append(b, `{"Messages":[`...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.template.append(b, first+i)
	}
	return append(b, "]}"...)
}

// firstID is the id of message number 0. It makes all ids equally long.
const firstID = 100_000_000_000

// A template is a message as SQS returns it, without its number: an SNS envelope with SQS's own members
// around it, each id as long as in AWS.
type template struct {
	text   string
	idEnds []int // the positions in text where the number ends
}

// defaultSize is the size of an envelope without -size.
const defaultSize = 1 << 10

// newTemplate returns a template whose envelope has about size bytes, and at most 40 more.
func newTemplate(size int) *template {
	id := strings.Repeat("#", 12)
	envelope := func(lines int) string {
		order := `{"id":` + id + `,"lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"A-12345","quantity":2},`, lines), ",") + `]}`
		return `{"Type":"Notification","MessageId":"00000000-0000-0000-0000-` + id + `","TopicArn":"arn:aws:sns:us-east-1:123456789012:bench",` +
			`"Message":` + strconv.Quote(order) + `,"Timestamp":"2026-01-02T03:04:05.678Z","SignatureVersion":"1","Signature":"` + strings.Repeat("A", 200) + `"}`
	}
	line := len(envelope(2)) - len(envelope(1))
	body := envelope(max(1, 1+(size-len(envelope(1)))/line))
	t := &template{text: `{"MessageId":"00000000-0000-0000-0000-` + id + `","ReceiptHandle":"` + strings.Repeat("A", 168) + id + `","MD5OfBody":"` + strings.Repeat("0", 32) + `",` +
		`"Attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1767323045678"},"Body":` + strconv.Quote(body) + `}`}
	for i := range t.text {
		if strings.HasSuffix(t.text[:i], id) {
			t.idEnds = append(t.idEnds, i)
		}
	}
	return t
}

func (t *template) append(b []byte, number int) []byte {
	start := len(b)
	b = append(b, t.text...)
	for _, end := range t.idEnds {
		putDigits(b[start:start+end], firstID+number)
	}
	return b
}
