package devpage

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/config"
	"scout/handler"
	"scout/internal/devstack"
	"scout/sidekiq"
)

// A fixture is a page of a stack with one queue, served over HTTP.
type fixture struct {
	*Page
	t   *testing.T
	url string
}

const testConfig = `queue:
  name: app
  topics: {orders: OrderWorker, "audit-*": ignore, ledger.fifo: LedgerWorker}
  eventbridge: {"shop/Paid": PaidWorker}
  s3: {uploads: UploadWorker}
  plain: PlainWorker
`

func newFixture(t *testing.T, text string) *fixture {
	t.Helper()
	c, err := config.Loader{LocalRedis: "redis://127.0.0.1:1"}.Load(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	server := devstack.NewServer()
	arn, err := server.CreateQueue("app", nil)
	if err != nil {
		t.Fatal(err)
	}
	server.OnTopic = func(topic string) { _, _ = server.Subscribe(topic, arn, nil) }
	w := &fixture{Page: New(server, func() *config.Config { return c }, "a test"), t: t}
	http := httptest.NewServer(w.Page)
	t.Cleanup(func() { http.CloseClientConnections(); http.Close() })
	w.url = http.URL
	return w
}

// deliver makes the page observe that the queue has received a body, and returns the
// message in the page's list.
func (w *fixture) deliver(body, sqsID string, receives int, outcomes ...sidekiq.Outcome) *message {
	w.t.Helper()
	m := &events.SQSMessage{MessageId: sqsID, Body: body, EventSourceARN: "arn:aws:sqs:us-east-1:000000000000:app",
		Attributes: map[string]string{"ApproximateReceiveCount": fmt.Sprint(receives)}}
	t, err := w.config().Router(w.config().Queues[0]).Translate(m, time.Now())
	result := handler.Result{Message: m, Translation: t, Err: err}
	for _, outcome := range outcomes {
		result.Pushed = append(result.Pushed, sidekiq.Result{Outcome: outcome})
	}
	w.Observe(handler.Stats{Results: []handler.Result{result}})
	list, _ := w.messages.after(0)
	return list[len(list)-1]
}

// envelope returns a notification as SQS delivers it.
func envelope(topic, id, text string) string {
	return fmt.Sprintf(`{"Type":"Notification","MessageId":%q,"TopicArn":%q,"Message":%q,"Subject":"s","MessageAttributes":{"a":{"Type":"String","Value":"b"}}}`, id, devstack.TopicARN(topic), text)
}

// post posts JSON to the API, and returns the status and the response.
func (w *fixture) post(path, body string, header ...string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), "POST", w.url+"/_scout/"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestServesBesideSQS(t *testing.T) {
	for request, want := range map[string]bool{
		"GET /": true, "HEAD /": true, "GET /_scout/stream": true, "POST /_scout/publish": true,
		"POST /": false, "POST /000000000000/app": false, "GET /000000000000/app": false, "GET /_scoutx": false,
	} {
		method, path, _ := strings.Cut(request, " ")
		if got := Serves(httptest.NewRequest(method, path, nil)); got != want {
			t.Errorf("%s: %t, want %t", request, got, want)
		}
	}
}

func TestRejectsRequests(t *testing.T) {
	w := newFixture(t, testConfig)
	for _, test := range []struct {
		name, body string
		header     []string
		want       int
	}{
		{"another site", `{"queue":"app","message":"1"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"another port of this host", `{"queue":"app","message":"1"}`, []string{"Sec-Fetch-Site", "same-site"}, 403},
		{"a form", `{"queue":"app","message":"1"}`, []string{"Content-Type", "text/plain"}, 415},
		{"no JSON", `x`, nil, 400},
		{"an unknown key", `{"queue":"app","messag":"1"}`, nil, 400},
		{"no destination", `{"message":"1"}`, nil, 400},
		{"two destinations", `{"queue":"app","topic":"orders","message":"1"}`, nil, 400},
		{"a missing queue", `{"queue":"nope","message":"1"}`, nil, 400},
		{"an invalid topic", `{"topic":"a b","message":"1"}`, nil, 400},
		{"too large", `{"queue":"app","message":"` + strings.Repeat("x", maxRequest) + `"}`, nil, 413},
		{"fine", `{"queue":"app","message":"1"}`, []string{"Sec-Fetch-Site", "same-origin"}, 200},
	} {
		if got, text := w.post("publish", test.body, test.header...); got != test.want {
			t.Errorf("%s: status %d, want %d: %s", test.name, got, test.want, text)
		}
	}
	response, err := http.Get(w.url + "/")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if got := response.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'none'") || strings.Contains(got, "unsafe") {
		t.Errorf("the policy is %q", got)
	}
}

func TestListIsBounded(t *testing.T) {
	w := newFixture(t, testConfig)
	for i := range maxMessages + 10 {
		w.deliver(fmt.Sprint(i), fmt.Sprint("id-", i), 1, sidekiq.Enqueued)
	}
	list, _ := w.messages.after(0)
	if len(list) != maxMessages || list[0].body != "10" {
		t.Errorf("%d messages, the first %q", len(list), list[0].body)
	}
	large := strings.Repeat("x", maxBody+1)
	var m *message
	for i := range 2*maxBytes/maxBody + 10 {
		m = w.deliver(large, fmt.Sprint("large-", i), 1, sidekiq.Enqueued)
	}
	if w.messages.bytes > maxBytes {
		t.Errorf("%d bytes are kept", w.messages.bytes)
	}
	if status, text := w.post("messages/"+m.ID+"/replay", `{"as":"redelivery"}`); status != 409 || !strings.Contains(text, "256 KiB") {
		t.Errorf("replay of a message that is cut off: %d %s", status, text)
	}
}

// A later receive of a message replaces it; a redelivery that was asked for is new.
func TestOneEntryForEachMessage(t *testing.T) {
	w := newFixture(t, testConfig)
	const body = `{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:000000000000:nope","Message":"1"}`
	w.deliver(body, "a", 1)
	first := w.deliver(body, "a", 2)
	w.DeadLetter(devstack.DeadLetter{MessageID: "a", Queue: "app", DeadLetterQueue: "app_dead", Receives: 2})
	w.DeadLetter(devstack.DeadLetter{MessageID: "unknown", Queue: "app"})
	again := w.deliver(body, "a", 1)
	list, _ := w.messages.after(0)
	if len(list) != 2 || list[0].ID != first.ID || list[0].State != stateDeadLetter || list[0].Receives != 2 || again.ID == first.ID || again.State != stateRejected {
		t.Errorf("the list is %+v", list)
	}
	if !strings.HasPrefix(list[0].Detail, "moved to the dead-letter queue app_dead after 2 receives; no worker is configured") {
		t.Errorf("the detail is %q", list[0].Detail)
	}
}

func TestStates(t *testing.T) {
	w := newFixture(t, testConfig)
	order := envelope("orders", "1", "1")
	for _, test := range []struct {
		body     string
		outcomes []sidekiq.Outcome
		want     string
	}{
		{order, []sidekiq.Outcome{sidekiq.Enqueued}, stateEnqueued},
		{order, []sidekiq.Outcome{sidekiq.Unmarked}, stateEnqueued},
		{order, []sidekiq.Outcome{sidekiq.Duplicate}, stateDuplicate},
		{envelope("audit-x", "2", "1"), nil, stateIgnored},
		{envelope("nope", "3", "1"), nil, stateRejected},
	} {
		if m := w.deliver(test.body, "id", 1, test.outcomes...); m.State != test.want {
			t.Errorf("%s: %s, want %s", test.body, m.State, test.want)
		}
	}
}

// TestReplay checks the message that the queue receives after a replay.
func TestReplay(t *testing.T) {
	const event = `{"id":"1","source":"shop","detail-type":"Paid","detail":{}}`
	const upload = `{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"uploads"},"object":{"key":"k","sequencer":"1"}}}]}`
	byBody := strings.Replace(testConfig, "  plain: PlainWorker", "  message_id: body:/id\n  plain: PlainWorker", 1)
	for _, test := range []struct {
		name, config, body, as string
		want                   string // in the body that is received
		fails                  string // in the error
	}{
		{"notification, redelivered", testConfig, envelope("orders", "sns-1", "1"), "redelivery", `"MessageId":"sns-1"`, ""},
		{"notification, new", testConfig, envelope("orders", "sns-1", "1"), "new", `"Subject" : "s"`, ""},
		{"event, redelivered", testConfig, event, "redelivery", event, ""},
		{"event, new", testConfig, event, "new", `{"replay-name":"scout-dev-`, ""},
		{"upload, redelivered", testConfig, upload, "redelivery", upload, ""},
		{"upload, new", testConfig, upload, "new", "", "their own identity"},
		{"plain, new", testConfig, `{"id":1}`, "new", `{"id":1}`, ""},
		{"plain with an id, new", byBody, `{"id":1}`, "new", "", "message_id"},
		{"otherwise", testConfig, `{"id":1}`, "sometimes", "", "redelivery or new"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newFixture(t, test.config)
			if _, err := w.server.CreateTopic("orders", nil); err != nil {
				t.Fatal(err)
			}
			m := w.deliver(test.body, "sqs-1", 1, sidekiq.Enqueued)
			status, text := w.post("messages/"+m.ID+"/replay", fmt.Sprintf(`{"as":%q}`, test.as))
			if test.fails != "" {
				if status != 409 || !strings.Contains(text, test.fails) {
					t.Errorf("%d %s", status, text)
				}
				return
			}
			body, id := w.receive()
			if status != 200 || !strings.Contains(body, test.want) || (id == "sqs-1") != (test.as == "redelivery") {
				t.Errorf("%d %s; the queue has %s with the id %s", status, text, body, id)
			}
			if got, err := w.config().Router(w.config().Queues[0]).Translate(&events.SQSMessage{MessageId: id, Body: body, EventSourceARN: ":app"}, time.Now()); err != nil || (got.Jobs[0].JID == m.Jobs[0].JID) != (test.as == "redelivery") {
				t.Errorf("it becomes %+v, %v", got.Jobs, err)
			}
		})
	}
}

// receive receives the message in the queue.
func (w *fixture) receive() (body, id string) {
	w.t.Helper()
	r := httptest.NewRequest("POST", "/", strings.NewReader(`{"QueueUrl":"http://x/000000000000/app"}`))
	r.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, r)
	var out struct {
		Messages []struct{ MessageId, Body string }
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &out); err != nil || len(out.Messages) != 1 {
		w.t.Fatalf("the queue has %s", recorder.Body)
	}
	return out.Messages[0].Body, out.Messages[0].MessageId
}

func TestPublishToFIFOTopic(t *testing.T) {
	w := newFixture(t, testConfig)
	if status, text := w.post("publish", `{"topic":"ledger.fifo","message":"1","attributes":[{"name":"a","type":"Number","value":"2"}]}`); status != 200 {
		t.Fatalf("%d %s", status, text)
	}
	if body, _ := w.receive(); !strings.Contains(body, `"SequenceNumber"`) || !strings.Contains(body, `"Number"`) {
		t.Errorf("the queue has %s", body)
	}
}

// readEvents reads server-sent events until one contains a text.
func (w *fixture) readEvents(lastID, until string) (text string) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", w.url+"/_scout/stream", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Last-Event-ID", lastID)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 4<<20) // an event with many messages
	for lines.Scan() {
		if text += lines.Text() + "\n"; strings.Contains(lines.Text(), until) {
			return text
		}
	}
	w.t.Fatalf("the stream ended after %s", text)
	return ""
}

