//go:build integration

package devstack

import (
	"encoding/json"
	"os/exec"
	"testing"

	"scout/internal/test/env"
)

// TestConformanceOfMoto runs the conformance tests against moto, an independent implementation, because
// otherwise they would only check what we believe about AWS.
func TestConformanceOfMoto(t *testing.T) {
	conformance(t, env.Moto(t))
}

// awsCLI returns a function that runs the AWS CLI against the endpoint and decodes its output into out.
func awsCLI(t *testing.T, endpoint string) func(out any, args ...string) {
	program := env.AWSCLI(t)
	return func(out any, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, append(args, "--endpoint-url", endpoint, "--output", "json")...)
		cmd.Env = []string{
			"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=eu-central-1",
			"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true",
		}
		printed, err := cmd.Output()
		if exit, ok := err.(*exec.ExitError); ok {
			t.Fatalf("aws %v: %s", args, exit.Stderr)
		}
		if err == nil && out != nil {
			err = json.Unmarshal(printed, out)
		}
		if err != nil {
			t.Fatalf("aws %v: %v", args, err)
		}
	}
}

func TestServerWithAWSCLI(t *testing.T) {
	run := awsCLI(t, startServer(t))
	var queue struct{ QueueUrl string }
	run(&queue, "sqs", "create-queue", "--queue-name", "orders", "--attributes", "VisibilityTimeout=60")
	var attributes struct{ Attributes map[string]string }
	run(&attributes, "sqs", "get-queue-attributes", "--queue-url", queue.QueueUrl, "--attribute-names", "All")
	queueARN := attributes.Attributes["QueueArn"]
	if want := "arn:aws:sqs:eu-central-1:000000000000:orders"; queueARN != want {
		t.Errorf("the queue's ARN is %s, want %s", queueARN, want)
	}
	var topic struct{ TopicArn string }
	run(&topic, "sns", "create-topic", "--name", "orders")
	run(nil, "sns", "subscribe", "--topic-arn", topic.TopicArn, "--protocol", "sqs", "--notification-endpoint", queueARN)
	run(nil, "sns", "publish", "--topic-arn", topic.TopicArn, "--message", "hello", "--subject", "Greeting")

	var received struct {
		Messages []struct{ Body, ReceiptHandle string }
	}
	run(&received, "sqs", "receive-message", "--queue-url", queue.QueueUrl, "--wait-time-seconds", "5")
	if len(received.Messages) != 1 {
		t.Fatalf("received %d messages, want 1", len(received.Messages))
	}
	var envelope struct{ Message, Subject string }
	if err := json.Unmarshal([]byte(received.Messages[0].Body), &envelope); err != nil {
		t.Fatal(err)
	}
	if envelope.Message != "hello" || envelope.Subject != "Greeting" {
		t.Errorf("got %+v", envelope)
	}
	run(nil, "sqs", "delete-message", "--queue-url", queue.QueueUrl, "--receipt-handle", received.Messages[0].ReceiptHandle)
	run(&attributes, "sqs", "get-queue-attributes", "--queue-url", queue.QueueUrl, "--attribute-names", "All")
	if n := attributes.Attributes["ApproximateNumberOfMessagesNotVisible"]; n != "0" {
		t.Errorf("%s messages are still in flight", n)
	}
}
