package devstack

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestLocalOnly publishes with a form POST, as a web page can send it, with the
// headers of browsers, SDKs and attacks.
func TestLocalOnly(t *testing.T) {
	const loopback, all = "127.0.0.1:4566", "0.0.0.0:4566"
	for _, test := range []struct {
		name, listen, host string
		header             string // "Name: value", or ""
		want               int
	}{
		{"SDK", loopback, "127.0.0.1:4566", "", 200},
		{"localhost", loopback, "localhost:4566", "", 200},
		{"localhost without a port", loopback, "localhost", "", 200},
		{"localhost in other letters, with a dot", loopback, "LOCALHOST.:4566", "", 200},
		{"name below localhost", loopback, "sqs.localhost:4566", "", 200},
		{"another loopback address", loopback, "127.8.9.10:4566", "", 200},
		{"IPv6 loopback", "[::1]:4566", "[::1]:4566", "", 200},
		{"IPv6 loopback without a port", loopback, "[::1]", "", 200},
		{"IPv4 loopback in IPv6", loopback, "[::ffff:127.0.0.1]:4566", "", 200},
		{"forwarded port", loopback, "localhost:8000", "", 200},

		{"DNS rebinding", loopback, "attacker.example:4566", "", 403},
		{"DNS rebinding with its origin", loopback, "attacker.example:4566", "Origin: http://attacker.example:4566", 403},
		{"DNS rebinding, same origin", loopback, "attacker.example:4566", "Sec-Fetch-Site: same-origin", 403},
		{"name that begins like loopback", loopback, "127.0.0.1.attacker.example", "", 403},
		{"name that ends like localhost", loopback, "evil-localhost:4566", "", 403},
		{"address of another machine", loopback, "192.0.2.1:4566", "", 403},
		{"unspecified address", loopback, "0.0.0.0:4566", "", 403},
		{"host.docker.internal on loopback", loopback, "host.docker.internal:4566", "", 403},
		{"no host", loopback, "", "", 403},
		{"text that is no host", loopback, "a b\x1b[1m", "", 403},

		{"foreign origin", loopback, "localhost:4566", "Origin: https://attacker.example", 403},
		{"opaque origin", loopback, "localhost:4566", "Origin: null", 403},
		{"origin on another port", loopback, "localhost:4566", "Origin: http://localhost:3000", 403},
		{"own origin", loopback, "localhost:4566", "Origin: http://localhost:4566", 200},
		{"cross-site", loopback, "localhost:4566", "Sec-Fetch-Site: cross-site", 403},
		{"same-site", loopback, "localhost:4566", "Sec-Fetch-Site: same-site", 403},
		{"same-origin", loopback, "localhost:4566", "Sec-Fetch-Site: same-origin", 200},
		{"typed by the user", loopback, "localhost:4566", "Sec-Fetch-Site: none", 200},

		{"configured name", "dev.example:4566", "dev.example:4566", "", 200},
		{"configured name in other letters", "Dev.example:4566", "dev.Example:4566", "", 200},
		{"configured address", "192.0.2.1:4566", "192.0.2.1:4566", "", 200},
		{"other spelling of the configured address", "[2001:db8::1]:4566", "[2001:db8:0:0::1]:4566", "", 200},
		{"other address than the configured one", "192.0.2.1:4566", "192.0.2.2:4566", "", 403},
		{"name with a configured address", "192.0.2.1:4566", "attacker.example:4566", "", 403},

		{"host.docker.internal on all interfaces", all, "host.docker.internal:4566", "", 200},
		{"container's name on all interfaces", all, "scout:4566", "", 200},
		{"address on all interfaces", all, "192.0.2.1:4566", "", 200},
		{"IPv6 address on all interfaces", "[::]:4566", "[2001:db8::1]:4566", "", 200},
		{"all interfaces by an empty host", ":4566", "scout:4566", "", 200},
		{"DNS rebinding on all interfaces", all, "attacker.example:4566", "", 403},
		{"foreign origin on all interfaces", all, "192.0.2.1:4566", "Origin: https://attacker.example", 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := NewServer()
			topic, err := s.CreateTopic("orders", nil)
			if err != nil {
				t.Fatal(err)
			}
			form := url.Values{"Action": {"Publish"}, "TopicArn": {topic}, "Message": {"x"}}
			r := httptest.NewRequest("POST", "/", strings.NewReader(form.Encode()))
			r.Host = test.host
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if name, value, ok := strings.Cut(test.header, ": "); ok {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			LocalOnly(s, test.listen).ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("status %d, want %d: %s", w.Code, test.want, w.Body)
			}
			if published := s.topics[TopicARN("orders")].published; (published == 1) != (test.want == http.StatusOK) {
				t.Errorf("%d notifications were published", published)
			}
			if strings.Contains(w.Body.String(), "\x1b") {
				t.Errorf("the response contains a control character: %q", w.Body)
			}
		})
	}
}
