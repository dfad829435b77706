package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/audit"
	"scout/internal/devstack"
)

func TestAudit(t *testing.T) {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	testAudit(t, endpoint.URL)
}

// testAudit audits a setup full of faults and one without, at an endpoint of SQS
// and SNS.
func testAudit(t *testing.T, endpoint string) {
	redis, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	s := newSetup(t, endpoint)
	t.Run("faulty", func(t *testing.T) { s.faulty(t, redis.Addr()) })
	t.Run("clean", func(t *testing.T) { s.clean(t, redis.Addr()) })
	t.Run("init", func(t *testing.T) {
		s.initialize(t, redis.Addr(), "clean.fifo", `  # The sources of the queue's messages. The classes are proposed by name: check each.
  topics:
    shop-orders.fifo: ShopOrderWorker
  # The policy names the rule invoices, not its events, which are source/detail-type:
  eventbridge:
    '*/*': InvoiceWorker
  s3:
    shop-uploads: ShopUploadWorker
  # Topics with raw message delivery, whose messages do not name their topic: shop-imports.fifo
  plain: ShopImportWorker
`)
	})
}

// A setup of scout dev, which has no policies, passes in the environment of its banner.
func TestAuditOfDev(t *testing.T) {
	const text = "queue:\n  name: app.fifo\n  topics: {orders.fifo: OrderWorker}\n  s3: {uploads: UploadWorker}\n"
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", text)
	_, stdout, _ := runDev(t)
	for stdout.Scan() && !strings.Contains(stdout.Text(), "bundle exec") {
		if exports, ok := strings.CutPrefix(stdout.Text(), "  export "); ok {
			for _, export := range strings.Fields(exports) {
				name, value, _ := strings.Cut(export, "=")
				t.Setenv(name, value)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "scout.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"unknown queue app.fifo: the queue is in an emulator and has no policy, so its policy, retention periods and dead-letter queues of subscriptions were not checked"}
	if code, ok, got := check(t, file); code != exitOK || !ok || !slices.Equal(got, want) {
		t.Errorf("exit code %d, ok %t, findings:\n%s", code, ok, strings.Join(got, "\n"))
	}
}

// A setup creates queues and topics.
type setup struct {
	endpoint string
	sqs      *sqs.Client
	sns      *sns.Client
}

func newSetup(t *testing.T, endpoint string) *setup {
	c := aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")}
	return &setup{endpoint, sqs.NewFromConfig(c), sns.NewFromConfig(c)}
}

// queue creates a queue.
func (s *setup) queue(t *testing.T, name string, attributes map[string]string) (url, arn string) {
	t.Helper()
	queue, err := s.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	return *queue.QueueUrl, out.Attributes["QueueArn"]
}

// topic creates a topic and, if queue is not "", subscribes the queue.
func (s *setup) topic(t *testing.T, name, queue string, attributes map[string]string) (arn string) {
	t.Helper()
	in := &sns.CreateTopicInput{Name: &name}
	if strings.HasSuffix(name, ".fifo") {
		in.Attributes = map[string]string{"FifoTopic": "true"}
	}
	topic, err := s.sns.CreateTopic(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if queue != "" {
		_, err = s.sns.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: &queue, Attributes: attributes})
	}
	if err != nil {
		t.Fatal(err)
	}
	return *topic.TopicArn
}

func (s *setup) set(t *testing.T, queue string, attributes map[string]string) {
	t.Helper()
	if _, err := s.sqs.SetQueueAttributes(t.Context(), &sqs.SetQueueAttributesInput{QueueUrl: &queue, Attributes: attributes}); err != nil {
		t.Fatal(err)
	}
}

// config writes a configuration with the given section queue.
func (s *setup) config(t *testing.T, redis, queue string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "scout.yml")
	text := fmt.Sprintf("redis: {url: \"redis://%s\"}\naws: {region: us-east-1, access_key: x, secret_key: x, endpoint: %q}\nqueue: %s\n", redis, s.endpoint, queue)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// check runs scout check --online and returns its exit code and its findings, one
// per line.
func check(t *testing.T, file string) (code int, ok bool, findings []string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), []string{"check", "--online", "--output", "json", file}, nil, &stdout, &stderr)
	var result struct {
		OK       *bool
		Findings []audit.Finding
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil || result.OK == nil {
		t.Fatalf("%v: scout check wrote:\n%s%s", err, &stdout, &stderr)
	}
	for _, f := range result.Findings {
		findings = append(findings, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Area, f.Subject, f.Message))
	}
	return code, *result.OK, findings
}

