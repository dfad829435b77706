//go:build integration

// Package e2e tests Scout's binary with real programs around it: redis-server and
// Sidekiq, and moto or scout dev in place of AWS.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

var scoutBinary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scout-e2e")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	scoutBinary = filepath.Join(dir, "scout")
	if output, err := exec.Command("go", "build", "-o", scoutBinary, "scout/cmd/local").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building scout: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}

// An app is a version of Sidekiq and the Redis that it shares with Scout.
type app struct {
	sidekiq env.SidekiqRelease
	redis   func(*testing.T) *env.RedisServer // starts one
	keys    string                            // of redis in Scout's configuration, as in ", sidekiq: 8"
}

// machine is the app with the versions that are installed on the machine.
var machine = app{redis: func(t *testing.T) *env.RedisServer { return env.Redis(t) }}

// redisKey returns the key redis of Scout's configuration.
func (a app) redisKey(url string) string { return "redis: {url: " + url + a.keys + "}" }

// scoutCommand returns the command of the binary with a configuration, and with
// none of the environment's variables of AWS and Scout. It is killed when ctx ends.
func scoutCommand(ctx context.Context, t *testing.T, configuration string, args ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(t.TempDir(), "scout.yml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, scoutBinary, append(args, "--config", file)...)
	cmd.Env = []string{}
	return cmd
}

// scout starts the binary with a configuration. It returns the paths of the files
// that its output goes to. When the test ends, the binary gets SIGTERM and must
// exit with 0.
func scout(t *testing.T, configuration string, args ...string) (stdout, stderr string) {
	t.Helper()
	cmd, dir := scoutCommand(context.Background(), t, configuration, args...), t.TempDir()
	stdout, stderr = filepath.Join(dir, "stdout"), filepath.Join(dir, "stderr")
	cmd.Stdout, cmd.Stderr = create(t, stdout), create(t, stderr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		stuck := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer stuck.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("scout %v, after SIGTERM: %v", args, err)
		}
		if t.Failed() {
			t.Logf("scout %v wrote:\n%s", args, read(t, stderr))
		}
	})
	return stdout, stderr
}

// create creates a file that is closed when the test ends.
func create(t *testing.T, name string) *os.File {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// eventually returns when done returns true.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting after 2 min: %s", what)
		}
	}
}

// A store reads a Redis.
type store struct {
	*testing.T
	conn redis.Conn
}

func openStore(t *testing.T, url string) *store {
	t.Helper()
	conn, err := redis.DialURL(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &store{t, conn}
}

func (s *store) strings(command string, args ...any) []string {
	s.Helper()
	values, err := redis.Strings(s.conn.Do(command, args...))
	if err != nil {
		s.Fatalf("%s %v: %v", command, args, err)
	}
	return values
}

// queued returns the payloads in a Sidekiq queue, the next one to run first.
func (s *store) queued(queue string) []string {
	s.Helper()
	payloads := s.strings("LRANGE", "queue:"+queue, 0, -1)
	slices.Reverse(payloads)
	return payloads
}

// members waits for n members in one of Sidekiq's sorted sets, and returns all.
func (s *store) members(set string, n int) []string {
	s.Helper()
	eventually(s.T, fmt.Sprintf("%d jobs in Sidekiq's set %s", n, set), func() bool {
		size, err := redis.Int(s.conn.Do("ZCARD", set))
		return err == nil && size >= n
	})
	return s.strings("ZRANGE", set, 0, -1)
}

// A cloud is an endpoint of SNS and SQS.
type cloud struct {
	*testing.T
	sns *sns.Client
	sqs *sqs.Client
}

func newCloud(t *testing.T, endpoint string) *cloud {
	c := aws.Config{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
	return &cloud{t, sns.NewFromConfig(c), sqs.NewFromConfig(c)}
}

func (c *cloud) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// queue creates a queue, FIFO if its name ends in .fifo, and returns its URL.
func (c *cloud) queue(name string) string {
	c.Helper()
	attributes := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		attributes["FifoQueue"] = "true"
	}
	out, err := c.sqs.CreateQueue(c.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	c.must(err)
	return *out.QueueUrl
}

// attribute returns the value of a queue's attribute.
func (c *cloud) attribute(queueURL string, name types.QueueAttributeName) string {
	c.Helper()
	out, err := c.sqs.GetQueueAttributes(c.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &queueURL, AttributeNames: []types.QueueAttributeName{name},
	})
	c.must(err)
	return out.Attributes[string(name)]
}

// topic creates a topic, subscribes queues to it and returns its ARN.
func (c *cloud) topic(name string, queueURLs ...string) string {
	c.Helper()
	attributes := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		attributes["FifoTopic"] = "true"
	}
	out, err := c.sns.CreateTopic(c.Context(), &sns.CreateTopicInput{Name: &name, Attributes: attributes})
	c.must(err)
	for _, url := range queueURLs {
		_, err := c.sns.Subscribe(c.Context(), &sns.SubscribeInput{
			TopicArn: out.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(c.attribute(url, types.QueueAttributeNameQueueArn)),
		})
		c.must(err)
	}
	return *out.TopicArn
}

// traceparent is the trace that all messages are part of.
const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// publish publishes a message with a subject and attributes, and returns its id.
func (c *cloud) publish(topicARN, message string) string {
	c.Helper()
	in := &sns.PublishInput{
		TopicArn: &topicARN, Message: &message, Subject: aws.String("A subject"),
		MessageAttributes: map[string]snstypes.MessageAttributeValue{
			"tenant":      {DataType: aws.String("String"), StringValue: aws.String("Zoë")},
			"traceparent": {DataType: aws.String("String"), StringValue: aws.String(traceparent)},
		},
	}
	if strings.HasSuffix(topicARN, ".fifo") {
		in.MessageGroupId, in.MessageDeduplicationId = aws.String("group"), &message
	}
	out, err := c.sns.Publish(c.Context(), in)
	c.must(err)
	return *out.MessageId
}

// emptied waits until a queue has no messages, visible or in flight.
func (c *cloud) emptied(queueURL string) {
	c.Helper()
	eventually(c.T, "the queue is empty", func() bool {
		return c.attribute(queueURL, types.QueueAttributeNameApproximateNumberOfMessages) == "0" &&
			c.attribute(queueURL, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible) == "0"
	})
}
