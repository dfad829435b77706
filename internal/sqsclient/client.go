// Package sqsclient talks to SQS. It makes a client from the configuration,
// finds queues, and makes the two calls of a busy poller with less than half of
// the CPU time that the AWS SDK needs for them. Start at [New].
//
// # The fast path
//
// A [Client] is the SDK's client with ReceiveMessage and DeleteMessageBatch of
// its own. It makes the first attempt of such a call itself. If the attempt is
// a plain success, the call is done. Everything else goes to the SDK's client,
// as if that had made the attempt: the SDK judges the response, retries or not,
// and returns its own errors.
//
// The SDK makes the first call of each kind. The Client copies from its request
// how to address and sign the requests that follow, so the SDK alone decides
// about endpoints, regions, credentials and a wrong clock. The Client copies
// only requests in the JSON protocol (application/x-amz-json-1.0) that are
// signed with Signature Version 4 and go straight to their host. If the SDK's
// requests are of another kind, such as through a proxy, it makes every call.
//
// # Limits
//
// A response is an error, and its connection is closed, if its body has more
// than 32 MiB or 20,000 JSON values, or if its headers have more than 64 KiB.
// Ten messages of 1 MiB have up to 20 MiB in JSON. The fast path also rejects
// more than five interim (1xx) responses; the SDK counts them as headers.
//
// MD5OfBody is not compared with the body. TLS authenticates the bytes, and an
// MD5 costs 1.4 µs per KB: a tenth of Scout's whole work for a message of 1 KB.
//
// # Turning it off
//
// If the environment variable SCOUT_SQS_CLIENT is "sdk" ([config.AWS.SDKOnly]),
// the SDK's client makes every call.
package sqsclient

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/config"
)

// A Client is the SDK's client with a faster ReceiveMessage and
// DeleteMessageBatch. It is safe for concurrent use.
type Client struct {
	*sqs.Client     // makes all other calls
	credentials     aws.CredentialsProvider
	retryer         aws.Retryer
	conns           *pool // nil if the SDK makes every call
	receive, delete operation
}

// New returns a client that can make as many concurrent calls as a configuration
// may ask for. The SDK's own messages go to log, at debug level.
func New(ctx context.Context, c config.AWS, log *slog.Logger) (*Client, error) {
	sdk, err := newSDKClient(ctx, c, log)
	if err != nil {
		return nil, err
	}
	client := newClient(sdk)
	if c.SDKOnly {
		client.conns = nil
	}
	return client, nil
}

// newClient returns a Client configured like sdk. Options such as logging and
// middleware affect only the SDK's own calls, not those of the fast path.
func newClient(sdk *sqs.Client) *Client {
	options := sdk.Options()
	return &Client{Client: sdk, credentials: options.Credentials, retryer: options.Retryer, conns: newPool(options.HTTPClient)}
}

// A Gate bounds the responses in memory, as *budget.Budget does.
type Gate interface {
	// Enter waits until the body of a response, of the given size, may be read. An error means that
	// ctx has ended.
	Enter(ctx context.Context, bytes int64) error

	// Leave is called when the caller has the messages, or an error.
	Leave(bytes int64)
}

// minGated is the minimum size in bytes of a response that must pass the Gate.
const minGated = 64 << 10

// SetGate makes large responses of the fast path pass a Gate. It must be called before the first use of
// the Client.
func (c *Client) SetGate(gate Gate) {
	if c.conns != nil {
		c.conns.gate = gate
	}
}

// ReceiveMessage is (*sqs.Client).ReceiveMessage, except that optFns do not
// affect the first attempt and that the output may have no ResultMetadata.
func (c *Client) ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, optFns ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	if c.conns == nil {
		return c.Client.ReceiveMessage(ctx, in, optFns...)
	}
	a := newAttempt()
	defer a.free()
	a.request = appendReceive(a.request, in)
	if c.try(ctx, &c.receive, a) {
		if out := decodeReceive(a.body.Bytes()); out != nil {
			return out, nil
		}
		c.receive.dropTemplate() // the SDK may understand this response and the next
	}
	return c.Client.ReceiveMessage(ctx, in, append(slices.Clip(optFns), c.replay(&c.receive, a))...)
}

