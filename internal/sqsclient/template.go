package sqsclient

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// templateDelay is how long the SDK makes all calls after dropTemplate. If a
// request failed because of its address or signature, the SDK may do better.
const templateDelay = time.Minute

// An operation is an operation of SQS and how to request it.
type operation struct {
	template atomic.Pointer[template] // nil while only the SDK knows how

	mu      sync.Mutex // held while the template is replaced
	dropped time.Time  // time of the last call of dropTemplate
}

func (o *operation) dropTemplate() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropped = time.Now()
	o.template.Store(nil)
}

// setTemplate makes a successful request of the SDK, sent at the given time,
// the template of those that follow.
func (o *operation) setTemplate(r *http.Request, sent time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Since(o.dropped) > templateDelay {
		o.template.Store(newTemplate(r, sent))
	}
}

// A template is what the requests of an operation have in common, and how they
// are signed: with Signature Version 4, see "Create a signed AWS API request"
// in the IAM User Guide.
type template struct {
	https   bool
	addr    string // host:port
	path    string
	headers []header // those that are signed, sorted by name
	signed  string   // their names
	agent   string   // the header User-Agent, which is not signed
	scope   string   // of the signature: region, service and "aws4_request"
	skew    time.Duration
	token   bool // the credentials have a session token

	key atomic.Pointer[signingKey]
}

// A header is a name in lower case and a value, which is empty if it differs
// from request to request.
type header struct{ name, value string }

var (
	authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+/[^/]+/aws4_request), SignedHeaders=([a-z0-9;-]+), Signature=`)
	plainPath     = regexp.MustCompile(`^/[A-Za-z0-9/_.~-]*$`) // needs no escaping in a signature
)

// protocol is the content type of the AWS JSON protocol, the only one whose
// requests and responses this package can write and read.
const protocol = "application/x-amz-json-1.0"

// newTemplate returns nil if appendRequest cannot write requests like r.
func newTemplate(r *http.Request, sent time.Time) *template {
	auth := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	date, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if auth == nil || err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != protocol ||
		r.URL.RawQuery != "" || !plainPath.MatchString(r.URL.EscapedPath()) {
		return nil
	}
	t := &template{
		https: r.URL.Scheme == "https",
		addr:  net.JoinHostPort(r.URL.Hostname(), cmp.Or(r.URL.Port(), r.URL.Scheme)), // "https" is also the name of a port
		path:  r.URL.EscapedPath(),
		agent: r.UserAgent(),
		scope: auth[1],
	}
	if skew := date.Sub(sent); skew.Abs() > time.Minute {
		t.skew = skew // the SDK has found out that the clock is wrong
	}
	var names []string
	for name := range strings.SplitSeq(auth[2], ";") {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = cmp.Or(r.Host, r.URL.Host)
		case "content-length", "x-amz-date":
			value = ""
		case "x-amz-security-token":
			value = ""
			t.token = true
		case "amz-sdk-invocation-id", "amz-sdk-request":
			continue // they describe only that request
		}
		t.headers = append(t.headers, header{name, value})
		names = append(names, name)
	}
	t.signed = strings.Join(names, ";")
	for _, needed := range []string{"content-length", "host", "x-amz-date"} {
		if !slices.Contains(names, needed) {
			return nil
		}
	}
	return t
}

const amzDate = "20060102T150405Z"

// appendRequest appends a whole signed request. It reports false if the
// credentials have a session token and the template does not, or vice versa.
func (t *template) appendRequest(b []byte, c aws.Credentials, body []byte) ([]byte, bool) {
	if t.token != (c.SessionToken != "") {
		return b, false
	}
	date := time.Now().Add(t.skew).UTC().Format(amzDate)
	length := strconv.Itoa(len(body))
	value := func(h header) string {
		switch h.name {
		case "content-length":
			return length
		case "x-amz-date":
			return date
		case "x-amz-security-token":
			return c.SessionToken
		}
		return h.value
	}
	signature := t.sign(b[len(b):], c, date, value, body)
	b = fmt.Appendf(b, "POST %s HTTP/1.1\r\n", t.path)
	for _, h := range t.headers {
		b = append(append(b, h.name...), ": "...)
		b = append(append(b, value(h)...), "\r\n"...)
	}
	b = fmt.Appendf(b, "user-agent: %s\r\naccept-encoding: identity\r\n", t.agent)
	b = fmt.Appendf(b, "authorization: AWS4-HMAC-SHA256 Credential=%s/%s/%s, SignedHeaders=%s, Signature=%x\r\n\r\n",
		c.AccessKeyID, date[:8], t.scope, t.signed, signature)
	return append(b, body...), true
}

// sign returns the signature of a request. It overwrites the capacity of scratch.
func (t *template) sign(scratch []byte, c aws.Credentials, date string, value func(header) string, body []byte) []byte {
	b := fmt.Appendf(scratch, "POST\n%s\n\n", t.path)
	for _, h := range t.headers {
		b = append(append(b, h.name...), ':')
		b = append(append(b, value(h)...), '\n')
	}
	hash := sha256.Sum256(body)
	b = fmt.Appendf(b, "\n%s\n%x", t.signed, hash[:])
	hash = sha256.Sum256(b)
	b = fmt.Appendf(scratch, "AWS4-HMAC-SHA256\n%s\n%s/%s\n%x", date, date[:8], t.scope, hash[:])
	h := hmac.New(sha256.New, t.signingKey(c.SecretAccessKey, date[:8]))
	h.Write(b)
	return h.Sum(nil)
}

// A signingKey is the key for all requests of a day.
type signingKey struct {
	secret, day string
	key         []byte
}

func (t *template) signingKey(secret, day string) []byte {
	if k := t.key.Load(); k != nil && k.secret == secret && k.day == day {
		return k.key
	}
	key := []byte("AWS4" + secret)
	for _, part := range append([]string{day}, strings.Split(t.scope, "/")...) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	t.key.Store(&signingKey{secret, day, key})
	return key
}