func TestStream(t *testing.T) {
	w := newFixture(t, testConfig)
	first := w.deliver(envelope("orders", "1", "1"), "sqs-1", 1, sidekiq.Enqueued)
	all := w.readEvents("", "sqs-1")
	if !strings.Contains(all, "event: reset") || !strings.Contains(all, "event: stack") || !strings.Contains(all, `"route":"orders"`) {
		t.Errorf("the stream is %s", all)
	}
	w.deliver(envelope("orders", "2", "2"), "sqs-2", 1, sidekiq.Enqueued)
	rest := w.readEvents(fmt.Sprintf("%s.%d", w.run, first.seq), "sqs-2")
	if strings.Contains(rest, "event: reset") || strings.Contains(rest, "sqs-1") {
		t.Errorf("after the first message, the stream is %s", rest)
	}
	if other := w.readEvents("another-run.1", "sqs-2"); !strings.Contains(other, "event: reset") || !strings.Contains(other, "sqs-1") {
		t.Errorf("after a restart, the stream is %s", other)
	}
}

// TestStreamSendsBurstsAtOnce checks that the page gets many messages in one event,
// because it redraws after each event.
func TestStreamSendsBurstsAtOnce(t *testing.T) {
	w := newFixture(t, testConfig)
	for n := range maxMessages {
		w.deliver(envelope("orders", fmt.Sprint(n), "1"), fmt.Sprintf("sqs-%d", n), 1, sidekiq.Enqueued)
	}
	if text := w.readEvents("", fmt.Sprintf(`"sqs-%d"`, maxMessages-1)); strings.Count(text, "event: messages") != 1 {
		t.Errorf("there are %d events", strings.Count(text, "event: "))
	}
}

