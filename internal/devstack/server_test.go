package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// These tests check what moto does not implement or implements differently.

func TestEnvelopeMatchesSNS(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 67_000_000, time.FixedZone("", 3600))
	topic := "arn:aws:sns:eu-west-1:000000000000:orders"
	n := Notification{
		Message: `{"a":"<ä>"}`,
		Subject: "Hello",
		Attributes: map[string]Attribute{
			"n": {DataType: "Number", StringValue: "42"},
			"b": {DataType: "Binary", BinaryValue: []byte("hello")},
		},
	}
	got := n.envelope(&subscription{arn: topic + ":1", topicARN: topic}, sendResult{"id", "00000000000000000007"}, at)
	want := `{
  "Type" : "Notification",
  "MessageId" : "id",
  "SequenceNumber" : "00000000000000000007",
  "TopicArn" : "arn:aws:sns:eu-west-1:000000000000:orders",
  "Subject" : "Hello",
  "Message" : "{\"a\":\"<ä>\"}",
  "Timestamp" : "2026-01-02T02:04:05.067Z",
  "SignatureVersion" : "1",
  "Signature" : "` + signature + `",
  "SigningCertURL" : "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0000000000000000000000000000000.pem",
  "UnsubscribeURL" : "https://sns.eu-west-1.amazonaws.com/?Action=Unsubscribe&SubscriptionArn=arn:aws:sns:eu-west-1:000000000000:orders:1",
  "MessageAttributes" : {
    "b" : {"Type":"Binary","Value":"aGVsbG8="},
    "n" : {"Type":"Number","Value":"42"}
  }
}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestGoMethods(t *testing.T) {
	var log bytes.Buffer
	s := NewServer()
	s.Log = slog.New(slog.NewTextHandler(&log, nil))
	must := func(arn string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return arn
	}
	queueARN := must(s.CreateQueue("orders", nil))
	topicARN := must(s.CreateTopic("orders", nil))
	must(s.Subscribe(topicARN, queueARN, raw))
	must(s.Publish(topicARN, Notification{Message: "x"}))

	endpoint := httptest.NewServer(s)
	defer endpoint.Close()
	c := newClient(t, endpoint.URL)
	queueURL := QueueURL(strings.TrimPrefix(endpoint.URL, "http://"), "orders")
	wantEqual(c, "body", *c.receiveOne(queueURL).Body, "x")

	if err := s.deleteQueue("orders"); err != nil {
		t.Fatal(err)
	}
	must(s.Publish(topicARN, Notification{Message: "y"}))
	if !strings.Contains(log.String(), "notification not delivered") {
		t.Errorf("the log does not report the undelivered notification: %q", log.String())
	}
}

func TestRegionComesFromSignature(t *testing.T) {
	c := newClient(t, startServer(t))
	name := "q"
	_, err := c.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name}, func(o *sqs.Options) { o.Region = "eu-west-1" })
	c.must(err)
	wantEqual(c, "ARN", c.attribute(name, "QueueArn"), "arn:aws:sqs:eu-west-1:000000000000:q")
}

func TestInvalidBatchesAreRejected(t *testing.T) {
	c := newClient(t, startServer(t))
	queue := c.queue(nil)
	var eleven []types.Message
	for range 11 {
		eleven = append(eleven, types.Message{ReceiptHandle: aws.String("x")})
	}
	_, err := c.deleteBatch(queue, []types.DeleteMessageBatchRequestEntry{})
	wantError[*types.EmptyBatchRequest](c, err)
	_, err = c.deleteBatch(queue, deleteEntries(eleven))
	wantError[*types.TooManyEntriesInBatchRequest](c, err)
	twice := deleteEntries(eleven[:2])
	twice[1].Id = twice[0].Id
	_, err = c.deleteBatch(queue, twice)
	wantError[*types.BatchEntryIdsNotDistinct](c, err)
	_, err = c.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String(afterLast(queue, "/")), Attributes: map[string]string{"DelaySeconds": "1"},
	})
	wantError[*types.QueueNameExists](c, err)

	topic := c.topic()
	entry := snstypes.PublishBatchRequestEntry{Id: aws.String("a"), Message: aws.String(strings.Repeat("x", 200_000))}
	other := entry
	other.Id = aws.String("b")
	_, err = c.sns.PublishBatch(t.Context(), &sns.PublishBatchInput{
		TopicArn: &topic, PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{entry, other},
	})
	wantError[*snstypes.BatchRequestTooLongException](c, err)
	other.Message, other.Subject = aws.String("x"), aws.String("two\nlines")
	out, err := c.sns.PublishBatch(t.Context(), &sns.PublishBatchInput{
		TopicArn: &topic, PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{entry, other},
	})
	c.must(err)
	if len(out.Successful) != 1 || len(out.Failed) != 1 || *out.Failed[0].Code != "InvalidParameter" {
		t.Errorf("got %+v", out)
	}
}

func TestTopics(t *testing.T) {
	c := newClient(t, startServer(t))
	topic := c.createTopic("large", map[string]string{"MaximumMessageSize": "1048576"})
	c.subscribe(topic, c.queue(nil), nil)
	out, err := c.sns.GetTopicAttributes(t.Context(), &sns.GetTopicAttributesInput{TopicArn: &topic})
	c.must(err)
	wantEqual(c, "SubscriptionsConfirmed", out.Attributes["SubscriptionsConfirmed"], "1")
	c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String(strings.Repeat("x", 1<<20))})

	fifo := c.fifoTopic(map[string]string{"ContentBasedDeduplication": "true"})
	standardQueue := c.queue(nil)
	c.subscribe(fifo, standardQueue, nil)
	_, err = c.sns.Publish(t.Context(), &sns.PublishInput{TopicArn: &fifo, Message: aws.String("x")})
	wantError[*snstypes.InvalidParameterException](c, err)
	in := sns.PublishInput{TopicArn: &fifo, Message: aws.String("x"), MessageGroupId: aws.String("g")}
	wantEqual(c, "id of the duplicate", c.publish(in), c.publish(in))
	received := c.receive(standardQueue)
	wantEqual(c, "received", len(received), 1)
	c.envelope(received[0], append(envelopeKeys, "SequenceNumber")...)
}

func TestSNSRejectsUnsupportedRequests(t *testing.T) {
	c := newClient(t, startServer(t))
	topic, queue := c.topic(), c.queue(nil)
	subscribe := func(protocol, endpoint string, attributes map[string]string) error {
		_, err := c.sns.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: attributes,
		})
		return err
	}
	queueARN := c.attribute(queue, "QueueArn")
	for _, err := range []error{
		subscribe("lambda", "arn:aws:lambda:us-east-1:000000000000:function:f", nil),
		subscribe("sqs", queueARN+"x", nil),
		subscribe("sqs", queueARN, map[string]string{"FilterPolicy": `{"a":["b"]}`}),
		subscribe("sqs", queueARN, map[string]string{"RawMessageDelivery": "maybe"}),
		subscribe("sqs", queueARN, map[string]string{"RedrivePolicy": `{"deadLetterTarget":"x"}`}),
	} {
		wantError[*snstypes.InvalidParameterException](c, err)
	}
	c.must(subscribe("sqs", queueARN, nil))
	wantError[*snstypes.InvalidParameterException](c, subscribe("sqs", queueARN, raw))
	_, err := c.sns.CreateTopic(t.Context(), &sns.CreateTopicInput{
		Name: aws.String("t"), Attributes: map[string]string{"DeliveryPolicy": "{}"},
	})
	wantError[*snstypes.InvalidParameterException](c, err)
	for _, token := range []string{"x", "-1", "2"} {
		_, err = c.sns.ListSubscriptionsByTopic(t.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: &topic, NextToken: &token})
		wantError[*snstypes.InvalidParameterException](c, err)
	}
	_, err = c.sns.Publish(t.Context(), &sns.PublishInput{PhoneNumber: aws.String("+49"), Message: aws.String("x")})
	wantError[*snstypes.InvalidParameterException](c, err)
}

func TestInvalidRequests(t *testing.T) {
	endpoint := startServer(t)
	c := newClient(t, endpoint)
	_, err := c.sqs.ListQueueTags(t.Context(), &sqs.ListQueueTagsInput{QueueUrl: aws.String(c.queue(nil))})
	wantCode(c, err, "InvalidAction")
	_, err = c.sns.ListOriginationNumbers(t.Context(), &sns.ListOriginationNumbersInput{})
	wantCode(c, err, "InvalidAction")

	for _, test := range []struct {
		name, target, body string
		status             int
		says               string
	}{
		{"another service", "AmazonSSM.GetParameter", "{}", 400, "AmazonSSM.GetParameter"},
		{"invalid JSON", "AmazonSQS.SendMessage", "{", 400, "SerializationException"},
		{"no action", "", "", 400, "InvalidAction"},
		{"SQS in the Query protocol", "", url.Values{"Action": {"SendMessage"}, "Version": {"2012-11-05"}}.Encode(), 400, "SendMessage"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "POST", endpoint, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if test.target != "" {
				r.Header.Set("X-Amz-Target", test.target)
			}
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != test.status || !strings.Contains(string(body), test.says) {
				t.Errorf("got %d %s (%v), want %d and %q in it", response.StatusCode, body, err, test.status, test.says)
			}
		})
	}
}

// TestBatchResponsesHaveBothLists checks that neither list is missing when it is empty, because both are
// required members of the response.
func TestBatchResponsesHaveBothLists(t *testing.T) {
	s := NewServer()
	if _, err := s.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	body := `{"QueueUrl":"q","Entries":[{"Id":"a","MessageBody":"x"}]}`
	r := httptest.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "AmazonSQS.SendMessageBatch")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var response map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &response); err != nil {
		t.Fatal(err)
	}
	if got := string(response["Failed"]); got != "[]" {
		t.Errorf("Failed is %q in %s", got, w.Body)
	}
}

// TestRawDeliveryWithTooManyAttributesIsDropped checks what the documentation of raw message delivery
// says about more than 10 attributes. Moto delivers such messages.
func TestRawDeliveryWithTooManyAttributesIsDropped(t *testing.T) {
	c := newClient(t, startServer(t))
	topic, queue, wrapped := c.topic(), c.queue(nil), c.queue(nil)
	c.subscribe(topic, queue, raw)
	c.subscribe(topic, wrapped, nil)
	c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String("x"), MessageAttributes: manyAttributes(maxAttributes + 1)})
	c.envelope(c.receiveOne(wrapped), append(envelopeKeys, "MessageAttributes")...)
	c.receiveNone(queue)
}

// TestDeadLetterQueueOfSubscription checks that a notification for a deleted queue goes to the
// subscription's dead-letter queue with attributes that say why.
func TestDeadLetterQueueOfSubscription(t *testing.T) {
	for delivery, attributes := range map[string]map[string]string{"envelope": {}, "raw": {"RawMessageDelivery": "true"}} {
		c := newClient(t, startServer(t))
		topic, queue, undelivered := c.topic(), c.queue(nil), c.queue(nil)
		attributes["RedrivePolicy"] = `{"deadLetterTargetArn":"` + c.attribute(undelivered, "QueueArn") + `"}`
		c.subscribe(topic, queue, attributes)
		c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String("one")})
		c.receiveNone(undelivered)
		_, err := c.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &queue})
		c.must(err)
		c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String("two"), MessageAttributes: manyAttributes(1)})
		m := c.receiveOne(undelivered)
		if isRaw := *m.Body == "two"; isRaw != (delivery == "raw") || !isRaw && !strings.Contains(*m.Body, `"Message" : "two"`) {
			t.Errorf("%s: the dead-letter queue of the subscription has %s", delivery, *m.Body)
		}
		reason := aws.ToString(m.MessageAttributes["ErrorCode"].StringValue) + ": " + aws.ToString(m.MessageAttributes["ErrorMessage"].StringValue)
		wantEqual(c, delivery, reason, "AWS.SimpleQueueService.NonExistentQueue: The specified queue does not exist.")
		if aws.ToString(m.MessageAttributes["RequestID"].StringValue) == "" {
			t.Errorf("%s: there is no RequestID", delivery)
		}
		wantEqual(c, delivery+": attributes", len(m.MessageAttributes), map[string]int{"envelope": 3, "raw": 4}[delivery])
	}
}

// TestTraceHeaderOfPublisher checks that SNS passes the header of a publisher's request on to SQS. Moto
// does not.
func TestTraceHeaderOfPublisher(t *testing.T) {
	c := newClient(t, startServer(t))
	for name, attributes := range map[string]map[string]string{"envelope": nil, "raw": raw} {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, attributes)
		_, err := c.sns.Publish(t.Context(), &sns.PublishInput{TopicArn: &topic, Message: aws.String("x")},
			sns.WithAPIOptions(smithyhttp.SetHeaderValue("X-Amzn-Trace-Id", "Root=1-2-3")))
		c.must(err)
		wantEqual(c, name, c.receiveOne(queue).Attributes[traceHeader], "Root=1-2-3")
	}
}

func TestInvalidSystemAttribute(t *testing.T) {
	c := newClient(t, startServer(t))
	queue := c.queue(nil)
	_, err := c.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &queue, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"Nope"},
	})
	wantError[*types.InvalidAttributeName](c, err)
}

func TestDisconnectDuringPollLosesNothing(t *testing.T) {
	s := NewServer()
	ended := make(chan struct{})
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r)
		if r.Context().Err() != nil {
			close(ended)
		}
	}))
	defer endpoint.Close()
	c := newClient(t, endpoint.URL)
	queue := c.queue(nil)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.sqs.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue, WaitTimeSeconds: 20})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	<-ended
	c.send(queue, "x")
	wantEqual(c, "received", len(c.receive(queue)), 1)
}

// TestTraceHeaderInBatch checks that SendMessageBatch keeps the X-Ray header of each entry. Moto does not.
func TestTraceHeaderInBatch(t *testing.T) {
	c := newClient(t, startServer(t))
	url := c.queue(nil)
	entries := sendEntries(1)
	const header = "Root=1-00000000-000000000000000000000000;Sampled=1"
	entries[0].MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
		"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String(header)},
	}
	_, err := c.sendBatch(url, entries)
	c.must(err)
	wantEqual(c, "header", c.receiveOne(url).Attributes["AWSTraceHeader"], header)
}
