// Command samples writes the sample events of package events. It publishes
// messages to the SNS of devstack and writes what arrives in the queue as
// Lambda events, into the current directory. Its output is the same in each
// run: see fixer.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/devstack"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "samples:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	for name, samples := range files() {
		text, err := event(ctx, name, samples)
		if err != nil {
			return fmt.Errorf("making %s: %w", name, err)
		}
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A sample is one message: published to a topic or, without one, sent to the
// queue as it is.
type sample struct {
	topic string
	devstack.Notification
	raw   bool // without an envelope
	body  string
	trace string // the X-Ray header of a message without a topic
}

func publish(topic, message string) sample {
	return sample{topic: topic, Notification: devstack.Notification{Message: message}}
}

// publishRaw publishes to a topic with raw message delivery.
func publishRaw(topic, message, eventType string) sample {
	s := publish(topic, message)
	s.raw = true
	s.Attributes = map[string]devstack.Attribute{"event_type": {DataType: "String", StringValue: eventType}}
	return s
}

// publishGrouped publishes to a FIFO topic.
func publishGrouped(group, message string) sample {
	s := publish("ledger.fifo", message)
	s.GroupID, s.DeduplicationID = group, message[1:len(message)-1]
	return s
}

func (s sample) isFIFO() bool { return strings.HasSuffix(s.topic, ".fifo") }

