package config

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/handler"
)

// A store is the part of Parameter Store that Scout uses: the call
// AmazonSSM.GetParameters of AWS JSON 1.1.
type store struct {
	parameters map[string]string // by name
	fail       http.HandlerFunc  // responds instead, if not nil

	calls [][]string // the names in each call
	mu    sync.Mutex // guards fail and calls
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Names          []string
		WithDecryption bool
	}
	err := json.NewDecoder(r.Body).Decode(&in)
	if err != nil || r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameters" || len(in.Names) > 10 || !in.WithDecryption {
		http.Error(w, "unexpected request", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.calls = append(s.calls, in.Names)
	fail := s.fail
	s.mu.Unlock()
	if fail != nil {
		fail(w, r)
		return
	}
	type parameter struct{ Name, Value string }
	out := struct {
		Parameters        []parameter
		InvalidParameters []string
	}{}
	for _, name := range in.Names {
		if value, ok := s.parameters[name]; ok {
			out.Parameters = append(out.Parameters, parameter{name, value})
		} else {
			out.InvalidParameters = append(out.InvalidParameters, name)
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(out)
}

// respondError responds with an AWS error.
func respondError(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"__type": %q, "message": %q}`, code, message)
	}
}

// loader returns a Loader that reads parameters from s.
func (s *store) loader(t *testing.T, env ...string) Loader {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return Loader{Env: vars(env...), AWS: access(server.URL)}
}

// access returns a function for Loader.AWS that reaches a Parameter Store at the URL.
func access(url string) func(context.Context, AWS) (aws.Config, error) {
	return func(context.Context, AWS) (aws.Config, error) {
		return aws.Config{
			Region:       "us-east-1",
			BaseEndpoint: &url,
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
			}),
		}, nil
	}
}

func TestParameters(t *testing.T) {
	s := &store{parameters: map[string]string{"/scout/url": "redis://:a@h", "/scout/class": "W"}}
	checkParameters(t, s.loader(t))
	check(t, "first call", s.calls[0], []string{"/scout/class", "/scout/url"})
}

// checkParameters passes on the fake and on any other Parameter Store with a
// SecureString /scout/url and a String /scout/class.
func checkParameters(t *testing.T, loader Loader) {
	c, err := loader.Load(t.Context(), `
redis: {url: ssm:/scout/url}
queue: {topics: {a: ssm:/scout/class, b: ssm:/scout/class}}
`)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "URL", c.Redis.URL.Reveal(), "redis://:a@h")
	for _, route := range c.Queues[0].Topics {
		check(t, route.Key, route.Outcome.(handler.Worker).Class, "W")
	}

	_, err = loader.Load(t.Context(), `
redis: {url: ssm:/scout/URL, namespace: ssm:/scout/url}
queue: {topics: {a: ssm:/scout/class}}
`)
	check(t, "error", fmt.Sprint(err), "--config:2: redis.url: parameter /scout/URL does not exist (names are case-sensitive and belong to a region)")
}

func TestParametersTenACall(t *testing.T) {
	s := &store{parameters: map[string]string{}}
	text := "redis: {host: h}\nqueue:\n  topics:\n"
	for i := range 23 {
		name := fmt.Sprintf("/class/%d", i)
		s.parameters[name] = fmt.Sprintf("W%d", i)
		text += fmt.Sprintf("    t%d: ssm:%s\n", i, name)
	}
	c, err := s.loader(t).Load(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	for i, route := range c.Queues[0].Topics {
		check(t, route.Key, route.Outcome.(handler.Worker).Class, fmt.Sprintf("W%d", i))
	}
	var sizes []int
	for _, names := range s.calls {
		sizes = append(sizes, len(names))
	}
	check(t, "names a call", sizes, []int{10, 10, 3})
}

func TestConfigurationInAParameter(t *testing.T) {
	s := &store{parameters: map[string]string{
		"/scout/config": "redis: {host: h, password: ssm:/scout/pw}\nqueue: {topics: {t: W}}\n",
		"/scout/pw":     "hunter2",
		"/scout/bad":    "redis: {host: h}\nqueue: {topics: {}}\n",
	}}
	c, err := s.loader(t, "SCOUT_CONFIG", "ssm:/scout/config").Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "URL", c.Redis.URL.Reveal(), "redis://:hunter2@h:6379/0")

	_, err = s.loader(t).Load(t.Context(), "ssm:/scout/bad")
	check(t, "error", fmt.Sprint(err), "ssm:/scout/bad:2: queue.topics: must have at least one topic, such as foo-topic: FooWorker")
	_, err = s.loader(t, "AWS_ENDPOINT_URL_SSM", "localhost").Load(t.Context(), "ssm:/scout/config")
	check(t, "error", fmt.Sprint(err), "AWS_ENDPOINT_URL_SSM: must be an http:// or https:// URL without a user name or password")
	_, err = s.loader(t).Load(t.Context(), "ssm:/scout/Config")
	check(t, "error", fmt.Sprint(err), "--config: parameter /scout/Config does not exist (names are case-sensitive and belong to a region)")
}

// TestAccessToParameters checks the arguments of Loader.AWS, and that it is called
// only if it is needed.
func TestAccessToParameters(t *testing.T) {
	tests := map[string]struct {
		aws  string
		env  []string
		want []AWS
	}{
		"no references": {"{region: a}", nil, nil},
		"what is there": {"{region: us_east_1, access_key: a, secret_key: env:S, endpoint: 'http://h'}\nredis: {host: ssm:/h}",
			[]string{"S", "s"}, []AWS{{Region: "us-east-1", AccessKey: "a", SecretKey: "s", Endpoint: "http://h"}}},
		"half a pair": {"{region: a, access_key: a, secret_key: ssm:/s}\nredis: {host: ssm:/h}", nil, []AWS{{Region: "a"}}},
		"environment": {"\nredis: {host: ssm:/h}", []string{"AWS_REGION", "e", "AWS_ENDPOINT_URL_SSM", "http://ssm", "AWS_ENDPOINT_URL", "http://all"},
			[]AWS{{Region: "e", Endpoint: "http://ssm"}}},
		"queue's region": {"\nredis: {host: ssm:/h}\nqueues: [{name: q}, {url: 'http://h/q'}, {url: 'https://sqs.eu-west-1.amazonaws.com/123456789012/q'}]", nil,
			[]AWS{{Region: "eu-west-1"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []AWS
			loader := Loader{Env: vars(test.env...), AWS: func(_ context.Context, a AWS) (aws.Config, error) {
				got = append(got, a)
				return aws.Config{}, fmt.Errorf("no access")
			}}
			_, err := loader.Load(t.Context(), "aws: "+test.aws+"\n")
			check(t, "AWS", got, test.want)
			check(t, "error tells", strings.Contains(err.Error(), "no access"), len(test.want) > 0)
		})
	}
}

func TestParameterErrors(t *testing.T) {
	const text = "redis: {host: h, password: ssm:/scout/pw}\nqueue: {topics: {t: W}}\n"
	tests := map[string]struct {
		text string
		fail http.HandlerFunc
		want string
	}{
		"does not exist": {text: text,
			want: "parameter /scout/pw does not exist (names are case-sensitive and belong to a region)"},
		"access denied": {text: text, fail: respondError(400, "AccessDeniedException", "User: u is not authorized to perform: ssm:GetParameters"),
			want: "parameter /scout/pw: access denied; allow ssm:GetParameters on it, and kms:Decrypt on its key if it is a SecureString with a customer managed key (AWS: User: u is not authorized to perform: ssm:GetParameters)"},
		"throttled": {text: text, fail: respondError(400, "ThrottlingException", "Rate exceeded"),
			want: "parameter /scout/pw: Parameter Store is throttling; try again, or enable higher throughput"},
		"expired token": {text: text, fail: respondError(400, "ExpiredTokenException", "The security token is expired"),
			want: "parameter /scout/pw: ExpiredTokenException: The security token is expired"},
		"unprintable": {text: text, fail: respondError(400, "Odd\nException", strings.Repeat("\u202e", 200)),
			want: `parameter /scout/pw: Odd\u000aException: ` + strings.Repeat(`\u202e`, 46) + "…"},
		"silent": {text: text, fail: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			want: "parameter /scout/pw: Parameter Store did not respond within 2s; a function in a VPC needs a VPC endpoint for ssm"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := (&store{fail: test.fail}).loader(t).Load(t.Context(), test.text)
			check(t, "error", fmt.Sprint(err), "--config:1: redis.password: "+test.want)
		})
	}
}

// TestThrottledOnce checks that there is time for the SDK's retries.
func TestThrottledOnce(t *testing.T) {
	s := &store{parameters: map[string]string{"/h": "h"}}
	s.fail = func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.fail = nil
		s.mu.Unlock()
		respondError(400, "ThrottlingException", "Rate exceeded")(w, r)
	}
	c, err := s.loader(t).Load(t.Context(), "redis: {host: ssm:/h}\nqueue: {topics: {t: W}}\n")
	if err != nil {
		t.Fatal(err)
	}
	check(t, "URL", c.Redis.URL.Reveal(), "redis://h:6379/0")
}

// TestErrorsOfParametersAndOthers checks that an unresolved reference causes no
// further errors, and that a resolved one is checked but not shown.
func TestErrorsOfParametersAndOthers(t *testing.T) {
	s := &store{parameters: map[string]string{"/class": "hunter2"}}
	_, err := s.loader(t).Load(t.Context(), strings.TrimPrefix(`
redis: {url: ssm:/absent}
aws: {access_key: ssm:/absent, secret_key: ssm:/absent/2}
queue:
  wait_time: ssm:/absent
  topics: {t: ssm:/class, u: ssm:/absent}
  tipics: {}
`, "\n"))
	const absent = " does not exist (names are case-sensitive and belong to a region)"
	check(t, "errors", strings.Split(fmt.Sprint(err), "\n"), []string{
		"--config:1: redis.url: parameter /absent" + absent,
		"--config:2: aws.access_key: parameter /absent" + absent,
		"--config:2: aws.secret_key: parameter /absent/2" + absent,
		"--config:4: queue.wait_time: parameter /absent" + absent,
		"--config:5: queue.topics.t: must be a Ruby class, such as FooWorker or Orders::SyncJob",
		"--config:5: queue.topics.u: parameter /absent" + absent,
		`--config:6: queue.tipics: unknown key; did you mean "topics"? allowed: name, url, wait_time, visibility_timeout, max_messages, concurrency, topics, eventbridge, s3, plain, message_id, rejected`,
	})
}
