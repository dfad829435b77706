package eventsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/devstack"
)

// A fixture is a mapping with a queue of its own and a function of the test. It
// records what the function was invoked with.
type fixture struct {
	*testing.T
	mapping *Mapping

	mu      sync.Mutex
	batches [][]string // bodies
	times   []time.Time
}

// newFixture returns a mapping with one poller. The visibility timeout of its
// queue is 2 s.
func newFixture(t *testing.T, function func(records []events.SQSMessage) (string, error)) *fixture {
	t.Helper()
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	arn, err := server.CreateQueue("app", map[string]string{"VisibilityTimeout": "2"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t}
	f.mapping = &Mapping{
		SQS:         newSQS(endpoint.URL),
		QueueURL:    devstack.QueueURL(endpoint.Listener.Addr().String(), "app"),
		QueueARN:    arn,
		Concurrency: 1,
		Log:         slog.New(slog.NewTextHandler(t.Output(), nil)),
		Invoke: func(_ context.Context, event []byte) ([]byte, error) {
			var e events.SQSEvent
			if err := json.Unmarshal(event, &e); err != nil {
				t.Error(err)
			}
			var bodies []string
			for _, r := range e.Records {
				bodies = append(bodies, r.Body)
			}
			f.mu.Lock()
			f.batches = append(f.batches, bodies)
			f.times = append(f.times, time.Now())
			f.mu.Unlock()
			response, err := function(e.Records)
			return []byte(response), err
		},
	}
	return f
}

func newSQS(endpoint string) *sqs.Client {
	return sqs.New(sqs.Options{BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
}

func (f *fixture) send(bodies ...string) {
	f.Helper()
	for _, body := range bodies {
		if _, err := f.mapping.SQS.SendMessage(f.Context(), &sqs.SendMessageInput{QueueUrl: &f.mapping.QueueURL, MessageBody: &body}); err != nil {
			f.Fatal(err)
		}
	}
}

// run runs the mapping until it has handled n batches, and returns them.
func (f *fixture) run(n int) [][]string {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), 20*time.Second)
	defer cancel()
	invoke := f.mapping.Invoke
	f.mapping.Invoke = func(ctx context.Context, event []byte) ([]byte, error) {
		defer func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.batches) >= n {
				cancel()
			}
		}()
		return invoke(ctx, event)
	}
	f.mapping.Run(ctx)
	return f.batches
}

// left returns the number of messages in the queue, visible or not.
func (f *fixture) left() int {
	f.Helper()
	return depth(f.T, f.mapping.SQS, f.mapping.QueueURL)
}

func depth(t *testing.T, client *sqs.Client, queueURL string) (n int) {
	t.Helper()
	counts := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: counts})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range counts {
		i, _ := strconv.Atoi(out.Attributes[string(name)])
		n += i
	}
	return n
}

// TestResponses checks how many of two messages are left after each kind of response.
func TestResponses(t *testing.T) {
	for _, c := range []struct {
		name, response string // %s is the id of the first message
		left           int
	}{
		{"empty", ``, 0},
		{"null", `null`, 0},
		{"object", `{}`, 0},
		{"other keys", `{"statusCode":200}`, 0},
		{"key in another case", `{"BatchItemFailures":[{"itemIdentifier":"%s"}]}`, 0},
		{"null list", `{"batchItemFailures":null}`, 0},
		{"empty list", `{"batchItemFailures":[]}`, 0},
		{"one", `{"batchItemFailures":[{"itemIdentifier":"%s"}]}`, 1},
		{"one twice", `{"batchItemFailures":[{"itemIdentifier":"%[1]s"},{"itemIdentifier":"%[1]s"}]}`, 1},
		{"invalid JSON", `{"batchItemFailures":[`, 2},
		{"no object", `"fine"`, 2},
		{"empty identifier", `{"batchItemFailures":[{"itemIdentifier":""}]}`, 2},
		{"null identifier", `{"batchItemFailures":[{"itemIdentifier":null}]}`, 2},
		{"another key", `{"batchItemFailures":[{"messageId":"%s"}]}`, 2},
		{"unknown identifier", `{"batchItemFailures":[{"itemIdentifier":"%s"},{"itemIdentifier":"x"}]}`, 2},
		{"error", `error`, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func(records []events.SQSMessage) (string, error) {
				if c.response == "error" {
					return "", errors.New("failed")
				}
				if strings.Contains(c.response, "%") {
					return fmt.Sprintf(c.response, records[0].MessageId), nil
				}
				return c.response, nil
			})
			f.send("a", "b")
			batches := f.run(1)
			if len(batches) != 1 || len(batches[0]) != 2 {
				t.Errorf("batches = %v, want one of both", batches)
			}
			if n := f.left(); n != c.left {
				t.Errorf("%d messages are left, want %d", n, c.left)
			}
		})
	}
}

