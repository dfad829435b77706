package sqsclient

import (
	"bytes"
	"io"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"

	"scout/config"
)

// An httpClient is the SDK's HTTP client, except that it limits responses and
// sends each request in one piece.
//
// net/http sends the kind of body that the SDK gives it after the header, and
// the SDK makes the body unreadable as soon as a response begins. If net/http has
// not read the end of the body before, it takes that for an error and closes the
// connection, so that the response cannot be read: "deserialization failed, use
// of closed network connection" (smithy-go, transport/http/internal/io/safe.go,
// func WriteTo; see aws-sdk-go-v2#1825). The messages in the response would then
// be invisible until their visibility timeout.
type httpClient struct{ *awshttp.BuildableClient }

// newHTTPClient returns a client with the options of the given one. It keeps
// idle connections for as many polls as a configuration may ask for. net/http
// would keep two, and a busy poller would open new ones all the time.
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
		response.Body = &limitedBody{ReadCloser: response.Body}
	}
	return response, err
}

// A limitedBody is the JSON body of a response. Reading more than maxBody bytes
// of it returns errBody, and reading more than maxValues values errValues: the
// SDK decodes a value of two bytes into a hundred.
type limitedBody struct {
	io.ReadCloser
	bytes    int
	values   int
	inString bool
	escaped  bool  // the next byte of the string follows a backslash
	err      error // errBody or errValues, once a limit is exceeded
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes += n
	b.countValues(p[:n])
	switch {
	case b.bytes > maxBody:
		b.err = errBody
	case b.values > maxValues:
		b.err = errValues
	default:
		return n, err
	}
	return 0, b.err
}

// countValues counts the characters in part of a JSON text that begin a list,
// an object, or another value in one.
func (b *limitedBody) countValues(part []byte) {
	for len(part) > 0 {
		if b.inString {
			part = b.skipString(part)
			continue
		}
		switch part[0] {
		case '"':
			b.inString = true
		case '[', '{', ',':
			b.values++
		}
		part = part[1:]
	}
}

// skipString returns what follows the string that part continues.
func (b *limitedBody) skipString(part []byte) []byte {
	for i, c := range part {
		switch {
		case b.escaped:
			b.escaped = false
		case c == '\\':
			b.escaped = true
		case c == '"':
			b.inString = false
			return part[i+1:]
		}
	}
	return nil
}
