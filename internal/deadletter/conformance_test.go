package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/handler"
	"scout/internal/devstack"
	"scout/internal/explain"
	"scout/internal/sqsclient"
	"scout/internal/uuid"
	"scout/sidekiq"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "32") // because the tests mostly wait
	m.Run()
}

func TestOnDevstack(t *testing.T) {
	conformance(t, startServer(t), true)
}

func startServer(t *testing.T) string {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	return endpoint.URL
}

// conformance checks the package on an endpoint of SQS. If exact is true, the endpoint
// behaves like AWS in every respect. moto does not: it serves receives at the same
// time without a lock, so two of them may get the same message.
func conformance(t *testing.T, endpoint string, exact bool) {
	for name, test := range map[string]func(*fixture){
		"find by queue":        testFindByQueue,
		"find by URL":          testFindByURL,
		"find target":          testFindTarget,
		"scan":                 testScan,
		"interrupted scan":     testInterruptedScan,
		"redrive":              testRedrive,
		"redrive selections":   testRedriveSelections,
		"redrive new ids":      testRedriveNewIDs,
		"redrive undelivered":  testRedriveUndelivered,
		"redrive large":        testRedriveLarge,
		"redrive several":      testRedriveSeveralSources,
		"redrive FIFO":         testRedriveFIFO,
		"drop":                 testDrop,
		"drop without consent": testDropWithoutConsent,
		"drop FIFO":            testDropFIFO,
		"oldest":               testOldest,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t, endpoint)
			s.exact = exact
			test(s)
		})
	}
}

// A fixture is a queue, its dead-letter queue, and a configuration for the queue.
type fixture struct {
	*testing.T
	client      *sqsclient.Client
	exact       bool
	suffix      string // of the names of queues: "" or .fifo
	queue, dead string // URLs
	config      config.Queue
	more        []config.Queue // in the configuration
}

