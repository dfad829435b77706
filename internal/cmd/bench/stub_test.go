package main

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/handler"
	"scout/sidekiq"
)

// startStub returns the real client for a stub with a queue.
func startStub(t *testing.T, q *queue) (client *sqs.Client, queueURL *string) {
	t.Helper()
	s, err := newStub(q, 0, defaultSize, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return sqs.New(sqs.Options{
		Region:                           "us-east-1",
		BaseEndpoint:                     aws.String(s.url()),
		Credentials:                      credentials.NewStaticCredentialsProvider("x", "x", ""),
		DisableMessageChecksumValidation: true,
		HTTPClient:                       &http.Client{Transport: wholeBodies{}},
	}), aws.String(s.queueURL())
}

// wholeBodies sends bodies from memory. The SDK closes a request's body when it
// has the response, and the stub responds so soon that net/http may still be
// reading the body. It then gets an error and closes the connection
// (smithy-go 1.28.8, safeWriteToReadCloser.WriteTo).
type wholeBodies struct{}

func (wholeBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return http.DefaultTransport.RoundTrip(r)
}

func TestStubCalls(t *testing.T) {
	q := newQueue()
	for range 12 {
		q.publish()
	}
	client, queueURL := startStub(t, q)

	found, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String("bench")})
	if err != nil || *found.QueueUrl != *queueURL {
		t.Errorf("GetQueueUrl = %v, %v", found, err)
	}
	received, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queueURL, MaxNumberOfMessages: 10})
	if err != nil || len(received.Messages) != 10 {
		t.Fatalf("ReceiveMessage = %v, %v; want 10 messages", received, err)
	}
	entries := []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("0"), ReceiptHandle: received.Messages[0].ReceiptHandle},
		{Id: aws.String("nine"), ReceiptHandle: received.Messages[9].ReceiptHandle},
	}
	deleted, err := client.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: queueURL, Entries: entries})
	if err != nil || len(deleted.Failed) != 0 || len(deleted.Successful) != 2 || *deleted.Successful[1].Id != "nine" {
		t.Errorf("DeleteMessageBatch = %v, %v", deleted, err)
	}
	changed, err := client.ChangeMessageVisibilityBatch(t.Context(), &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: queueURL,
		Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: aws.String("0"), ReceiptHandle: received.Messages[1].ReceiptHandle}}})
	if err != nil || len(changed.Successful) != 1 {
		t.Errorf("ChangeMessageVisibilityBatch = %v, %v", changed, err)
	}
	state, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queueURL, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"VisibilityTimeout": "30", "ApproximateNumberOfMessages": "2",
		"ApproximateNumberOfMessagesNotVisible": "8", "ApproximateNumberOfMessagesDelayed": "0",
	} {
		if got := state.Attributes[name]; got != want {
			t.Errorf("%s = %q, want %s", name, got, want)
		}
	}
	if _, err := client.PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: queueURL}, func(o *sqs.Options) { o.RetryMaxAttempts = 1 }); err == nil {
		t.Error("PurgeQueue, which the stub does not know, succeeded")
	}
}

// TestStubMessages checks that the stub's messages are notifications of 1 KB that
// become jobs, and that no two are the same.
func TestStubMessages(t *testing.T) {
	client, queueURL := startStub(t, newEndlessQueue())
	router := handler.NewRouter(handler.Routes{Topics: []handler.Route{{Key: "bench", Outcome: handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: "BenchWorker"}}}}})
	seen := map[string]bool{}
	for range 3 {
		out, err := client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: queueURL, MaxNumberOfMessages: 10})
		if err != nil || len(out.Messages) != 10 {
			t.Fatalf("ReceiveMessage = %v, %v; want 10 messages", out, err)
		}
		for _, m := range out.Messages {
			translation, err := router.Translate(&events.SQSMessage{MessageId: *m.MessageId, Body: *m.Body}, time.Now())
			jobs := translation.Jobs
			if err != nil || len(jobs) != 1 {
				t.Fatalf("%d jobs, %v, of %s", len(jobs), err, *m.Body)
			}
			if n := len(*m.Body); n < 1000 || n > 1100 {
				t.Errorf("the body has %d bytes, want 1 KB", n)
			}
			if id := messageID.FindSubmatch(jobs[0].Payload); id == nil || len(id[1]) != 12 {
				t.Errorf("the job has no id: %s", jobs[0].Payload)
			}
			for _, id := range []string{*m.MessageId, *m.ReceiptHandle, jobs[0].JID} {
				if seen[id] {
					t.Errorf("%s is in two messages", id)
				}
				seen[id] = true
			}
		}
	}
}

func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		start := time.Now()
		if _, n := q.receive(10, 20*time.Second); n != 0 || time.Since(start) != 20*time.Second {
			t.Errorf("%d messages after %v, want none after 20 s", n, time.Since(start))
		}
		time.AfterFunc(5*time.Second, q.publish)
		start = time.Now()
		first, n := q.receive(10, 20*time.Second)
		if first != 0 || n != 1 || time.Since(start) != 5*time.Second {
			t.Errorf("%d messages from %d after %v, want the first after 5 s", n, first, time.Since(start))
		}
	})
}
