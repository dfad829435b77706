package devstack

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"scout/internal/uuid"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "16") // because the tests mostly wait
	goleak.VerifyTestMain(m)
}

func TestConformance(t *testing.T) {
	conformance(t, startServer(t))
}

// startServer starts a Server on loopback and returns its URL.
func startServer(t testing.TB) string {
	s := NewServer()
	endpoint := httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		endpoint.Close()
	})
	return endpoint.URL
}

// conformance checks that an endpoint behaves as SNS and SQS do. It asserts what AWS documents and both
// Server and moto implement. Where moto is less exact, server_test.go and queue_test.go have the
// stricter assertions.
func conformance(t *testing.T, endpoint string) {
	for _, group := range []struct {
		name  string
		tests []conformanceTest
	}{
		{"queues", queueTests},
		{"messages", messageTests},
		{"batches", batchTests},
		{"FIFO queues", fifoTests},
		{"dead letters", deadLetterTests},
		{"topics", topicTests},
		{"notifications", notificationTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) {
					t.Parallel()
					test.run(newClient(t, endpoint))
				})
			}
		})
	}
}

type conformanceTest struct {
	name string
	run  func(c *client)
}

// client holds the SDK's clients for an endpoint and the steps that the tests repeat. The queues and
// topics that it creates have unique names.
type client struct {
	*testing.T
	sqs *sqs.Client
	sns *sns.Client
}

func newClient(t *testing.T, endpoint string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	config := aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   &http.Client{Transport: ownBody{transport}},
		Retryer:      func() aws.Retryer { return aws.NopRetryer{} },
	}
	return &client{t, sqs.NewFromConfig(config), sns.NewFromConfig(config)}
}

// ownBody sends a copy of the request's body. The SDK closes the body when the headers of the response
// arrive. On a busy machine, the transport may still read it then, and closes the connection.
type ownBody struct{ next http.RoundTripper }

func (o ownBody) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return o.next.RoundTrip(r)
}

func (c *client) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// queue creates a standard queue and returns its URL.
func (c *client) queue(attributes map[string]string) string {
	c.Helper()
	return c.createQueue("queue-"+uuid.New(), attributes)
}

// fifoQueue creates a FIFO queue and returns its URL.
func (c *client) fifoQueue(attributes map[string]string) string {
	c.Helper()
	all := map[string]string{"FifoQueue": "true"}
	for name, value := range attributes {
		all[name] = value
	}
	return c.createQueue("queue-"+uuid.New()+".fifo", all)
}

func (c *client) createQueue(name string, attributes map[string]string) string {
	c.Helper()
	out, err := c.sqs.CreateQueue(c.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	c.must(err)
	return *out.QueueUrl
}

// attribute returns one attribute of a queue.
func (c *client) attribute(queue string, name types.QueueAttributeName) string {
	c.Helper()
	out, err := c.sqs.GetQueueAttributes(c.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{name},
	})
	c.must(err)
	return out.Attributes[string(name)]
}

// send sends a message and returns its id.
func (c *client) send(queue, body string) string {
	c.Helper()
	out, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body})
	c.must(err)
	return *out.MessageId
}

// receive receives up to 10 messages with all their attributes, without waiting.
func (c *client) receive(queue string, options ...func(*sqs.ReceiveMessageInput)) []types.Message {
	c.Helper()
	in := &sqs.ReceiveMessageInput{
		QueueUrl:                    &queue,
		MaxNumberOfMessages:         10,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
	}
	for _, option := range options {
		option(in)
	}
	out, err := c.sqs.ReceiveMessage(c.Context(), in)
	c.must(err)
	return out.Messages
}

func waiting(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.WaitTimeSeconds = seconds }
}

func maxMessages(n int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.MaxNumberOfMessages = n }
}

func invisibleFor(seconds int32) func(*sqs.ReceiveMessageInput) {
	return func(in *sqs.ReceiveMessageInput) { in.VisibilityTimeout = seconds }
}

// receiveOne receives exactly one message and waits up to 5 s for it.
func (c *client) receiveOne(queue string, options ...func(*sqs.ReceiveMessageInput)) types.Message {
	c.Helper()
	messages := c.receive(queue, append(options, waiting(5))...)
	if len(messages) != 1 {
		c.Fatalf("received %d messages, want 1", len(messages))
	}
	return messages[0]
}

// receiveNone checks that no message can be received.
func (c *client) receiveNone(queue string) {
	c.Helper()
	if messages := c.receive(queue); len(messages) > 0 {
		c.Fatalf("received %q, want nothing", bodies(messages))
	}
}

func (c *client) delete(queue string, m types.Message) {
	c.Helper()
	_, err := c.sqs.DeleteMessage(c.Context(), &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle})
	c.must(err)
}

// setVisibility changes the visibility of a received message.
func (c *client) setVisibility(queue string, m types.Message, seconds int32) {
	c.Helper()
	_, err := c.sqs.ChangeMessageVisibility(c.Context(), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
	})
	c.must(err)
}

func bodies(messages []types.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, *m.Body)
	}
	return all
}

// wantError checks that err is one of the SDK's error types.
func wantError[E error](c *client, err error) {
	c.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		var want E
		c.Errorf("got error %v, want a %T", err, want)
	}
}

// wantCode checks the code of an error for which the SDK has no type.
func wantCode(c *client, err error, code string) {
	c.Helper()
	if e, ok := errors.AsType[smithy.APIError](err); !ok || e.ErrorCode() != code {
		c.Errorf("got error %v, want code %s", err, code)
	}
}

func wantEqual[T comparable](c *client, what string, got, want T) {
	c.Helper()
	if got != want {
		c.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// redrivePolicy returns the attributes of a queue with a dead-letter queue.
func (c *client) redrivePolicy(deadLetters string, maxReceiveCount int) map[string]string {
	c.Helper()
	policy, err := json.Marshal(map[string]any{
		"deadLetterTargetArn": c.attribute(deadLetters, "QueueArn"),
		"maxReceiveCount":     maxReceiveCount,
	})
	c.must(err)
	return map[string]string{"RedrivePolicy": string(policy)}
}

// within checks that do takes from min to max.
func (c *client) within(min, max time.Duration, do func()) {
	c.Helper()
	start := time.Now()
	do()
	if took := time.Since(start); took < min || took > max {
		c.Errorf("took %v, want %v to %v", took, min, max)
	}
}
