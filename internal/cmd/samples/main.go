// Command samples makes the sample events: it publishes to the SNS of devstack and
// writes down, as Lambda events, what arrives in the queue.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/devstack"
)

// A sample is one message: published to a topic or, without one, sent to the
// queue as it is.
type sample struct {
	topic string
	devstack.Notification
	body string
}

func publish(topic, message string) sample {
	return sample{topic: topic, Notification: devstack.Notification{Message: message}}
}

func main() {
	log.SetFlags(0)
	signup := publish("user-signups", `{"user":{"id":7,"name":"Zoë","plan":null}}`)
	signup.Subject = "New user"
	signup.Attributes = map[string]devstack.Attribute{
		"source":      {DataType: "String", StringValue: "web"},
		"attempt":     {DataType: "Number", StringValue: "1"},
		"traceparent": {DataType: "String", StringValue: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	write("one-topic", "", publish("orders", `{"id":1001,"total":19.90}`), publish("orders", `{"id":1002,"total":5.00}`), publish("orders", `{"id":1003,"total":1e2}`))
	write("several-topics", "", publish("orders", `{"id":1004,"lines":[{"sku":"A-1","quantity":2}]}`), signup, publish("audit-logins", "user 7 logged in"), publish("billing", `{"invoice":12345678901234567890123}`))
	write("fifo", ".fifo", grouped("account-1", `{"amount":10}`), grouped("account-2", `{"amount":20}`), grouped("account-1", `{"amount":30}`), grouped("account-1", `{"amount":40}`))
	write("raw-delivery", "", sample{body: `{"id":1005,"total":7.50}`})
	write("poison", "",
		publish("orders", `{"id":1006}`),
		sample{body: "not JSON"},
		publish("unheard-of", `{"id":1}`),
		publish("orders", `{"total":1e999}`),
		publish("orders", `{"id":1,"id":2}`),
		publish("orders", strings.Repeat("[", 100)+strings.Repeat("]", 100)),
		publish("orders", `{"name":"\ud800"}`),
		publish("billing", `{"_aj_globalid":"gid://app/User/1"}`),
	)
	var hundred []sample
	for i := range 100 {
		hundred = append(hundred, publish("orders", fmt.Sprintf(`{"id":%d}`, 2000+i)))
	}
	write("hundred", "", hundred...)
}

func grouped(group, message string) sample {
	s := publish("ledger.fifo", message)
	s.GroupID, s.DeduplicationID = group, message[1:len(message)-1]
	return s
}

// write sends the samples through a queue of their own and writes the event.
func write(name, suffix string, samples ...sample) {
	server := devstack.NewServer()
	defer server.Close()
	endpoint := httptest.NewServer(server)
	defer endpoint.Close()
	fifo := map[string]string{}
	if suffix != "" {
		fifo = map[string]string{"FifoQueue": "true"}
	}
	queue := must(server.CreateQueue("sample_queue"+suffix, fifo))
	client := sqs.New(sqs.Options{BaseEndpoint: &endpoint.URL, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")})
	url := devstack.QueueURL(strings.TrimPrefix(endpoint.URL, "http://"), "sample_queue"+suffix)
	for _, s := range samples {
		if s.topic == "" {
			must(client.SendMessage(context.Background(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &s.body}))
			continue
		}
		attributes := map[string]string{}
		if suffix != "" {
			attributes["FifoTopic"] = "true"
		}
		topic := must(server.CreateTopic(s.topic, attributes))
		must(server.Subscribe(topic, queue, nil))
		must(server.Publish(topic, s.Notification))
	}
	event := events.SQSEvent{Records: receive(client, url, queue, len(samples))}
	text := must(json.MarshalIndent(event, "", "  "))
	if err := os.WriteFile(name+".json", append(text, '\n'), 0o644); err != nil {
		log.Fatal(err)
	}
}

func receive(client *sqs.Client, url, arn string, n int) (records []events.SQSMessage) {
	for len(records) < n {
		out := must(client.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10,
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"}, MessageAttributeNames: []string{"All"},
		}))
		for _, m := range out.Messages {
			records = append(records, events.SQSMessage{
				MessageId: *m.MessageId, ReceiptHandle: *m.ReceiptHandle, Body: *m.Body, Md5OfBody: *m.MD5OfBody,
				Attributes: m.Attributes, MessageAttributes: map[string]events.SQSMessageAttribute{},
				EventSource: "aws:sqs", EventSourceARN: arn, AWSRegion: "us-east-1",
			})
			// FIFO: the rest of a group comes when this is deleted.
			must(client.DeleteMessageBatch(context.Background(), &sqs.DeleteMessageBatchInput{
				QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: m.ReceiptHandle}},
			}))
		}
	}
	return records
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
