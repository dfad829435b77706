//go:build integration || aws

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/test/env"
)

// testCloud runs the daemon on AWS's or other SNS and SQS. It creates queues and
// a topic, and deletes them at the end.
func testCloud(t *testing.T, c aws.Config) {
	const messages = 50
	topics, queues := sns.NewFromConfig(c), sqs.NewFromConfig(c)
	name := fmt.Sprintf("scout-test-%d", time.Now().UnixNano())
	topic, err := topics.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: &name})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = topics.DeleteTopic(context.Background(), &sns.DeleteTopicInput{TopicArn: topic.TopicArn})
	})
	_, deadARN := createQueue(t, queues, name+"-dead", nil)
	_, queueARN := createQueue(t, queues, name, map[string]string{
		"VisibilityTimeout": "2",
		"RedrivePolicy":     fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":2}`, deadARN),
		"Policy": fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},
			"Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`, *topic.TopicArn),
	})
	if _, err := topics.Subscribe(t.Context(), &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: &queueARN}); err != nil {
		t.Fatal(err)
	}

	redis := env.Redis(t)
	file := cloudConfig(t, c, redis.Addr, name)
	p := startScout(t, "-c", file)
	for i := range messages {
		publishTo(t, topics, topic.TopicArn, fmt.Sprint(i))
	}
	publishTo(t, topics, topic.TopicArn, `{"poison":1,"poison":2}`)
	eventually(t, time.Minute, "all messages are jobs", func() bool { return len(jobs(t, redis.Addr)) >= messages })
	eventually(t, time.Minute, "the poison is in the dead-letter queue", func() bool {
		return strings.Contains(deadLetterCommand(t, "ls", file), `"unacceptable": 1`)
	})
	if out := deadLetterCommand(t, "redrive", file); !strings.Contains(out, `"sent": 0,`) {
		t.Errorf("scout dlq redrive: %s", out)
	}
	if out := deadLetterCommand(t, "drop", file, "--all", "--yes"); !strings.Contains(out, `"deleted": 1,`) {
		t.Errorf("scout dlq drop: %s", out)
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 30*time.Second); err != nil {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
	got := jobs(t, redis.Addr)
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != messages || len(got) != messages {
		t.Errorf("jobs = %v, want each of %d messages once", got, messages)
	}
}

// deadLetterCommand runs scout dlq and returns its result.
func deadLetterCommand(t *testing.T, command, config string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"dlq", command, "--output", "json", "-c", config}, args...)
	if code := run(t.Context(), args, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("scout dlq %s ended with exit code %d: %s", command, code, &stderr)
	}
	return stdout.String()
}

func publishTo(t *testing.T, topics *sns.Client, topic *string, message string) {
	t.Helper()
	if _, err := topics.Publish(t.Context(), &sns.PublishInput{TopicArn: topic, Message: &message}); err != nil {
		t.Fatal(err)
	}
}

func createQueue(t *testing.T, queues *sqs.Client, name string, attributes map[string]string) (url, arn string) {
	t.Helper()
	queue, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = queues.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: queue.QueueUrl})
	})
	out, err := queues.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: queue.QueueUrl, AttributeNames: []types.QueueAttributeName{"QueueArn"}})
	if err != nil {
		t.Fatal(err)
	}
	return *queue.QueueUrl, out.Attributes["QueueArn"]
}

// cloudConfig writes a configuration with the credentials of c in it.
func cloudConfig(t *testing.T, c aws.Config, redisAddr, queue string) (file string) {
	t.Helper()
	text := fmt.Sprintf("redis: {url: \"redis://%s\"}\nqueue: {name: %q, wait_time: 2s, topics: {\"scout-test-*\": OrderWorker}}\naws: {region: %q", redisAddr, queue, c.Region)
	if c.BaseEndpoint != nil {
		text += fmt.Sprintf(`, endpoint: %q, access_key: x, secret_key: x`, *c.BaseEndpoint)
	}
	file = filepath.Join(t.TempDir(), "scout.yml")
	if err := os.WriteFile(file, []byte(text+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