// DeleteMessageBatch is (*sqs.Client).DeleteMessageBatch with the exceptions of
// ReceiveMessage.
func (c *Client) DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, optFns ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if c.conns == nil {
		return c.Client.DeleteMessageBatch(ctx, in, optFns...)
	}
	a := newAttempt()
	defer a.free()
	a.request = appendDelete(a.request, in)
	if c.try(ctx, &c.delete, a) {
		if out := decodeDelete(a.body.Bytes()); out != nil {
			return out, nil
		}
		c.delete.dropTemplate()
	}
	return c.Client.DeleteMessageBatch(ctx, in, append(slices.Clip(optFns), c.replay(&c.delete, a))...)
}

// An attempt is a request and its outcome. If the request was not sent, it has
// neither a response nor an error.
type attempt struct {
	request, wire []byte // the body of the request, and all of the request
	response      *http.Response
	body          bytes.Buffer // of the response
	err           error        // why there is no response, or not all of its body
	leave         func()       // leaves the Gate; nil if it has not been entered
}

// attempts keeps attempts to reuse their buffers.
var attempts = sync.Pool{New: func() any { return new(attempt) }}

func newAttempt() *attempt { return attempts.Get().(*attempt) }

// maxPooled is the maximum capacity in bytes of an attempt's buffers that are
// kept, so that a few large messages do not occupy memory forever.
const maxPooled = 1 << 20

// free ends the use of an attempt, its response and its buffers.
func (a *attempt) free() {
	if a.leave != nil {
		a.leave()
		a.leave = nil
	}
	if cap(a.request)+cap(a.wire)+a.body.Cap() > maxPooled {
		return
	}
	a.request, a.wire = a.request[:0], a.wire[:0]
	a.response, a.err = nil, nil
	a.body.Reset()
	attempts.Put(a)
}

// try makes an attempt, if there is a template for it, and reports whether the
// attempt is a plain success.
func (c *Client) try(ctx context.Context, o *operation, a *attempt) (ok bool) {
	t := o.template.Load()
	if t == nil {
		return false
	}
	credentials, err := c.credentials.Retrieve(ctx)
	if err != nil {
		return false
	}
	if a.wire, ok = t.appendRequest(a.wire, credentials, a.request); !ok {
		return false
	}
	c.conns.roundTrip(ctx, t, a)
	switch {
	case a.err != nil:
	case a.response == nil: // no connection; perhaps the SDK can connect
		o.dropTemplate()
	case a.response.StatusCode == http.StatusOK:
		c.restoreQuota(ctx)
		return true
	case a.response.StatusCode >= 300 && a.response.StatusCode < 400: // SQS has done nothing; the SDK follows the redirect
		a.response = nil
		o.dropTemplate()
	case a.response.StatusCode < 500:
		o.dropTemplate()
	}
	return false
}

// restoreQuota reports a success to the SDK's retryer. Retries take from a
// quota that all calls share, and each success adds to it.
func (c *Client) restoreQuota(ctx context.Context) {
	if r, ok := c.retryer.(aws.RetryerV2); ok {
		if release, err := r.GetAttemptToken(ctx); err == nil {
			_ = release(nil)
		}
	}
}

// replay returns an option for a call of the SDK's client that begins with the
// outcome of an attempt.
func (c *Client) replay(o *operation, a *attempt) func(*sqs.Options) {
	return func(options *sqs.Options) {
		options.HTTPClient = &replayer{http: options.HTTPClient, conns: c.conns, operation: o, attempt: a}
	}
}

// A replayer is the SDK's HTTP client in a call whose first attempt was made
// by the fast path.
type replayer struct {
	http      sqs.HTTPClient
	conns     *pool
	operation *operation
	attempt   *attempt // nil once the SDK has its outcome
}

// Do returns the outcome of the attempt, if it was sent, to the SDK's first
// request. It sends the SDK's other requests, and copies one that succeeds.
func (r *replayer) Do(request *http.Request) (*http.Response, error) {
	a := r.attempt
	r.attempt = nil
	switch {
	case a == nil:
	case a.response != nil:
		a.response.Body = &limitedBody{ReadCloser: io.NopCloser(io.MultiReader(bytes.NewReader(a.body.Bytes()), endReader{a.err}))}
		return a.response, nil
	case a.err != nil:
		return nil, a.err
	}
	start := time.Now()
	response, err := r.http.Do(request)
	if err == nil && response.StatusCode == http.StatusOK && r.conns.canSend(request) {
		r.operation.setTemplate(request, start)
	}
	return response, err
}

// An endReader is empty. Reading it returns err, or io.EOF if that is nil.
type endReader struct{ err error }

func (e endReader) Read([]byte) (int, error) { return 0, cmp.Or(e.err, io.EOF) }
