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
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// relearnAfter is how long the SDK makes all calls after SQS refused one. If
// it was because of how we send and sign them, the SDK will know better.
const relearnAfter = time.Minute

// An operation is one of SQS's, and how to ask for it.
type operation struct {
	model   atomic.Pointer[model] // nil if it is not known
	refused atomic.Int64          // when it was forgotten; in ns since 1970
}

func (o *operation) forget() {
	o.refused.Store(time.Now().UnixNano())
	o.model.Store(nil)
}

// learn takes a request of the SDK's, made at a time, as a model for those that follow.
func (o *operation) learn(r *http.Request, at time.Time) {
	if time.Since(time.Unix(0, o.refused.Load())) > relearnAfter {
		o.model.Store(newModel(r, at))
	}
}

// A model is what requests of an operation have in common, and how they are
// signed: with Signature Version 4, see "Create a signed AWS API request" in
// the IAM User Guide.
type model struct {
	https   bool
	addr    string // host:port
	path    string
	headers []header // those that are signed, sorted by their names
	signed  string   // their names
	agent   string   // the header User-Agent, which is not signed
	scope   string   // of the signature: region, service and "aws4_request"
	skew    time.Duration
	token   bool // the credentials have a session token

	key atomic.Pointer[signingKey]
}

// A header has no value here if it has another in each request.
type header struct{ name, value string }

var (
	authorization = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=[^/]+/\d{8}/([^/]+/[^/]+/aws4_request), SignedHeaders=([a-z0-9;-]+), Signature=`)
	plainPath     = regexp.MustCompile(`^/[A-Za-z0-9/_.~-]*$`) // stands in a signature as it is
)

// newModel returns nil if a request of the SDK's is not as expected.
func newModel(r *http.Request, now time.Time) *model {
	auth := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	date, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if auth == nil || err != nil || r.Method != http.MethodPost || r.URL.RawQuery != "" || !plainPath.MatchString(r.URL.EscapedPath()) {
		return nil
	}
	m := &model{
		https: r.URL.Scheme == "https",
		addr:  net.JoinHostPort(r.URL.Hostname(), cmp.Or(r.URL.Port(), r.URL.Scheme)), // https is a port's name, too
		path:  r.URL.EscapedPath(),
		agent: r.UserAgent(),
		scope: auth[1],
	}
	if skew := date.Sub(now); skew.Abs() > time.Minute {
		m.skew = skew // the SDK has found out that the clock is wrong
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
			m.token = true
		case "amz-sdk-invocation-id", "amz-sdk-request":
			continue // of that request alone
		}
		m.headers = append(m.headers, header{name, value})
		names = append(names, name)
	}
	m.signed = strings.Join(names, ";")
	for _, needed := range []string{"content-length", "host", "x-amz-date"} {
		if !slices.Contains(names, needed) {
			return nil
		}
	}
	return m
}

const amzDate = "20060102T150405Z"

// appendRequest appends a whole request, signed. It returns false if the
// credentials are of another kind than the model's.
func (m *model) appendRequest(b []byte, c aws.Credentials, body []byte) ([]byte, bool) {
	if m.token != (c.SessionToken != "") {
		return b, false
	}
	date := time.Now().Add(m.skew).UTC().Format(amzDate)
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
	signature := m.sign(b[len(b):], c, date, value, body)
	b = fmt.Appendf(b, "POST %s HTTP/1.1\r\n", m.path)
	for _, h := range m.headers {
		b = append(append(b, h.name...), ": "...)
		b = append(append(b, value(h)...), "\r\n"...)
	}
	b = fmt.Appendf(b, "user-agent: %s\r\naccept-encoding: identity\r\n", m.agent)
	b = fmt.Appendf(b, "authorization: AWS4-HMAC-SHA256 Credential=%s/%s/%s, SignedHeaders=%s, Signature=%x\r\n\r\n",
		c.AccessKeyID, date[:8], m.scope, m.signed, signature)
	return append(b, body...), true
}

// sign returns a request's signature. It writes what it signs to scratch.
func (m *model) sign(scratch []byte, c aws.Credentials, date string, value func(header) string, body []byte) []byte {
	b := fmt.Appendf(scratch, "POST\n%s\n\n", m.path)
	for _, h := range m.headers {
		b = append(append(b, h.name...), ':')
		b = append(append(b, value(h)...), '\n')
	}
	hash := sha256.Sum256(body)
	b = fmt.Appendf(b, "\n%s\n%x", m.signed, hash[:])
	hash = sha256.Sum256(b)
	b = fmt.Appendf(scratch, "AWS4-HMAC-SHA256\n%s\n%s/%s\n%x", date, date[:8], m.scope, hash[:])
	h := hmac.New(sha256.New, m.signingKey(c.SecretAccessKey, date[:8]))
	h.Write(b)
	return h.Sum(nil)
}

// A signingKey is the key for the requests of a day.
type signingKey struct {
	secret, day string
	key         []byte
}

func (m *model) signingKey(secret, day string) []byte {
	if k := m.key.Load(); k != nil && k.secret == secret && k.day == day {
		return k.key
	}
	key := []byte("AWS4" + secret)
	for _, part := range append([]string{day}, strings.Split(m.scope, "/")...) {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	m.key.Store(&signingKey{secret, day, key})
	return key
}
