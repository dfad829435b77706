//go:build integration

package template

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"scout/config"
	"scout/handler"
	"scout/internal/audit"
	"scout/internal/devstack"
	"scout/internal/test/env"
	"scout/sidekiq"
)

// A cloud is an SNS and SQS that the AWS CLI calls.
type cloud struct {
	bin      string // directory with a program aws that calls them
	endpoint string
	topic    string // ARN
}

func newCloud(t *testing.T, endpoint string) cloud {
	t.Helper()
	c := cloud{bin: t.TempDir(), endpoint: endpoint}
	// The AWS CLI 1 ignores AWS_ENDPOINT_URL for SQS.
	script := fmt.Sprintf("#!/bin/sh\nexec %q --endpoint-url %q \"$@\"\n", env.AWSCLI(t), endpoint)
	if err := os.WriteFile(filepath.Join(c.bin, "aws"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	c.topic = c.sh(t, "aws sns create-topic --name orders --query TopicArn --output text")
	return c
}

// sh runs a shell script and returns its output.
func (c cloud) sh(t *testing.T, script string) string {
	t.Helper()
	cmd := env.Command(t, "", "sh", "-eu", "-c", script)
	cmd.Env = append(cmd.Env, "PATH="+c.bin+":"+os.Getenv("PATH"))
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return strings.TrimSpace(string(out))
}

// attributes returns the attributes of a queue that were set.
func (c cloud) attributes(t *testing.T, queue string) map[string]any {
	t.Helper()
	url := c.sh(t, "aws sqs get-queue-url --query QueueUrl --output text --queue-name "+queue)
	var all map[string]string
	if err := json.Unmarshal([]byte(c.sh(t, "aws sqs get-queue-attributes --attribute-names All --query Attributes --queue-url "+url)), &all); err != nil {
		t.Fatal(err)
	}
	set := map[string]any{}
	for _, name := range []string{"VisibilityTimeout", "MessageRetentionPeriod", "SqsManagedSseEnabled", "RedrivePolicy", "Policy"} {
		text, ok := all[name]
		if !ok || name == "VisibilityTimeout" && text == "30" { // the default
			continue
		}
		var value any = text
		if text[0] == '{' {
			value = nil
			if err := json.Unmarshal([]byte(text), &value); err != nil {
				t.Fatalf("the %s of %s: %v", name, queue, err)
			}
		}
		set[name] = value
	}
	return set
}

// receives publishes a message to the topic, and checks that it arrives in the queue
// in an envelope.
func (c cloud) receives(t *testing.T, queue string) {
	t.Helper()
	got := c.sh(t, fmt.Sprintf(`
		aws sns publish --topic-arn %s --message '{"id": 1}' >/dev/null
		url=$(aws sqs get-queue-url --query QueueUrl --output text --queue-name %s)
		aws sqs receive-message --wait-time-seconds 20 --query 'Messages[0].Body' --output text --queue-url $url`, c.topic, queue))
	var envelope struct{ Type, TopicArn, Message string }
	if err := json.Unmarshal([]byte(got), &envelope); err != nil || envelope.Type != "Notification" || envelope.TopicArn != c.topic || envelope.Message != `{"id": 1}` {
		t.Errorf("the queue received %s (%v)", got, err)
	}
}

// audited checks that an audit of the queue has no findings.
func (c cloud) audited(t *testing.T, queue string) {
	t.Helper()
	auditor, err := audit.New(t.Context(), &config.Config{
		AWS:   config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: c.endpoint},
		Redis: config.Redis{DedupTTL: 24 * time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	q := config.Queue{Name: queue, Topics: []handler.Route{{Key: "orders", Outcome: handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker"}}}}}
	url, err := auditor.SQS.QueueURL(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	facts := auditor.Facts(t.Context(), q, url)
	if facts.Err != nil || len(facts.Subscriptions) != 1 {
		t.Errorf("the subscriptions of %s are %v (%v)", queue, facts.Subscriptions, facts.Err)
	}
	checkAudit(t, queue, facts)
}

// queueSteps returns the commands of docs/deploy.md that create the daemon's queue.
func queueSteps(t *testing.T, topic string) string {
	t.Helper()
	var steps []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readFile(t, "../../../docs/deploy.md"), -1) {
		steps = append(steps, block[1])
	}
	script := strings.Join(steps, "")
	if len(steps) != 5 || !strings.Contains(script, "TOPIC=arn:aws:sns:us-east-1:123456789012:orders\n") {
		t.Fatalf("the steps are\n%s", script)
	}
	return strings.Replace(script, "arn:aws:sns:us-east-1:123456789012:orders", topic, 1)
}

// TestDaemonQueue creates the daemon's queue with the commands of docs/deploy.md. It
// checks that the queue works and matches packaging/queue.yaml. moto cannot create the
// template's policies and subscriptions.
func TestDaemonQueue(t *testing.T) {
	c := newCloud(t, env.Moto(t))
	c.sh(t, queueSteps(t, c.topic))
	c.receives(t, "shop")
	c.audited(t, "shop")
	s := parse(t, readFile(t, "../../../packaging/queue.yaml")).create(map[string]string{"QueueName": "shop", "Topics": c.topic})
	arns := strings.NewReplacer("${Queue.Arn}", "arn:aws:sqs:us-east-1:123456789012:shop", "${DeadLetterQueue.Arn}", "arn:aws:sqs:us-east-1:123456789012:shop-dead")
	for name, queue := range map[string]string{"Queue": "shop", "DeadLetterQueue": "shop-dead"} {
		want := map[string]any{"Policy": s.property(name+"Policy", "PolicyDocument")}
		got := c.attributes(t, queue)
		for key := range got {
			if value := s.property(name, key); value != nil {
				want[key] = value
			}
		}
		text := strings.ReplaceAll(arns.Replace(fmt.Sprint(want)), "["+c.topic+"]", c.topic) // a list of one
		if fmt.Sprint(got) != text {
			t.Errorf("the commands make another %s than the template:\n%v\n%v", queue, got, text)
		}
		if !strings.Contains(text, "Effect:Deny Principal:*") || !strings.Contains(text, "aws:SecureTransport:false") {
			t.Errorf("%s allows requests without TLS", queue)
		}
	}
}

// TestQueueStepsOnDevstack runs the commands of docs/deploy.md with scout dev's SNS and
// SQS. A message that SNS cannot deliver goes to the dead-letter queue.
func TestQueueStepsOnDevstack(t *testing.T) {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	c := newCloud(t, endpoint.URL)
	c.sh(t, queueSteps(t, c.topic))
	c.receives(t, "shop")
	c.audited(t, "shop")
	c.sh(t, "aws sqs delete-queue --queue-url $(aws sqs get-queue-url --query QueueUrl --output text --queue-name shop)")
	c.receives(t, "shop-dead")
}
