//go:build torture

package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"scout/internal/devstack"
)

// A hostileSQS is an SQS that fails in many ways. It records what each process of Scout
// does with its messages.
type hostileSQS struct {
	server  *devstack.Server
	history *history
	faults  *counts

	mu  sync.Mutex // guards rng
	rng *rand.Rand

	permille  atomic.Int64 // of the calls fail
	works     atomic.Bool  // no call fails
	redisAway atomic.Bool  // no Redis is running
}

// An endpoint is the address of the SQS for one Scout. The access key of a call
// identifies the process that made it, because calls of a killed process may still
// arrive.
type endpoint struct {
	sqs       *hostileSQS
	scout     atomic.Pointer[instance] // the latest
	instances sync.Map                 // of *instance, by access key
	handled   atomic.Int64             // messages that were deleted
}

var accessKey = regexp.MustCompile(`Credential=([^/]+)/`)

// setInstance makes an instance the latest one.
func (e *endpoint) setInstance(scout *instance) {
	e.instances.Store(scout.key, scout)
	e.scout.Store(scout)
}

// caller returns the instance that makes a call.
func (e *endpoint) caller(r *http.Request) *instance {
	if found := accessKey.FindStringSubmatch(r.Header.Get("Authorization")); found != nil {
		if scout, ok := e.instances.Load(found[1]); ok {
			return scout.(*instance)
		}
	}
	return e.scout.Load()
}

// startEndpoint starts an endpoint until the test ends, and returns its URL.
func (s *hostileSQS) startEndpoint(t *run) (*endpoint, string) {
	e := &endpoint{sqs: s}
	server := httptest.NewServer(e)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return e, server.URL
}

// A fault is a fault of a call, before or after the call has had an effect.
type fault struct {
	kind  string // "" for none
	after bool
	some  uint64 // which entries of a batch it hits
}

// drawFault chooses the fault of a call.
func (s *hostileSQS) drawFault(action string, scout *instance) (f fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scout.mu.Lock()
	calm := scout.calm
	scout.mu.Unlock()
	if calm || s.works.Load() || s.rng.Int64N(1000) >= s.permille.Load() {
		return fault{}
	}
	kinds := []string{"SQS 500", "SQS 503", "SQS throttled", "SQS reset", "SQS truncated"}
	switch action {
	case "ReceiveMessage":
		kinds = append(kinds, "SQS duplicates", "SQS duplicates")
	case "DeleteMessageBatch":
		kinds = append(kinds, "SQS partial failure", "SQS partial failure", "SQS partial failure", "SQS expired handles")
	}
	f = fault{kind: kinds[s.rng.IntN(len(kinds))], after: s.rng.IntN(2) == 0, some: s.rng.Uint64()}
	switch f.kind {
	case "SQS truncated", "SQS duplicates":
		f.after = true
	case "SQS throttled", "SQS partial failure", "SQS expired handles":
		f.after = false
	}
	s.faults.add(f.kind)
	return f
}

// ServeHTTP makes a call with its fault. A call continues if its client disconnects, as
// in AWS, where a long poll may then hide messages that nobody reads.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	scout := e.caller(r)
	_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	c := &call{sqs: e.sqs, scout: scout, action: action, request: body, fault: e.sqs.drawFault(action, scout)}
	c.begin()
	if c.fault.kind != "" && !c.fault.after && !c.isPartial() {
		c.fail(w)
		return
	}
	c.execute(r)
	gone := r.Context().Err() != nil
	e.handled.Add(int64(c.end(gone)))
	if gone {
		return
	}
	for name, values := range c.response.Header() {
		w.Header()[name] = values
	}
	switch {
	case c.fault.kind == "SQS truncated":
		w.Header().Set("Content-Length", strconv.Itoa(c.response.Body.Len()+1))
		_, _ = w.Write(c.response.Body.Bytes()[:c.response.Body.Len()/2])
		panic(http.ErrAbortHandler)
	case c.fault.after && c.fault.kind != "SQS duplicates":
		c.fail(w)
	default:
		w.WriteHeader(c.response.Code)
		_, _ = w.Write(c.response.Body.Bytes())
	}
}

