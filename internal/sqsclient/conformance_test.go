package sqsclient

import (
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/devstack"
)

func TestConformance(t *testing.T) {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	conformance(t, endpoint.URL)
}

// conformance checks that a Client gets the same results from an endpoint as the SDK's client.
func conformance(t *testing.T, endpoint string) {
	sdk := newSDK(endpoint)
	ours := newClient(sdk)
	for round := range 2 { // the first round uses the SDK, and makes the templates
		var seen [2][]string
		for i, c := range []calls{sdk, ours} {
			queue := newQueue(t, sdk, fmt.Sprintf("sqsclient-%d-%d", round, i))
			if got := receiveAll(t, c, queue); len(got) != 0 {
				t.Errorf("an empty queue gave %v", got)
			}
			send(t, sdk, queue)
			messages := receiveAll(t, c, queue)
			seen[i] = describe(messages)
			deleteAll(t, sdk, c, queue, messages)
		}
		if !slices.Equal(seen[0], seen[1]) {
			t.Errorf("received\n%.5000q\nthe SDK\n%.5000q", seen[1], seen[0])
		}
		if ours.receive.template.Load() == nil || ours.delete.template.Load() == nil {
			t.Error("the Client has no template")
		}
	}
	for _, c := range []calls{sdk, ours} {
		checkErrors(t, c, newQueue(t, sdk, "sqsclient"))
	}
}

func receiveAll(t *testing.T, c calls, queue string) []types.Message {
	t.Helper()
	out, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &queue, MaxNumberOfMessages: 10, VisibilityTimeout: 30,
		MessageAttributeNames:       []string{"traceparent", "bytes"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SentTimestamp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Messages
}

// checkErrors checks the errors that have types of their own.
func checkErrors(t *testing.T, c calls, queue string) {
	t.Helper()
	missing := queue + "-missing"
	_, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &missing})
	if _, ok := errors.AsType[*types.QueueDoesNotExist](err); !ok {
		t.Errorf("error = %v, want QueueDoesNotExist", err)
	}
	entry := types.DeleteMessageBatchRequestEntry{Id: aws.String("same"), ReceiptHandle: aws.String("h")}
	_, err = c.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &queue, Entries: []types.DeleteMessageBatchRequestEntry{entry, entry}})
	if _, ok := errors.AsType[*types.BatchEntryIdsNotDistinct](err); !ok {
		t.Errorf("error = %v, want BatchEntryIdsNotDistinct", err)
	}
}

func newQueue(t *testing.T, sdk *sqs.Client, name string) string {
	t.Helper()
	out, err := sdk.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// send sends messages with text that is difficult in JSON.
func send(t *testing.T, sdk *sqs.Client, queue string) {
	t.Helper()
	for i, body := range []string{"plain", `{"a":"\"\\ \u00fc"}`, "tab\tand\r\nlines", "é 😀 \u2028 \ufffd", "<&>'", strings.Repeat("long ", 50_000)} {
		in := &sqs.SendMessageInput{QueueUrl: &queue, MessageBody: &body}
		if i > 0 {
			in.MessageAttributes = map[string]types.MessageAttributeValue{
				"traceparent": {DataType: aws.String("String"), StringValue: aws.String("00-ü-01")},
				"bytes":       {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 0xff}},
				"unwanted":    {DataType: aws.String("Number"), StringValue: aws.String("7")},
			}
		}
		if _, err := sdk.SendMessage(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
}

// describe returns texts with everything about messages that does not differ each time.
func describe(messages []types.Message) (texts []string) {
	for _, m := range messages {
		attributes := slices.Sorted(maps.Keys(m.Attributes))
		hasIDs := m.MessageId != nil && m.ReceiptHandle != nil && *m.MessageId != "" && *m.ReceiptHandle != ""
		text := fmt.Sprint(hasIDs, aws.ToString(m.Body), aws.ToString(m.MD5OfBody), aws.ToString(m.MD5OfMessageAttributes), attributes, m.Attributes["ApproximateReceiveCount"])
		for _, name := range slices.Sorted(maps.Keys(m.MessageAttributes)) {
			a := m.MessageAttributes[name]
			text += fmt.Sprint(name, aws.ToString(a.DataType), aws.ToString(a.StringValue), a.BinaryValue)
		}
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

// deleteAll deletes messages, and fails to delete one that does not exist.
func deleteAll(t *testing.T, sdk *sqs.Client, c calls, queue string, messages []types.Message) {
	t.Helper()
	entries := []types.DeleteMessageBatchRequestEntry{{Id: aws.String("none"), ReceiptHandle: aws.String("\"none\"")}}
	for i, m := range messages {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: m.ReceiptHandle})
	}
	out, err := c.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &queue, Entries: entries})
	if err != nil || len(out.Successful) != len(messages) || len(out.Failed) != 1 {
		t.Fatalf("DeleteMessageBatch = %v, %v", out, err)
	}
	if f := out.Failed[0]; *f.Id != "none" || *f.Code != "ReceiptHandleIsInvalid" || !f.SenderFault || f.Message == nil {
		t.Errorf("failed = %v %v %v %v", *f.Id, *f.Code, f.SenderFault, f.Message)
	}
	left, err := sdk.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil || left.Attributes["ApproximateNumberOfMessagesNotVisible"] != "0" || left.Attributes["ApproximateNumberOfMessages"] != "0" {
		t.Errorf("%v, %v; want no message left", left, err)
	}
}
