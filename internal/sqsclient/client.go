// Package sqsclient makes the two calls of SQS that a busy poller makes all the
// time for less than half of what the SDK needs. Start at Client.
package sqsclient

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// A Client receives and deletes messages as the SDK's client does. It is safe
// for concurrent use.
//
// It makes the first attempt of a call by itself and, if that is a plain
// success, that is all. Whatever else comes of it is handed to the SDK's
// client, as if that had made the attempt: it judges the answer, tries again
// or not, and returns its own errors.
//
// How to send and sign a request the Client learns from the SDK, which makes
// the first call of each kind, too. So all that decides about that, in the
// configuration or the environment, has been decided. What the Client cannot
// do as the SDK does, such as going through a proxy, it leaves to it.
type Client struct {
	*sqs.Client     // makes all other calls
	credentials     aws.CredentialsProvider
	retryer         aws.Retryer
	conns           *pool // nil if only the SDK knows how to connect
	receive, delete operation
}

// New returns a Client that does as sdk is configured. What sdk is told to do
// besides, such as to log or to measure, it does for its own calls only.
func New(sdk *sqs.Client) *Client {
	options := sdk.Options()
	return &Client{Client: sdk, credentials: options.Credentials, retryer: options.Retryer, conns: newPool(options.HTTPClient)}
}

// ReceiveMessage is (*sqs.Client).ReceiveMessage, but what optFns changes does
// not count for the first attempt, and the output may have no metadata.
func (c *Client) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	a := newAttempt()
	defer a.free()
	a.request = appendReceive(a.request, in)
	if c.try(ctx, &c.receive, a) {
		if out := decodeReceive(a.body.Bytes()); out != nil {
			return out, nil
		}
		c.receive.forget() // the SDK may make more of it, and of the next
	}
	return c.Client.ReceiveMessage(ctx, in, append(slices.Clip(optFns), c.after(&c.receive, a))...)
}

// DeleteMessageBatch is (*sqs.Client).DeleteMessageBatch, as ReceiveMessage is.
func (c *Client) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	a := newAttempt()
	defer a.free()
	a.request = appendDelete(a.request, in)
	if c.try(ctx, &c.delete, a) {
		if out := decodeDelete(a.body.Bytes()); out != nil {
			return out, nil
		}
		c.delete.forget()
	}
	return c.Client.DeleteMessageBatch(ctx, in, append(slices.Clip(optFns), c.after(&c.delete, a))...)
}

// An attempt is what was sent and what came of it: neither a response nor an
// error if it was not made.
type attempt struct {
	request, wire []byte // the request's body, and the whole of it
	response      *http.Response
	body          bytes.Buffer // of the response
	err           error        // why there is no response, or not all of its body
}

// attempts keeps the buffers of attempts for others.
var attempts = sync.Pool{New: func() any { return new(attempt) }}

func newAttempt() *attempt { return attempts.Get().(*attempt) }

// free must not be called before the attempt is done with.
func (a *attempt) free() {
	a.request, a.wire = a.request[:0], a.wire[:0]
	a.response, a.err = nil, nil
	a.body.Reset()
	attempts.Put(a)
}

// try makes an attempt, if it is known how to, and reports whether it was a
// plain success.
func (c *Client) try(ctx context.Context, o *operation, a *attempt) (ok bool) {
	m := o.model.Load()
	if m == nil {
		return false
	}
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return false
	}
	if a.wire, ok = m.appendRequest(a.wire, credentials, a.request); !ok {
		return false
	}
	c.conns.roundTrip(ctx, m, a)
	switch {
	case a.err != nil:
	case a.response == nil: // there was no way to connect; perhaps the SDK finds one
		o.forget()
	case a.response.StatusCode == http.StatusOK:
		c.refill(ctx)
		return true
	case a.response.StatusCode >= 300 && a.response.StatusCode < 400: // SQS has done nothing; the SDK goes where it is sent
		a.response = nil
		o.forget()
	case a.response.StatusCode < 500:
		o.forget()
	}
	return false
}

// refill tells the SDK of a success. It has a quota of retries for all calls,
// to which each success adds.
func (c *Client) refill(ctx context.Context) {
	if r, ok := c.retryer.(aws.RetryerV2); ok {
		if release, err := r.GetAttemptToken(ctx); err == nil {
			_ = release(nil)
		}
	}
}

// after lets the SDK go on after an attempt.
func (c *Client) after(o *operation, a *attempt) func(*sqs.Options) {
	return func(options *sqs.Options) {
		options.HTTPClient = &successor{http: options.HTTPClient, conns: c.conns, operation: o, attempt: a}
	}
}

// A successor is the SDK's HTTP client in a call whose first attempt was made.
type successor struct {
	http      sqs.HTTPClient
	conns     *pool
	operation *operation
	attempt   *attempt // nil once the SDK has it
}

// Do gives the SDK the attempt that was made, as if it came of this request.
// From a request that the SDK then makes itself, the Client learns.
func (s *successor) Do(r *http.Request) (*http.Response, error) {
	a := s.attempt
	s.attempt = nil
	switch {
	case a == nil:
	case a.response != nil:
		return a.response, nil
	case a.err != nil:
		return nil, a.err
	}
	start := time.Now()
	response, err := s.http.Do(r)
	if err == nil && response.StatusCode == http.StatusOK && s.conns.reach(r) {
		s.operation.learn(r, start)
	}
	return response, err
}
