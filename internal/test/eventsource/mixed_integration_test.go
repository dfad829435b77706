//go:build integration

package eventsource

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
)

// mixedRoutes route what mixed generates.
const mixedRoutes = `
  name: app
  topics:
    orders: OrderWorker
    events: {by: attribute:kind, to: {"order.*": OrderWorker, ping: ignore}}
  eventbridge: {shop/Paid: PaidWorker, shop/Tick: ignore}
  s3: {uploads: {by: body:/eventName, to: {"ObjectCreated:*": UploadWorker}}}
  plain: {by: attribute:kind, to: {import: ImportWorker, ping: ignore}}
  message_id: attribute:id
  rejected: dead
`

// TestMixedSources lets a daemon and the function handle one queue at the same time,
// with messages of all sources, while SQS delivers messages again at random and
// replies of Redis are lost. Each job is in Redis once, and so is each rejected
// message in the dead set.
//
// SCOUT_MIXED is the number of messages, 1,500 by default.
func TestMixedSources(t *testing.T) {
	t.Parallel()
	n, err := strconv.Atoi(os.Getenv("SCOUT_MIXED"))
	if err != nil {
		n = 1500
	}
	rng := newRand(t)
	endpoint, redelivered := startForgetful(t, rng)
	s := newStage(t, endpoint, "app")
	s.env = []string{"SCOUT_CONFIG=redis: {url: '" + s.redisURL + "'}\nqueue:" + mixedRoutes}
	m := &mixed{rng: rand.New(rand.NewPCG(rng.Uint64(), 0))}
	stop := make(chan struct{})
	close(stop) // after n messages
	sent := s.send(rng, 600, n, m.next, stop)
	s.startMapping(10, 0)
	s.startMapping(100, time.Second)
	daemonLog := s.startDaemon(endpoint)
	<-sent
	s.awaitHandled(0)
	s.report()
	t.Logf("%d messages were delivered again", redelivered.Load())

	compare(t, "jobs", s.jobs(), m.args)
	compare(t, "dead set", s.deadSet(), m.poison)
	compare(t, "dead letters", s.deadLetters(), nil)
	if enqueued := strings.Count(daemonLog(), `"job enqueued"`); enqueued == 0 || enqueued >= len(m.args) {
		t.Errorf("the daemon pushed %d jobs of %d; want some by the daemon and some by the function", enqueued, len(m.args))
	}
}

// A mixed generates messages of all sources, and records what must become of them.
type mixed struct {
	rng    *rand.Rand
	n      int
	copies []body   // that may be sent again
	args   []string // the argument of each job
	poison []string // a word in each message for the dead set
}

// next returns the next message: about 1 in 20 is poison, 1 in 20 is ignored, and 1
// in 10 is an earlier one that its source sends again.
func (m *mixed) next() body {
	if len(m.copies) > 0 && m.rng.IntN(10) == 0 {
		return m.copies[m.rng.IntN(len(m.copies))]
	}
	m.n++
	switch m.rng.IntN(20) {
	case 0:
		word := fmt.Sprint("poison-", m.n)
		m.poison = append(m.poison, word)
		return m.bad(word)
	case 1:
		return m.ignored()
	}
	b := m.good()
	if m.rng.IntN(5) == 0 {
		m.copies = append(m.copies, b)
	}
	return b
}

func (m *mixed) good() body {
	_, arg := good(m.rng, m.n)
	switch m.rng.IntN(5) {
	case 0:
		m.args = append(m.args, arg)
		return body{text: envelope("orders", unquoted(arg))}
	case 1:
		m.args = append(m.args, arg)
		return body{text: withAttribute(envelope("events", unquoted(arg)), "order.new")}
	case 2:
		arg = fmt.Sprintf(`{"event":%d,"sum":1.50}`, m.n)
		m.args = append(m.args, arg)
		return body{text: bridgeEvent(m.n, "Paid", arg)}
	case 3:
		var records []string
		for i := range 1 + m.rng.IntN(3) {
			records = append(records, record("uploads", fmt.Sprintf("%d+%d.pdf", m.n, i)))
		}
		m.args = append(m.args, records...)
		return body{text: `{"Records":[` + strings.Join(records, ",") + `]}`}
	default:
		m.args = append(m.args, arg)
		return body{text: unquoted(arg), attributes: map[string]string{"id": strconv.Itoa(m.n), "kind": "import"}}
	}
}

func (m *mixed) ignored() body {
	switch m.rng.IntN(4) {
	case 0:
		return body{text: withAttribute(envelope("events", fmt.Sprint(m.n)), "ping")}
	case 1:
		return body{text: bridgeEvent(m.n, "Tick", "{}")}
	case 2:
		return body{text: `{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"uploads"}`}
	default:
		return body{text: fmt.Sprint(m.n), attributes: map[string]string{"kind": "ping"}}
	}
}