// A call is one call of SQS by a Scout.
type call struct {
	sqs      *hostileSQS
	scout    *instance
	action   string
	request  []byte
	fault    fault
	response *httptest.ResponseRecorder

	refused []entry // of a batch, by a partial failure
}

type entry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout int `json:",omitempty"`
}

// An input is the relevant part of a request.
type input struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []entry
}

func (c *call) input() (in input) {
	_ = json.Unmarshal(c.request, &in)
	return in
}

func (c *call) isPartial() bool {
	return c.fault.kind == "SQS partial failure" || c.fault.kind == "SQS expired handles"
}

// isDelivered reports whether the client receives the result of the call.
func (c *call) isDelivered() bool {
	return c.fault.kind == "" || c.isPartial() || c.fault.kind == "SQS duplicates"
}

// begin records the attempt of the call.
func (c *call) begin() {
	switch c.action {
	case "ReceiveMessage":
		c.scout.mu.Lock()
		defer c.scout.mu.Unlock()
		c.scout.receives++
		if c.scout.gaveUp && c.sqs.redisAway.Load() && !c.scout.mapping {
			c.sqs.history.violate(ruleOutage, -1, "%s polls although it has returned messages because of Redis", c.scout.name)
		}
	case "ChangeMessageVisibilityBatch":
		for _, e := range c.input().Entries {
			c.scout.hide(e.ReceiptHandle, e.VisibilityTimeout, c.sqs.redisAway.Load())
		}
	case "DeleteMessageBatch":
		for i, e := range c.input().Entries {
			hit := c.isPartial() && c.fault.some&(1<<i) != 0
			c.scout.remove(e.ReceiptHandle, !c.isDelivered() || hit && c.fault.kind == "SQS partial failure")
			if hit {
				c.refused = append(c.refused, e)
			}
		}
	}
}

// execute makes the call, without the entries that are refused.
func (c *call) execute(r *http.Request) {
	request := c.request
	if len(c.refused) > 0 {
		request = c.without()
	}
	copied := r.Clone(context.WithoutCancel(r.Context()))
	copied.Body, copied.ContentLength = io.NopCloser(bytes.NewReader(request)), int64(len(request))
	c.response = httptest.NewRecorder()
	if request != nil {
		c.sqs.server.ServeHTTP(c.response, copied)
	}
	if len(c.refused) > 0 {
		c.addRefused()
	}
}

// without returns the request without the refused entries, nil if none is left.
func (c *call) without() []byte {
	in := c.input()
	rest := slices.DeleteFunc(in.Entries, func(e entry) bool { return slices.Contains(c.refused, e) })
	if len(rest) == 0 {
		return nil
	}
	text, _ := json.Marshal(map[string]any{"QueueUrl": in.QueueURL, "Entries": rest})
	return text
}

// addRefused adds the refused entries to the response.
func (c *call) addRefused() {
	var out struct {
		Successful, Failed []map[string]any
	}
	_ = json.Unmarshal(c.response.Body.Bytes(), &out)
	code, sender := "InternalError", false
	if c.fault.kind == "SQS expired handles" {
		code, sender = "ReceiptHandleIsInvalid", true
	}
	for _, e := range c.refused {
		out.Failed = append(out.Failed, map[string]any{"Id": e.ID, "Code": code, "SenderFault": sender, "Message": "refused"})
	}
	text, _ := json.Marshal(out)
	c.response.Body.Reset()
	_, _ = c.response.Body.Write(text)
	c.response.Header().Set("Content-Type", "application/x-amz-json-1.0")
	c.response.Header().Del("Content-Length")
}