// files returns the messages of each event, by file name.
func files() map[string][]sample {
	signup := publish("user-signups", `{"user":{"id":7,"name":"Zoë","plan":null}}`)
	signup.Subject = "New user"
	signup.Attributes = map[string]devstack.Attribute{
		"source":      {DataType: "String", StringValue: "web"},
		"attempt":     {DataType: "Number", StringValue: "1"},
		"traceparent": {DataType: "String", StringValue: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	var hundred []sample
	for i := range 100 {
		hundred = append(hundred, publish("orders", fmt.Sprintf(`{"id":%d}`, 2000+i)))
	}
	return map[string][]sample{
		"one-topic.json": {
			publish("orders", `{"id":1001,"total":19.90}`),
			publish("orders", `{"id":1002,"total":5.00}`),
			publish("orders", `{"id":1003,"total":1e2}`),
		},
		"several-topics.json": {
			publish("orders", `{"id":1004,"lines":[{"sku":"A-1","quantity":2}]}`),
			signup,
			publish("audit-logins", "user 7 logged in"),
			publish("billing", `{"invoice":12345678901234567890123}`),
		},
		"fifo.json": {
			publishGrouped("account-1", `{"amount":10}`),
			publishGrouped("account-2", `{"amount":20}`),
			publishGrouped("account-1", `{"amount":30}`),
			publishGrouped("account-1", `{"amount":40}`),
		},
		"raw-delivery.json": {
			publishRaw("imports", `{"id":1005,"total":7.50}`, "order.created"),
			publishRaw("imports", "1006;12.00", "order.imported"),
			publishRaw("imports", "{}", "ping"),
		},
		"eventbridge.json": bridgeEvents(),
		"s3.json":          notificationsOfS3(),
		"poison.json":      poison(),
		"hundred.json":     hundred,
	}
}

// poison returns messages that Scout rejects, after a good one.
func poison() []sample {
	return []sample{
		publish("orders", `{"id":1006}`), // the good one
		{body: "not JSON"},
		{body: `{"Type":"SubscriptionConfirmation","TopicArn":"` + devstack.TopicARN("orders") + `","Token":"t","SubscribeURL":"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription"}`},
		{body: bridgeEvent("shop.billing", "Invoice Disputed", `{"invoice":41}`)},
		{body: bridgeEvent("shop.billing", "Invoice Paid", `{"total":1e999}`)},
		{body: notification(record("other-bucket", "ObjectCreated:Put", "a.txt", "1"))},
		publish("unheard-of", `{"id":1}`),
		publish("orders", `{"total":1e999}`),
		publish("orders", `{"id":1,"id":2}`),
		publish("orders", strings.Repeat("[", 100)+strings.Repeat("]", 100)),
		publish("orders", `{"name":"\ud800"}`),
		publish("billing", `{"_aj_globalid":"gid://app/User/1"}`),
	}
}

// event sends samples through a queue of their own and returns the text of the
// Lambda event with the messages received.
func event(ctx context.Context, name string, samples []sample) ([]byte, error) {
	server := devstack.NewServer()
	defer server.Close()
	endpoint := httptest.NewServer(server)
	defer endpoint.Close()
	queueName, attributes := "sample_queue", map[string]string{}
	if samples[0].isFIFO() {
		queueName, attributes["FifoQueue"] = "sample_queue.fifo", "true"
	}
	queueARN, err := server.CreateQueue(queueName, attributes)
	if err != nil {
		return nil, err
	}
	q := queue{
		arn:    queueARN,
		url:    devstack.QueueURL(endpoint.Listener.Addr().String(), queueName),
		server: server,
		client: sqs.New(sqs.Options{BaseEndpoint: &endpoint.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")}),
	}
	for _, s := range samples {
		if err := q.send(ctx, s); err != nil {
			return nil, err
		}
	}
	records, err := q.receive(ctx, len(samples))
	if err != nil {
		return nil, err
	}
	f := newFixer(name)
	for i := range records {
		f.fix(&records[i])
	}
	text, err := json.MarshalIndent(events.SQSEvent{Records: records}, "", "  ")
	return append(text, '\n'), err
}

// A queue is the queue of one event.
type queue struct {
	arn, url string
	server   *devstack.Server
	client   *sqs.Client
}

// send sends a sample to the queue or to its topic, which it creates and
// subscribes the queue to.
func (q queue) send(ctx context.Context, s sample) error {
	if s.topic == "" {
		in := &sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: &s.body}
		if s.trace != "" {
			in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
				string(types.MessageSystemAttributeNameAWSTraceHeader): {DataType: aws.String("String"), StringValue: &s.trace},
			}
		}
		_, err := q.client.SendMessage(ctx, in)
		return err
	}
	attributes := map[string]string{}
	if s.isFIFO() {
		attributes["FifoTopic"] = "true"
	}
	topic, err := q.server.CreateTopic(s.topic, attributes)
	if err != nil {
		return err
	}
	if _, err := q.server.Subscribe(topic, q.arn, map[string]string{"RawMessageDelivery": strconv.FormatBool(s.raw)}); err != nil {
		return err
	}
	_, err = q.server.Publish(topic, s.Notification)
	return err
}

// receive receives n messages and deletes them, because a FIFO queue holds the
// rest of a message group back until then.
func (q queue) receive(ctx context.Context, n int) (records []events.SQSMessage, err error) {
	for len(records) < n {
		out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.url, MaxNumberOfMessages: 10,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
		})
		if err != nil {
			return nil, err
		}
		for _, m := range out.Messages {
			records = append(records, events.SQSMessage{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Md5OfBody: *m.MD5OfBody,
				Attributes: m.Attributes, MessageAttributes: messageAttributes(m.MessageAttributes),
				EventSource: "aws:sqs", EventSourceARN: q.arn, AWSRegion: "us-east-1",
			})
			if _, err := q.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &q.url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				return nil, err
			}
		}
	}
	return records, nil
}

// messageAttributes returns message attributes in the form of a Lambda event.
func messageAttributes(attributes map[string]types.MessageAttributeValue) map[string]events.SQSMessageAttribute {
	converted := map[string]events.SQSMessageAttribute{}
	for name, a := range attributes {
		converted[name] = events.SQSMessageAttribute{StringValue: a.StringValue, BinaryValue: a.BinaryValue, DataType: *a.DataType}
	}
	return converted
}
