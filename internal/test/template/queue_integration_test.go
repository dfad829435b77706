//go:build integration

package template

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

// A cloud is an SNS and SQS, which the AWS CLI calls.
type cloud struct {
	bin   string // directory with a program aws that calls them
	topic string // ARN
}

func newCloud(t *testing.T, endpoint string) cloud {
	t.Helper()
	c := cloud{bin: t.TempDir()}
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

// attributes returns what was set of a queue and of its subscription.
func (c cloud) attributes(t *testing.T, queue string) map[string]any {
	t.Helper()
	url := c.sh(t, "aws sqs get-queue-url --query QueueUrl --output text --queue-name "+queue)
	var all map[string]string
	if err := json.Unmarshal([]byte(c.sh(t, "aws sqs get-queue-attributes --attribute-names All --query Attributes --queue-url "+url)), &all); err != nil {
		t.Fatal(err)
	}
	set := map[string]any{}
	for _, name := range []string{"VisibilityTimeout", "MessageRetentionPeriod", "SqsManagedSseEnabled"} {
		set[name] = all[name]
	}
	for _, name := range []string{"RedrivePolicy", "Policy"} {
		var value any
		if text := all[name]; text != "" && json.Unmarshal([]byte(text), &value) != nil {
			t.Fatalf("the %s of %s is no JSON: %s", name, queue, text)
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

// queueTemplate returns packaging/queue.yaml as AWS::LanguageExtensions transforms
// it, which moto does not know, in JSON.
func queueTemplate(t *testing.T, topic string) string {
	t.Helper()
	python := filepath.Join(filepath.Dir(env.SAM(t)), "python")
	out, err := env.Command(t, "", python, "-c", `
import json, sys
from samcli.yamlhelper import yaml_parse
from samcli.lib.cfn_language_extensions.sam_integration import expand_language_extensions
with open("packaging/queue.yaml") as f:
    template = yaml_parse(f.read())
expanded = expand_language_extensions(template, {"QueueName": "shop", "Topics": sys.argv[1]}, enabled=True).expanded_template
del expanded["Transform"]
print(json.dumps(expanded))`, topic).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestDaemonQueue creates the daemon's queue both ways, with the template and with the
// commands of docs/deploy.md, and checks that they make the same, which works.
func TestDaemonQueue(t *testing.T) {
	made := newCloud(t, env.Moto(t))
	path := filepath.Join(t.TempDir(), "queue.json")
	if err := os.WriteFile(path, []byte(queueTemplate(t, made.topic)), 0o600); err != nil {
		t.Fatal(err)
	}
	made.sh(t, fmt.Sprintf("aws cloudformation create-stack --stack-name q --template-body 'file://%s' --parameters ParameterKey=QueueName,ParameterValue=shop ParameterKey=Topics,ParameterValue=%s", path, made.topic))
	made.receives(t, "shop")

	typed := newCloud(t, env.Moto(t))
	typed.sh(t, queueSteps(t, typed.topic))
	typed.receives(t, "shop")
	for _, queue := range []string{"shop", "shop-dead"} {
		got, want := typed.attributes(t, queue), made.attributes(t, queue)
		if policy := fmt.Sprint(got["Policy"]); !strings.Contains(policy, "aws:SecureTransport:false") {
			t.Errorf("the policy of %s allows requests without TLS: %s", queue, policy)
		}
		// CloudFormation makes strings of booleans and numbers, and moto does not.
		if fmt.Sprint(got) != fmt.Sprint(want) && !reflect.DeepEqual(got, want) {
			t.Errorf("the commands make another %s than the template:\n%v\n%v", queue, got, want)
		}
	}
}

// TestQueueStepsOnDevstack runs the commands of docs/deploy.md against scout dev's
// SNS and SQS.
func TestQueueStepsOnDevstack(t *testing.T) {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	c := newCloud(t, endpoint.URL)
	c.sh(t, queueSteps(t, c.topic))
	c.receives(t, "shop")
}