// bad returns a message that Scout must reject, with a word in it.
func (m *mixed) bad(word string) body {
	switch m.rng.IntN(7) {
	case 0:
		return body{text: envelope("orders", fmt.Sprintf(`{"word":%q,"total":1e999}`, word))}
	case 1:
		return body{text: envelope("unheard-of", word)}
	case 2:
		return body{text: bridgeEvent(m.n, "Unheard Of", fmt.Sprintf(`{"word":%q}`, word))}
	case 3:
		return body{text: bridgeEvent(m.n, "Paid", fmt.Sprintf(`{"word":%q,"name":"\ud800"}`, word))}
	case 4: // taken whole or not at all
		return body{text: `{"Records":[` + record("uploads", fmt.Sprint(m.n, "-good")) + `,` + record("elsewhere", word) + `]}`}
	case 5:
		return body{text: word, attributes: map[string]string{"id": strconv.Itoa(m.n)}}
	default: // without an id
		return body{text: word, attributes: map[string]string{"kind": "import"}}
	}
}

// unquoted returns the message whose argument is arg.
func unquoted(arg string) string {
	if strings.HasPrefix(arg, `"`) {
		return strings.Trim(arg, `"`)
	}
	return arg
}

// withAttribute adds a message attribute to an envelope.
func withAttribute(envelope, kind string) string {
	return strings.TrimSuffix(envelope, "\n}") + fmt.Sprintf(",\n  \"MessageAttributes\": {\"kind\": {\"Type\":\"String\",\"Value\":%q}}\n}", kind)
}

func bridgeEvent(n int, detailType, detail string) string {
	return fmt.Sprintf(`{"version":"0","id":"event-%d","detail-type":%q,"source":"shop","detail":%s}`, n, detailType, detail)
}

func record(bucket, key string) string {
	return fmt.Sprintf(`{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":%q},"object":{"key":%q,"sequencer":"1"}}}`, bucket, key)
}

var poisonWord = regexp.MustCompile(`poison-\d+`)

// deadSet returns the word of each entry of Sidekiq's dead set.
func (s *stage) deadSet() (words []string) {
	s.t.Helper()
	entries, err := redis.Strings(s.redis.Do("ZRANGE", "dead", 0, -1))
	s.must(err)
	for _, entry := range entries {
		var job struct {
			Args         []json.RawMessage
			ErrorMessage string `json:"error_message"`
		}
		s.must(json.Unmarshal([]byte(entry), &job))
		if job.ErrorMessage == "" {
			s.t.Errorf("an entry of the dead set has no error: %s", entry)
		}
		words = append(words, poisonWord.FindString(string(job.Args[0])))
	}
	return words
}

// startDaemon starts scout run on the stage's queue, and returns a function that
// returns its log. It ends with the test.
func (s *stage) startDaemon(endpoint string) (log func() string) {
	s.t.Helper()
	file := filepath.Join(s.t.TempDir(), "log")
	w, err := os.Create(file)
	s.must(err)
	cmd := exec.Command(daemon, "run", "-j", "--log-level", "debug")
	cmd.Env = []string{"SCOUT_CONFIG=redis: {url: '" + s.redisURL + "'}\n" +
		"aws: {region: us-east-1, access_key: test, secret_key: test, endpoint: '" + endpoint + "'}\n" +
		"queue:\n  wait_time: 1s" + mixedRoutes}
	cmd.Stderr = w
	s.must(cmd.Start())
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("the daemon: %v", err)
		}
		w.Close()
	})
	return func() string {
		text, err := os.ReadFile(file)
		s.must(err)
		return string(text)
	}
}

// startForgetful starts a devstack that makes 1 in 5 received messages visible again
// at once, so that another consumer receives it while the first still has it.
func startForgetful(t *testing.T, rng *rand.Rand) (endpoint string, redelivered *atomic.Int64) {
	server := devstack.NewServer()
	direct := httptest.NewServer(server)
	client := newSQS(direct.URL)
	rng, redelivered = rand.New(rand.NewPCG(rng.Uint64(), 0)), new(atomic.Int64)
	var mu sync.Mutex // guards rng
	forgets := func() bool { mu.Lock(); defer mu.Unlock(); return rng.IntN(5) == 0 }
	var pending sync.WaitGroup
	forget := func(request, response []byte) {
		var in struct {
			QueueURL string `json:"QueueUrl"`
		}
		var out struct {
			Messages []struct{ ReceiptHandle string }
		}
		_, _ = json.Unmarshal(request, &in), json.Unmarshal(response, &out)
		for _, m := range out.Messages {
			if !forgets() {
				continue
			}
			pending.Go(func() {
				_, err := client.ChangeMessageVisibility(context.Background(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &in.QueueURL, ReceiptHandle: &m.ReceiptHandle})
				if err == nil { // it may already be deleted
					redelivered.Add(1)
				}
			})
		}
	}
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ReceiveMessage") {
			server.ServeHTTP(w, r)
			return
		}
		var request bytes.Buffer
		_, _ = request.ReadFrom(r.Body)
		r.Body = http.NoBody
		copied := r.Clone(r.Context())
		copied.Body = readCloser{bytes.NewReader(request.Bytes())}
		recorder := httptest.NewRecorder()
		server.ServeHTTP(recorder, copied)
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
		forget(request.Bytes(), recorder.Body.Bytes())
	}))
	t.Cleanup(func() { listening.Close(); pending.Wait(); server.Close(); direct.Close() })
	return listening.URL, redelivered
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