func (s *setup) faulty(t *testing.T, redis string) {
	deadURL, deadARN := s.queue(t, "faulty_dead", nil)
	if _, err := s.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &deadURL, MessageBody: aws.String("x")}); err != nil {
		t.Fatal(err)
	}
	url, arn := s.queue(t, "faulty", map[string]string{"VisibilityTimeout": "10", "KmsMasterKeyId": "alias/aws/sqs"})
	undeliveredURL, undelivered := s.queue(t, "faulty_undelivered", nil)
	orders := s.topic(t, "orders", arn, map[string]string{"RawMessageDelivery": "true", "RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q}`, undelivered)})
	legacy := s.topic(t, "legacy", arn, nil)
	s.topic(t, "users", "", nil)
	s.set(t, url, map[string]string{
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":2}`, deadARN),
		"Policy": fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":%q},
			{"Sid":"b","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%[1]q,"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, arn, orders+"-old"),
	})
	if _, err := s.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &undeliveredURL}); err != nil {
		t.Fatal(err)
	}
	code, ok, got := check(t, s.config(t, redis, `{name: faulty, topics: {orders: A, users: A, "audit-*": [A, B], "arn:aws:sns:eu-west-1:999999999999:far": A}}`))
	want := []string{
		"warning dlq faulty: messages go to the dead-letter queue after 2 receives",
		"warning dlq faulty: the dead-letter queue faulty_dead keeps messages for 96h (4 days)",
		"warning dlq faulty: the dead-letter queue faulty_dead holds 1 message",
		"warning queue faulty: failed messages are redelivered after 10s",
		"warning config redis.dedup_ttl: redis.dedup_ttl is 24h, but dead letters are kept for up to 96h (4 days)",
		"error queue faulty: the queue is encrypted with the key alias/aws/sqs",
		"warning queue faulty: the queue's policy does not deny requests without TLS",
		"error queue faulty: the queue's policy lets anyone send",
		"warning topic " + orders + "-old: the queue's policy lets " + orders + "-old send, but no route applies",
		"error topic " + legacy + ": the queue is subscribed to legacy, which has no route",
		"warning dlq " + legacy + ": the subscription to legacy has no dead-letter queue",
		"error topic " + orders + ": raw message delivery is on for orders",
		"error dlq " + orders + ": the dead-letter queue faulty_undelivered of the subscription to orders does not exist",
		"error topic users: the queue is not subscribed to the topic users",
		"warning topic audit-*: the queue is subscribed to no topic",
		"error topic arn:aws:sns:eu-west-1:999999999999:far: the topic arn:aws:sns:eu-west-1:999999999999:far does not exist",
	}
	if code != exitFailed || ok || !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("exit code %d, ok %t, findings:\n%s\nwant:\n%s", code, ok, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (s *setup) clean(t *testing.T, redis string) {
	_, deadARN := s.queue(t, "clean_dead.fifo", map[string]string{"FifoQueue": "true"})
	undeliveredURL, undelivered := s.queue(t, "clean_undelivered.fifo", map[string]string{"FifoQueue": "true"})
	url, arn := s.queue(t, "clean.fifo", map[string]string{
		"FifoQueue": "true", "VisibilityTimeout": "60",
		"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":5}`, deadARN),
	})
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q}`, undelivered)
	topics := []string{
		s.topic(t, "shop-orders.fifo", arn, map[string]string{"RedrivePolicy": policy}),
		s.topic(t, "shop-imports.fifo", arn, map[string]string{"RedrivePolicy": policy, "RawMessageDelivery": "true"}),
	}
	sources, _ := json.Marshal(topics)
	account := strings.Split(arn, ":")[4]
	for _, queue := range []string{url, undeliveredURL} {
		s.set(t, queue, map[string]string{"Policy": fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
			{"Sid":"a","Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}},
			{"Sid":"b","Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":%s}}},
			{"Sid":"c","Effect":"Allow","Principal":{"Service":"events.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/bus/invoices"}}},
			{"Sid":"d","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:s3:::shop-uploads"},"StringEquals":{"aws:SourceAccount":%q}}}]}`, sources, account)})
	}
	code, ok, got := check(t, s.config(t, redis, `{name: clean.fifo, topics: {"shop-ord*": A}, eventbridge: {shop/x: C}, s3: {"shop-*": D}, plain: B}`))
	if code != exitOK || !ok || len(got) > 0 {
		t.Errorf("exit code %d, ok %t, findings:\n%s", code, ok, strings.Join(got, "\n"))
	}
}