// TestVisibility checks that a failed message is redelivered after its visibility
// timeout and not earlier.
func TestVisibility(t *testing.T) {
	f := newFixture(t, func(records []events.SQSMessage) (string, error) {
		if records[0].Attributes["ApproximateReceiveCount"] == "1" {
			return fmt.Sprintf(`{"batchItemFailures":[{"itemIdentifier":%q}]}`, records[0].MessageId), nil
		}
		return "", nil
	})
	f.send("a")
	if batches := f.run(2); len(batches) != 2 || f.left() != 0 {
		t.Fatalf("batches = %v, %d messages are left", batches, f.left())
	}
	if d := f.times[1].Sub(f.times[0]); d < 1900*time.Millisecond {
		t.Errorf("redelivered after %v", d)
	}
}

func TestBatchSizes(t *testing.T) {
	bodies := strings.Split(strings.Repeat("x", 25), "")
	for _, c := range []struct {
		name   string
		size   int
		window time.Duration
		want   []int
	}{
		{"10 by default", 0, 0, []int{10, 10, 5}},
		{"smaller", 7, 0, []int{7, 7, 7, 4}},
		{"larger, with a window", 20, time.Second, []int{20, 5}},
		{"larger, without one", 20, 0, []int{10, 10, 5}}, // AWS rejects this
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func([]events.SQSMessage) (string, error) { return "", nil })
			f.mapping.BatchSize, f.mapping.Window = c.size, c.window
			f.send(bodies...)
			var sizes []int
			for _, batch := range f.run(len(c.want)) {
				sizes = append(sizes, len(batch))
			}
			if !slices.Equal(sizes, c.want) || f.left() != 0 {
				t.Errorf("batches of %v, want %v; %d messages are left", sizes, c.want, f.left())
			}
		})
	}
}

// TestEventSize checks that messages beyond 6 MB of event wait for the next batch.
func TestEventSize(t *testing.T) {
	f := newFixture(t, func(records []events.SQSMessage) (string, error) { return "", nil })
	largest := 0
	invoke := f.mapping.Invoke
	f.mapping.Invoke = func(ctx context.Context, event []byte) ([]byte, error) {
		largest = max(largest, len(event))
		return invoke(ctx, event)
	}
	for i := range 10 {
		f.send(strings.Repeat(strconv.Itoa(i), 1_000_000))
	}
	var sizes []int
	var order string
	for _, batch := range f.run(2) {
		sizes = append(sizes, len(batch))
		for _, body := range batch {
			order += body[:1]
		}
	}
	if !slices.Equal(sizes, []int{6, 4}) || largest > maxEvent || order != "0123456789" {
		t.Errorf("batches of %v, the largest of %d bytes, in the order %s", sizes, largest, order)
	}
}

// TestPauses checks that function errors slow the poller down and failed messages
// do not.
func TestPauses(t *testing.T) {
	const pauses = 1550 * time.Millisecond // 50, 100, 200, 400 and 800 ms
	for name, c := range map[string]struct {
		response string
		err      error
	}{
		"function errors": {"", errors.New("failed")},
		"failed batches":  {"{", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, func([]events.SQSMessage) (string, error) { return c.response, c.err })
			f.mapping.BatchSize = 1
			f.send("1", "2", "3", "4", "5", "6")
			f.run(6)
			if d := f.times[5].Sub(f.times[0]); (d >= pauses) != (c.err != nil) {
				t.Errorf("6 batches took %v", d)
			}
		})
	}
}

func TestConcurrency(t *testing.T) {
	var mu sync.Mutex
	running, highest := 0, 0
	f := newFixture(t, func([]events.SQSMessage) (string, error) {
		mu.Lock()
		running++
		highest = max(highest, running)
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		return "", nil
	})
	f.mapping.BatchSize, f.mapping.Concurrency = 1, 3
	f.send(strings.Split(strings.Repeat("x", 30), "")...)
	if n := len(f.run(30)); n != 30 || highest != 3 {
		t.Errorf("%d batches, up to %d at a time; want 30 and 3", n, highest)
	}
}

// TestRecord checks that a record has everything that SQS returns.
func TestRecord(t *testing.T) {
	var record events.SQSMessage
	f := newFixture(t, func(records []events.SQSMessage) (string, error) { record = records[0]; return "", nil })
	_, err := f.mapping.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &f.mapping.QueueURL, MessageBody: aws.String("hi"),
		MessageAttributes: map[string]types.MessageAttributeValue{"kind": {DataType: aws.String("String"), StringValue: aws.String("a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.run(1)
	if record.Body != "hi" || record.MessageId == "" || record.ReceiptHandle == "" || record.Md5OfBody == "" ||
		record.EventSource != "aws:sqs" || record.EventSourceARN != f.mapping.QueueARN || record.AWSRegion != "us-east-1" ||
		record.Attributes["ApproximateReceiveCount"] != "1" || *record.MessageAttributes["kind"].StringValue != "a" {
		t.Errorf("record = %+v", record)
	}
}