func TestUnreachableRedis(t *testing.T) {
	w := newFixture(t, testConfig)
	response, err := http.Get(w.url + "/_scout/sidekiq")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != 502 || !strings.Contains(string(text), "reading the queues in Redis at 127.0.0.1:1") {
		t.Errorf("%d %s", response.StatusCode, text)
	}
}

func TestSamples(t *testing.T) {
	samples, err := readSamples()
	if err != nil || len(samples) < 20 {
		t.Fatalf("%d samples, %v", len(samples), err)
	}
	for _, s := range samples {
		if s.Draft.Message == "" || s.Name == "" {
			t.Errorf("%+v", s)
		}
	}
}

// Indentation must not multiply the size of a message.
func TestPrettyIsBounded(t *testing.T) {
	deep := strings.Repeat("[", 9000) + strings.Repeat(`"\"[",`, 30_000) + "1" + strings.Repeat("]", 9000)
	if !json.Valid([]byte(deep)) || len(pretty(deep)) != len(deep) {
		t.Errorf("%d bytes become %d", len(deep), len(pretty(deep)))
	}
	if wide := "[" + strings.Repeat("1,", 60_000) + "1]"; !strings.HasPrefix(pretty(wide), "[\n  1,\n") {
		t.Errorf("a message of %d bytes is shown in one line", len(wide))
	}
}

func TestTextIsSafeToShow(t *testing.T) {
	for text, want := range map[string]string{
		"{\"a\":[1.0,\"\u202e\"]}": "{\n  \"a\": [\n    1.0,\n    \"\\u202e\"\n  ]\n}",
		"no\x1b[31m JSON\nhere":    "no\\u001b[31m JSON\nhere",
	} {
		if got := pretty(text); got != want {
			t.Errorf("pretty(%q) = %q, want %q", text, got, want)
		}
	}
	for payload, want := range map[string]string{
		`{"class":"A","args":[ {"id":1.0}, "x\u202e"]}`:                          `{"id":1.0}, "x\u202e"`,
		"{\"args\":[\"\u202e\"]}":                                                `"\u202e"`,
		`{"class":"W","wrapped":"J","args":[{"arguments":[1],"job_class":"J"}]}`: "1",
		"no JSON": "",
	} {
		if got := Arguments([]byte(payload)); got != want {
			t.Errorf("Arguments(%q) = %q, want %q", payload, got, want)
		}
	}
}
