package sqsclient

import (
	"bytes"
	"io"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"scout/config"
)

// An httpClient is the SDK's HTTP client with limited responses, and with
// requests that it sends in one piece.
//
// The SDK gives net/http a body of a kind that net/http sends after the header,
// and makes it unreadable as soon as a response begins. If net/http has not seen
// the end of the body by then, it takes that for an error and closes the
// connection, so that the response cannot be read: "deserialization failed, use
// of closed network connection" (smithy-go, transport/http/internal/io/safe.go,
// func WriteTo; see aws-sdk-go-v2#1825). The messages in the response would then
// be invisible until their visibility timeout.
type httpClient struct{ *awshttp.BuildableClient }

// newHTTPClient returns a client with the options of the given one. It keeps
// connections for all polls that a configuration may ask for. net/http would
// keep two, and a busy poller would open new ones all the time.
func newHTTPClient(client *awshttp.BuildableClient) httpClient {
	return httpClient{client.WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns = 0 // unlimited
		t.MaxIdleConnsPerHost = 2 * config.MaxConcurrency
		t.MaxResponseHeaderBytes = maxHeader
	})}
}

func (c httpClient) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.WithContext(r.Context()) // a copy
		// With GetBody, net/http can send it again if the connection was cut while idle.
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	response, err := c.BuildableClient.Do(r)
	if err == nil {
		response.Body = limitBody(response.Body)
	}
	return response, err
}

// A limitedBody is the body of a response. Reading more than its limit of bytes
// returns errBody.
type limitedBody struct {
	io.ReadCloser
	left int // bytes
}

func limitBody(body io.ReadCloser) *limitedBody { return &limitedBody{body, maxBody} }

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, errBody
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return n - 1, errBody
	}
	return n, err
}