// numberInBody finds the number of a message in the envelope of SNS.
var numberInBody = regexp.MustCompile(`\\"n\\":(\d+)`)

// end records the effects of the call, and returns the number of deleted messages. gone
// reports whether the client has disconnected.
func (c *call) end(gone bool) (deleted int) {
	switch c.action {
	case "ReceiveMessage":
		c.endReceive(gone)
	case "DeleteMessageBatch":
		var out struct{ Successful []entry }
		_ = json.Unmarshal(c.response.Body.Bytes(), &out)
		c.noteDeleted(out.Successful)
		return len(out.Successful)
	}
	return 0
}

func (c *call) noteDeleted(done []entry) {
	deleted := map[string]bool{}
	for _, e := range done {
		deleted[e.ID] = true
	}
	for _, e := range c.input().Entries {
		c.scout.mu.Lock()
		d, known := c.scout.deletes[e.ReceiptHandle]
		if c.isDelivered() && deleted[e.ID] {
			delete(c.scout.deletes, e.ReceiptHandle)
		}
		c.scout.mu.Unlock()
		if !known || d.n < 0 {
			continue
		}
		c.sqs.history.note(d.n, fmt.Sprintf("deleted by %s: %t %s", c.scout.name, deleted[e.ID], c.fault.kind))
	}
}

func (c *call) endReceive(gone bool) {
	var out struct {
		Messages []struct{ ReceiptHandle, Body string }
	}
	_ = json.Unmarshal(c.response.Body.Bytes(), &out)
	c.scout.mu.Lock()
	cut := gone && !c.scout.killed && !c.scout.mapping
	c.scout.mu.Unlock()
	if cut {
		c.sqs.history.violate(ruleCutPoll, -1, "%s gave up a long poll, in which SQS hid %d messages", c.scout.name, len(out.Messages))
	}
	for i, m := range out.Messages {
		n := -1
		if found := numberInBody.FindStringSubmatch(m.Body); found != nil {
			n, _ = strconv.Atoi(found[1])
		}
		what := c.fault.kind
		if gone {
			what = "but its client is gone"
		}
		c.sqs.history.received(n, strings.TrimSpace(c.scout.name+" "+what), m.ReceiptHandle)
		if !gone && c.isDelivered() {
			c.scout.hold(m.ReceiptHandle, n)
		}
		if c.fault.kind == "SQS duplicates" && c.fault.some&(1<<i) != 0 {
			in := map[string]any{"QueueUrl": c.input().QueueURL, "ReceiptHandle": m.ReceiptHandle, "VisibilityTimeout": 0}
			_ = c.sqs.call("ChangeMessageVisibility", in, nil)
		}
	}
}

// fail responds with an error, or cuts the connection.
func (c *call) fail(w http.ResponseWriter) {
	answer := func(status int, code string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.sqs#%s","message":"a fault of the test"}`, code)
	}
	switch c.fault.kind {
	case "SQS 500":
		answer(http.StatusInternalServerError, "InternalFailure")
	case "SQS 503":
		answer(http.StatusServiceUnavailable, "ServiceUnavailable")
	case "SQS throttled":
		answer(http.StatusBadRequest, "ThrottlingException")
	default:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset
		}
		conn.Close()
	}
}

// call calls SQS for the test itself, without faults.
func (s *hostileSQS) call(action string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r := httptest.NewRequest(http.MethodPost, "http://sqs.test/", bytes.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+action)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return fmt.Errorf("%s: %d %s", action, w.Code, w.Body)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(w.Body.Bytes(), out)
}

// depth returns the number of visible messages in a queue, and the number of all.
func (s *hostileSQS) depth(url string) (visible, all int, err error) {
	var out struct{ Attributes map[string]string }
	err = s.call("GetQueueAttributes", map[string]any{"QueueUrl": url, "AttributeNames": []string{"All"}}, &out)
	visible, _ = strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	hidden, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return visible, visible + hidden, err
}