func newClient(t *testing.T, endpoint string) *sqsclient.Client {
	t.Helper()
	client, err := sqsclient.New(t.Context(), config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: endpoint}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func newFixture(t *testing.T, endpoint string) *fixture {
	t.Helper()
	s := &fixture{T: t, client: newClient(t, endpoint)}
	s.makeQueues()
	return s
}

func (s *fixture) makeQueues() {
	s.Helper()
	var attributes map[string]string
	if s.suffix != "" {
		attributes = map[string]string{"FifoQueue": "true"}
	}
	s.dead = s.createQueue(attributes)
	s.queue = s.createQueue(s.redriveTo(s.dead, attributes))
	s.config = newConfig(config.QueueName(s.queue))
}

// newConfig returns the configuration of a queue that has a route for the topic orders,
// ignores the topic debug, and accepts plain messages with a certain attribute.
func newConfig(name string) config.Queue {
	worker := handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker", Queue: "default"}}
	return config.Queue{
		Name:   name,
		Topics: []handler.Route{{Key: "orders", Outcome: worker}, {Key: "debug", Outcome: handler.Ignore{}}},
		Plain: handler.Choice{By: handler.Selector{Attribute: "kind"}, To: []handler.Route{
			{Key: "import", Outcome: worker},
		}},
	}
}

func (s *fixture) createQueue(attributes map[string]string) (url string) {
	s.Helper()
	name := "queue-" + uuid.New() + s.suffix
	out, err := s.client.CreateQueue(s.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	s.must(err)
	return *out.QueueUrl
}

// redriveTo adds a redrive policy to attributes.
func (s *fixture) redriveTo(dead string, attributes map[string]string) map[string]string {
	s.Helper()
	all := map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"3"}`, s.attribute(dead, "QueueArn"))}
	for name, value := range attributes {
		all[name] = value
	}
	return all
}

func (s *fixture) attribute(url string, name types.QueueAttributeName) string {
	s.Helper()
	out, err := s.client.GetQueueAttributes(s.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{name}})
	s.must(err)
	return out.Attributes[string(name)]
}

func (s *fixture) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// envelope returns the body that SNS delivers for a message published to a topic.
func envelope(topic, message string) string {
	text, _ := json.Marshal(map[string]string{
		"Type": "Notification", "MessageId": uuid.New(), "Message": message,
		"TopicArn": "arn:aws:sns:us-east-1:000000000000:" + topic,
	})
	return string(text)
}

// send sends a message to the dead-letter queue and returns its id.
func (s *fixture) send(body string, options ...func(*sqs.SendMessageInput)) (id string) {
	s.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &s.dead, MessageBody: &body}
	for _, option := range options {
		option(in)
	}
	out, err := s.client.SendMessage(s.Context(), in)
	s.must(err)
	return *out.MessageId
}

// sendAll sends 2 messages that become jobs, 1 that is ignored and 2 that are rejected.
func (s *fixture) sendAll() {
	s.Helper()
	s.send(envelope("orders", "1"))
	s.send(envelope("unknown", "2"))
	s.send(envelope("orders", `{"a":1,"a":2}`))
	s.send(envelope("orders", "3"))
	s.send(envelope("debug", "4"))
}

func attributes(kv ...string) map[string]types.MessageAttributeValue {
	all := map[string]types.MessageAttributeValue{}
	for i := 0; i < len(kv); i += 2 {
		all[kv[i]] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &kv[i+1]}
	}
	return all
}

func withAttributes(all map[string]types.MessageAttributeValue) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) { in.MessageAttributes = all }
}

// take receives and deletes n messages of a queue, and checks that there are no more.
func (s *fixture) take(url string, n int) (taken []types.Message) {
	s.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		out, err := s.client.ReceiveMessage(s.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 1, VisibilityTimeout: 60,
			MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		s.must(err)
		for _, m := range out.Messages {
			_, err := s.client.DeleteMessage(s.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
			s.must(err)
		}
		taken = append(taken, out.Messages...)
		if len(out.Messages) == 0 && len(taken) >= n || time.Now().After(deadline) {
			break
		}
	}
	if len(taken) != n {
		s.Fatalf("%s has %d messages, want %d: %.1000q", config.QueueName(url), len(taken), n, bodies(taken))
	}
	return taken
}

func bodies(messages []types.Message) (all []string) {
	for _, m := range messages {
		var e struct{ Message *string }
		if json.Unmarshal([]byte(*m.Body), &e) == nil && e.Message != nil {
			all = append(all, *e.Message)
		} else {
			all = append(all, *m.Body)
		}
	}
	return all
}

func (s *fixture) wantBodies(what string, messages []types.Message, want ...string) {
	s.Helper()
	got := bodies(messages)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		s.Errorf("%s: %.1000q, want %.1000q", what, got, want)
	}
}

func wantEqual[T comparable](s *fixture, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (s *fixture) queues() []config.Queue { return append([]config.Queue{s.config}, s.more...) }

// scan returns a scan of the queue that a Choice selects.
func (s *fixture) scan(c Choice) *Scan {
	s.Helper()
	scan := &Scan{}
	s.find(scan, c)
	return scan
}

// find makes a scan read the queue that a Choice selects.
func (s *fixture) find(scan *Scan, c Choice) {
	s.Helper()
	q, err := Find(s.Context(), s.client, s.queues(), c)
	s.must(err)
	scan.Client, scan.Queue, scan.Judge = s.client, q, NewJudge(&config.Config{Queues: s.queues()})
}

// redrive runs a redrive and returns its progress.
func (s *fixture) redrive(r *Redrive) Progress {
	s.Helper()
	if r.Scan == nil {
		r.Scan = &Scan{}
	}
	if r.Queue == nil {
		s.find(r.Scan, Choice{})
	}
	result, err := r.Run(s.Context())
	s.must(err)
	wantEqual(s, "hidden", result.Hidden, 0)
	p := r.Progress()
	wantEqual(s, "deleted", p.Deleted, p.Sent)
	return p
}

// wantError checks that Find returns an error with a text and, if usage is set, with
// the cause ErrUsage.
func (s *fixture) wantError(c Choice, text string, usage bool) {
	s.Helper()
	_, err := Find(s.Context(), s.client, s.queues(), c)
	if err == nil || !strings.Contains(err.Error(), text) || errors.Is(err, ErrUsage) != usage {
		s.Errorf("%+v: got %v, want %q (usage: %v)", c, err, text, usage)
	}
}

func testFindByQueue(s *fixture) {
	q, err := Find(s.Context(), s.client, s.queues(), Choice{})
	s.must(err)
	wantEqual(s, "dead-letter queue", q.Name(), config.QueueName(s.dead))
	wantEqual(s, "sources", len(q.Sources), 1)
	wantEqual(s, "source", q.Sources[0].Name(), s.config.Name)
	wantEqual(s, "source's ARN", q.Sources[0].ARN, s.attribute(s.queue, "QueueArn"))
	s.wantError(Choice{Queue: "nope"}, "the configuration has no such queue, only "+s.config.Name, true)

	alone := config.QueueName(s.createQueue(nil))
	s.more = []config.Queue{newConfig(alone), newConfig("missing")}
	s.wantError(Choice{}, "choose one with --queue: "+s.config.Name+", "+alone, true)
	s.wantError(Choice{Queue: alone}, "has no dead-letter queue: set its RedrivePolicy", false)
	s.wantError(Choice{Queue: "missing"}, "there is no SQS queue", false)

	s.more = []config.Queue{newConfig(config.QueueName(s.dead))}
	s.wantError(Choice{Queue: s.config.Name}, "is a queue that Scout consumes", true)
	s.more = nil

	_, err = s.client.SetQueueAttributes(s.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &s.dead, Attributes: s.redriveTo(s.createQueue(nil), nil)})
	s.must(err)
	s.wantError(Choice{}, "use --force", true)
	_, err = Find(s.Context(), s.client, s.queues(), Choice{Force: true})
	s.must(err)

	s.config = config.Queue{Topics: s.config.Topics} // of a Lambda function
	s.wantError(Choice{}, "names no SQS queue", true)
}

func testFindByURL(s *fixture) {
	q, err := Find(s.Context(), s.client, s.queues(), Choice{URL: s.dead})
	s.must(err)
	wantEqual(s, "sources", len(q.Sources), 1)
	wantEqual(s, "source", q.Sources[0].Name(), s.config.Name)
	s.wantError(Choice{URL: s.dead, Queue: s.config.Name}, "cannot be combined", true)
	s.wantError(Choice{URL: "dead"}, "must be the URL", true)
	s.wantError(Choice{URL: s.queue}, "is a queue that Scout consumes", true)
	s.wantError(Choice{URL: s.dead + "-missing"}, "does not exist", false)
	name := s.config.Name
	s.config.Name = "other"
	s.wantError(Choice{URL: s.dead}, "is the dead-letter queue of "+name+", which the configuration does not have, only other", true)

	s.config.Name = "" // of a Lambda function
	q, err = Find(s.Context(), s.client, s.queues(), Choice{URL: s.dead})
	s.must(err)
	wantEqual(s, "source", q.Sources[0].Name(), name)
}

func testFindTarget(s *fixture) {
	undelivered := s.createQueue(nil)
	s.wantError(Choice{URL: undelivered}, "name the queue that its messages belong to with --to", true)
	for _, to := range []string{s.config.Name, s.queue} {
		q, err := Find(s.Context(), s.client, s.queues(), Choice{URL: undelivered, To: to})
		s.must(err)
		wantEqual(s, "target", q.Sources[0].URL, s.queue)
	}
	s.wantError(Choice{To: "missing"}, "--to: there is no SQS queue", false)
	s.wantError(Choice{To: s.dead}, "must be another queue", true)
	s.wantError(Choice{To: undelivered}, "is not in the configuration", true)
	fifo := &fixture{T: s.T, client: s.client, suffix: ".fifo"}
	fifo.makeQueues()
	s.more = []config.Queue{fifo.config}
	s.wantError(Choice{Queue: s.config.Name, To: fifo.config.Name}, "one of them is a FIFO queue", true)
}

func testScan(s *fixture) {
	for i := range 5 {
		for range 10 {
			s.send(envelope([]string{"orders", "orders", "orders", "unknown", "debug"}[i], "1"))
		}
	}
	var summary Summary
	scan := s.scan(Choice{})
	scan.Visit = func(_ context.Context, messages []*Message) error { summary.Add(messages...); return nil }
	result, err := scan.Run(s.Context())
	s.must(err)
	wantEqual(s, "result", result, Result{Complete: true, Returned: 50})
	wantEqual(s, "messages", summary.Count(), 50)
	outcomes := summary.Outcomes()
	wantEqual(s, "jobs", outcomes[explain.Job], 30)
	wantEqual(s, "ignored", outcomes[explain.Ignored], 10)
	wantEqual(s, "rejected", outcomes[explain.Rejected], 10)
	wantEqual(s, "reasons", fmt.Sprint(summary.Reasons()), "map[no_route:10]")
	groups := summary.Groups()
	wantEqual(s, "groups", len(groups), 3)
	wantEqual(s, "topic of the largest group", groups[0].Label, "orders")
	wantEqual(s, "source of the largest group", groups[0].Source, handler.SourceSNS)
	for _, m := range s.take(s.dead, 50) {
		if count := m.Attributes["ApproximateReceiveCount"]; s.exact || count == "1" {
			wantEqual(s, "receive count", count, "2")
		}
	}
}

// When its context ends, a scan returns the messages that it has received.
func testInterruptedScan(s *fixture) {
	for range 30 {
		s.send(envelope("orders", "1"))
	}
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	scan := s.scan(Choice{})
	scan.Visit = func(context.Context, []*Message) error { cancel(); return nil }
	result, err := scan.Run(ctx)
	s.must(err)
	if result.Complete || result.Returned == 0 || result.Hidden > 0 {
		s.Errorf("got %+v", result)
	}
	s.take(s.dead, 30)

	s.send(envelope("orders", "1"))
	scan.Visit = func(context.Context, []*Message) error { return errors.New("broken") }
	result, err = scan.Run(s.Context())
	if err == nil || err.Error() != "broken" || result.Returned != 1 {
		s.Errorf("got %+v and %v", result, err)
	}
	s.take(s.dead, 1)
}

func testRedrive(s *fixture) {
	s.sendAll()
	body := envelope("orders", "5")
	all := map[string]types.MessageAttributeValue{
		"text": {DataType: aws.String("String.custom"), StringValue: aws.String("é")},
		"n":    {DataType: aws.String("Number"), StringValue: aws.String("1.50")},
		"bin":  {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
	}
	const trace = "Root=1-00000000-000000000000000000000000;Sampled=1"
	s.send(body, withAttributes(all), func(in *sqs.SendMessageInput) {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(trace)}}
	})
	dry := &Redrive{Scan: &Scan{Selection: Selection{Succeeding: true}}, DryRun: true}
	wantEqual(s, "dry run", s.redrive(dry), Progress{Selected: 4})
	r := &Redrive{Scan: &Scan{Selection: Selection{Succeeding: true}}}
	wantEqual(s, "progress", s.redrive(r), Progress{Selected: 4, Sent: 4, Deleted: 4})
	wantEqual(s, "read", r.Read.Count(), 6)
	s.wantBodies("left", s.take(s.dead, 2), "2", `{"a":1,"a":2}`)
	sent := s.take(s.queue, 4)
	s.wantBodies("sent", sent, "1", "3", "4", "5")
	m := sent[slices.IndexFunc(sent, func(m types.Message) bool { return *m.Body == body })]
	if s.exact { // moto loses it in SendMessageBatch
		wantEqual(s, "trace header", m.Attributes["AWSTraceHeader"], trace)
	}
	wantEqual(s, "attributes", len(m.MessageAttributes), 3)
	for name, want := range all {
		got := m.MessageAttributes[name]
		if *got.DataType != *want.DataType || aws.ToString(got.StringValue) != aws.ToString(want.StringValue) || !bytes.Equal(got.BinaryValue, want.BinaryValue) {
			s.Errorf("the attribute %s is %s %q %v", name, *got.DataType, aws.ToString(got.StringValue), got.BinaryValue)
		}
	}
}

func testRedriveSelections(s *fixture) {
	for name, c := range map[string]struct {
		r    *Redrive
		want []string // in the queue afterwards
	}{
		"topic":            {&Redrive{Scan: &Scan{Selection: Selection{Topics: []string{"debug", "unknown"}, Succeeding: true}}}, []string{"4"}},
		"ARN of a topic":   {&Redrive{Scan: &Scan{Selection: Selection{Topics: []string{"arn:aws:sns:us-east-1:000000000000:debug"}}}}, []string{"4"}},
		"reason":           {&Redrive{Scan: &Scan{Selection: Selection{Reasons: []string{"no_route"}}}}, []string{"2"}},
		"topic and reason": {&Redrive{Scan: &Scan{Selection: Selection{Topics: []string{"orders"}, Reasons: []string{"no_route", "unacceptable"}}}}, []string{`{"a":1,"a":2}`}},
		"all":              {&Redrive{}, []string{"1", "2", "3", "4", `{"a":1,"a":2}`}},
		"older":            {&Redrive{Scan: &Scan{Selection: Selection{OlderThan: time.Hour}}}, nil},
		"newer":            {&Redrive{Scan: &Scan{Selection: Selection{NewerThan: time.Hour, Topics: []string{"debug"}}}}, []string{"4"}},
		"limit":            {&Redrive{Scan: &Scan{Selection: Selection{Topics: []string{"debug"}}, Limit: 1}, Rate: 1000}, []string{"4"}},
	} {
		s.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &fixture{T: t, client: s.client}
			s.makeQueues()
			s.sendAll()
			p := s.redrive(c.r)
			wantEqual(s, "sent", p.Sent, len(c.want))
			s.wantBodies("sent", s.take(s.queue, len(c.want)), c.want...)
			s.take(s.dead, 5-len(c.want))
		})
	}
	var ids []string
	for i := range 20 {
		ids = append(ids, s.send(envelope("unknown", fmt.Sprint(i))))
	}
	wantEqual(s, "sent by id", s.redrive(&Redrive{Scan: &Scan{Selection: Selection{IDs: ids[3:4]}}}).Sent, 1)
	s.wantBodies("sent", s.take(s.queue, 1), "3")
	wantEqual(s, "sent with a limit", s.redrive(&Redrive{Scan: &Scan{Limit: 7}}).Sent, 7)
	s.take(s.queue, 7)
	s.take(s.dead, 12)
}

// Messages whose identity is their SQS id are skipped.
func testRedriveNewIDs(s *fixture) {
	s.send("text", withAttributes(attributes("kind", "import")))
	s.send(strings.Replace(envelope("orders", "1"), "MessageId", "Other", 1))
	s.send(envelope("orders", "2"))
	r := &Redrive{Scan: &Scan{Selection: Selection{Succeeding: true}}}
	wantEqual(s, "progress", s.redrive(r), Progress{Selected: 1, Sent: 1, Deleted: 1, SkippedIDs: 2})
	wantEqual(s, "messages that need their ids", r.Read.Total().NeedIDs, 2)
	s.wantBodies("sent", s.take(s.queue, 1), "2")
	wantEqual(s, "progress", s.redrive(&Redrive{NewIDs: true}), Progress{Selected: 2, Sent: 2, Deleted: 2})
	s.wantBodies("sent", s.take(s.queue, 2), "1", "text")
	s.take(s.dead, 0)
}

// The dead-letter queue of a subscription has envelopes or, with raw message delivery,
// messages, and SNS's own attributes.
func testRedriveUndelivered(s *fixture) {
	queue := s.dead
	s.dead = s.createQueue(nil)
	s.send(envelope("orders", "1"), withAttributes(attributes("RequestID", "r", "ErrorCode", "200", "ErrorMessage", "no such queue")))
	s.send("raw", withAttributes(attributes("RequestID", "r", "ErrorCode", "200", "ErrorMessage", "no such queue", "kind", "import")))
	s.send(envelope("orders", "2"), withAttributes(attributes("ErrorCode", "mine")))
	oldest := &Oldest{Max: 10}
	scan := s.scan(Choice{URL: s.dead, To: s.config.Name})
	scan.Visit = func(_ context.Context, messages []*Message) error { oldest.Add(messages...); return nil }
	_, err := scan.Run(s.Context())
	s.must(err)
	undelivered := 0
	for _, m := range oldest.Messages() {
		wantEqual(s, "outcome of "+*m.Body, m.Outcome(), explain.Job)
		if m.Undelivered == "200: no such queue" {
			undelivered++
		}
	}
	wantEqual(s, "undelivered", undelivered, 2)
	p := s.redrive(&Redrive{Scan: s.scan(Choice{URL: s.dead, To: s.config.Name}), NewIDs: true})
	wantEqual(s, "sent", p.Sent, 3)
	sent := s.take(s.queue, 3)
	s.wantBodies("sent", sent, "1", "2", "raw")
	for _, m := range sent {
		if n := len(m.MessageAttributes); *m.Body == "raw" && (n != 1 || *m.MessageAttributes["kind"].StringValue != "import") {
			s.Errorf("the raw message has the attributes %v", m.MessageAttributes)
		}
	}
	s.dead = queue
}

// A batch has at most 1 MiB.
func testRedriveLarge(s *fixture) {
	for i := range 5 {
		s.send(envelope("orders", fmt.Sprint(i)+strings.Repeat(" ", 400_000)))
	}
	s.send(envelope("orders", "9"+strings.Repeat(" ", 1<<20-300)))
	wantEqual(s, "sent", s.redrive(&Redrive{}).Sent, 6)
	s.take(s.queue, 6)
}

func testRedriveSeveralSources(s *fixture) {
	second := s.createQueue(s.redriveTo(s.dead, nil))
	s.more = []config.Queue{newConfig(config.QueueName(second))}
	for i, url := range []string{s.queue, second, s.queue} {
		_, err := s.client.SendMessage(s.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(envelope("orders", fmt.Sprint(i)))})
		s.must(err)
	}
	for range 4 { // the fourth receive moves the messages to the dead-letter queue
		for _, url := range []string{s.queue, second} {
			for {
				out, err := s.client.ReceiveMessage(s.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10})
				s.must(err)
				if len(out.Messages) == 0 {
					break
				}
				for _, m := range out.Messages {
					_, err := s.client.ChangeMessageVisibility(s.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
					s.must(err)
				}
			}
		}
	}
	q, err := Find(s.Context(), s.client, s.queues(), Choice{URL: s.dead})
	s.must(err)
	wantEqual(s, "sources", len(q.Sources), 2)
	if !s.exact { // moto does not say which queue a dead letter comes from
		return
	}
	wantEqual(s, "sent to the first", s.redrive(&Redrive{Scan: s.scan(Choice{Queue: s.config.Name})}).Sent, 2)
	s.wantBodies("first", s.take(s.queue, 2), "0", "2")
	wantEqual(s, "sent to the second", s.redrive(&Redrive{Scan: s.scan(Choice{URL: s.dead})}).Sent, 1)
	s.wantBodies("second", s.take(second, 1), "1")
}

func inGroup(group, id string) func(*sqs.SendMessageInput) {
	return func(in *sqs.SendMessageInput) { in.MessageGroupId, in.MessageDeduplicationId = &group, &id }
}

// Groups keep their order. If the first messages of a group stay, the messages behind
// them are not read.
func testRedriveFIFO(s *fixture) {
	s.suffix = ".fifo"
	s.makeQueues()
	ids := map[string]string{}
	for i := range 25 {
		text := fmt.Sprintf("%02d", i)
		ids[text] = s.send(envelope("orders", text), inGroup("a", text))
		s.send(envelope("unknown", text), inGroup("b", "b"+text))
	}
	r := &Redrive{Scan: &Scan{Selection: Selection{Succeeding: true}}}
	wantEqual(s, "sent", s.redrive(r).Sent, 25)
	sent := s.take(s.queue, 25)
	for i, m := range sent {
		text := fmt.Sprintf("%02d", i)
		wantEqual(s, "body", bodies(sent)[i], text)
		wantEqual(s, "group", m.Attributes["MessageGroupId"], "a")
		wantEqual(s, "de-duplication id", m.Attributes["MessageDeduplicationId"], ids[text])
	}
	if n := r.Read.Reasons()[handler.ReasonNoRoute]; n == 0 || s.exact && n > 10 {
		s.Errorf("%d messages of the rejected group were read, want those of one receive", n)
	}
	s.wantBodies("left", s.take(s.dead, 25)[:1], "00")
}

func testDrop(s *fixture) {
	s.sendAll()
	var asked int
	d := &Drop{Scan: s.scan(Choice{})}
	d.Selection.Topics = []string{"orders"}
	d.Confirm = func(_ context.Context, selected *Summary) (bool, error) {
		asked = selected.Count()
		return true, nil
	}
	result, err := d.Run(s.Context())
	s.must(err)
	wantEqual(s, "asked about", asked, 3)
	wantEqual(s, "result", result, Result{Complete: true, Returned: 2})
	wantEqual(s, "progress", d.Progress(), Progress{Selected: 3, Deleted: 3})
	s.wantBodies("left", s.take(s.dead, 2), "2", "4")
	s.take(s.queue, 0)
}

func testDropWithoutConsent(s *fixture) {
	s.sendAll()
	d := &Drop{Scan: s.scan(Choice{})}
	d.Limit = 4
	d.Confirm = func(context.Context, *Summary) (bool, error) { return false, nil }
	_, err := d.Run(s.Context())
	s.must(err)
	wantEqual(s, "progress", d.Progress(), Progress{Selected: 4})
	s.take(s.dead, 5)
}

// Messages behind those that are dropped are dropped, too.
func testDropFIFO(s *fixture) {
	s.suffix = ".fifo"
	s.makeQueues()
	for i := range 25 {
		s.send(envelope("orders", fmt.Sprint(i)), inGroup("a", "a"+fmt.Sprint(i)))
		s.send(envelope("unknown", fmt.Sprint(i)), inGroup("b", "b"+fmt.Sprint(i)))
	}
	d := &Drop{Scan: s.scan(Choice{})}
	d.Selection.Topics = []string{"orders"}
	d.Confirm = func(context.Context, *Summary) (bool, error) { return true, nil }
	_, err := d.Run(s.Context())
	s.must(err)
	wantEqual(s, "progress", d.Progress(), Progress{Selected: 25, Deleted: 25})
	s.take(s.dead, 25)
}

func testOldest(s *fixture) {
	first := s.send(envelope("orders", "1"))
	for range 20 {
		time.Sleep(2 * time.Millisecond) // SQS's times have milliseconds
		s.send(envelope("orders", "2"))
	}
	oldest := &Oldest{Max: 3}
	scan := s.scan(Choice{})
	scan.Visit = func(_ context.Context, messages []*Message) error { oldest.Add(messages...); return nil }
	_, err := scan.Run(s.Context())
	s.must(err)
	messages := oldest.Messages()
	wantEqual(s, "messages", len(messages), 3)
	wantEqual(s, "first", messages[0].ID(), first)
	if !slices.IsSortedFunc(messages, func(a, b *Message) int { return a.Sent().Compare(b.Sent()) }) {
		s.Error("the messages are not in order")
	}
}
