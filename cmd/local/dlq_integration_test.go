//go:build integration

package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// A deadLetters is a queue and its dead-letter queue, with messages in the latter.
type deadLetters struct {
	*testing.T
	sqs         *sqs.Client
	suffix      string // of the names of queues: "" or .fifo
	queue, dead string // URLs
	redis       *env.RedisServer
	config      string // file
}

func newDeadLetters(t *testing.T, endpoint, suffix string) *deadLetters {
	c := aws.Config{Region: "us-east-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")}
	d := &deadLetters{T: t, sqs: sqs.NewFromConfig(c), suffix: suffix, redis: env.Redis(t), config: filepath.Join(t.TempDir(), "scout.yml")}
	attributes := map[string]string{"VisibilityTimeout": "30"}
	if suffix != "" {
		attributes["FifoQueue"] = "true"
	}
	name := fmt.Sprintf("scout-test-%d", time.Now().UnixNano())
	var deadARN string
	d.dead, deadARN = createQueue(t, d.sqs, name+"-dead"+suffix, attributes)
	attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"1000"}`, deadARN)
	d.queue, _ = createQueue(t, d.sqs, name+suffix, attributes)
	text := fmt.Sprintf("redis: {url: \"redis://%s\"}\nqueue: {name: %q, wait_time: 1s, topics: {orders: OrderWorker}}\naws: {region: us-east-1, endpoint: %q, access_key: x, secret_key: x}\n",
		d.redis.Addr, name+suffix, endpoint)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// groups is the number of message groups in a FIFO queue.
const groups = 40

// fill sends n messages to the dead-letter queue. Every second one would become a job
// now: its topic is orders instead of unknown.
func (d *deadLetters) fill(n int) {
	d.Helper()
	for first := 0; first < n; first += 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &d.dead}
		for i := first; i < min(first+10, n); i++ {
			topic := []string{"orders", "unknown"}[i%2]
			body := fmt.Sprintf(`{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:000000000000:%s","MessageId":"id-%d","Message":"%d"}`, topic, i, i)
			e := types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &body}
			if d.suffix != "" {
				e.MessageGroupId, e.MessageDeduplicationId = aws.String(strconv.Itoa(i%groups)), aws.String(strconv.Itoa(i))
			}
			in.Entries = append(in.Entries, e)
		}
		out, err := d.sqs.SendMessageBatch(d.Context(), in)
		if err != nil || len(out.Failed) > 0 {
			d.Fatal(err, out)
		}
	}
}

// left returns the number of messages in the dead-letter queue, visible or hidden.
func (d *deadLetters) left() (n int) {
	d.Helper()
	out, err := d.sqs.GetQueueAttributes(d.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &d.dead, AttributeNames: []types.QueueAttributeName{"All"}})
	if err != nil {
		d.Fatal(err)
	}
	for _, name := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		count, _ := strconv.Atoi(out.Attributes[name])
		n += count
	}
	return n
}

// queued returns the number of jobs.
func (d *deadLetters) queued() int {
	n, err := redis.Int(d.redis.Do("LLEN", "queue:default"))
	if err != nil {
		d.Fatal(err)
	}
	return n
}

// testRedriveKilled redrives n dead letters, of which half would succeed, and kills the
// command several times. It checks that each of these becomes one job and the others
// stay.
func (d *deadLetters) testRedriveKilled(n int) {
	d.fill(n)
	daemon := startScout(d.T, "-c", d.config, "--listen", "0")
	redrive := func() *process { return startScout(d.T, "dlq", "redrive", "-c", d.config, "--hide", "3s") }
	for kill := 1; kill <= 3; kill++ {
		p := redrive()
		eventually(d.T, 2*time.Minute, "some messages are jobs", func() bool {
			select {
			case err := <-p.done: // it has sent all visible messages
				p.done <- err
				return true
			default:
				return d.queued() > n/2*kill/5
			}
		})
		_ = p.Process.Kill()
		d.Logf("killed: %d jobs, %d dead letters", d.queued(), d.left())
		<-p.done
	}
	eventually(d.T, 5*time.Minute, "a redrive leaves only what would be rejected", func() bool {
		p := redrive()
		err := p.end(d.T, 4*time.Minute)
		if err != nil { // on a slow machine, the messages may be visible again before they are deleted
			d.Logf("scout ended with %v; its log:\n%s", err, p.log())
		}
		return err == nil && d.left() == n/2
	})
	eventually(d.T, 2*time.Minute, "all are jobs", func() bool { return d.queued() >= n/2 })
	name := d.queue[strings.LastIndex(d.queue, "/")+1:]
	d.Logf("messages that were sent twice: %s", daemon.metric(d.T, fmt.Sprintf("scout_messages_duplicate_total{queue=%q}", name)))
	daemon.signal(d.T, syscall.SIGTERM)
	if err := daemon.end(d.T, 30*time.Second); err != nil {
		d.Errorf("scout ended with %v", err)
	}
	d.checkJobs(n)
	d.checkLeft(n)
}

// checkJobs checks that each message that would succeed is one job, and that those of
// a group are in order.
func (d *deadLetters) checkJobs(n int) {
	seen := map[int]bool{}
	last := map[int]int{} // by group
	for _, text := range jobs(d.T, d.redis.Addr) {
		i, err := strconv.Atoi(text)
		if err != nil || i%2 != 0 || i >= n || seen[i] {
			d.Errorf("the job %s is doubled or of no message", text)
		}
		seen[i] = true
		if d.suffix != "" && i < last[i%groups] {
			d.Errorf("the job %d comes after %d", i, last[i%groups])
		}
		last[i%groups] = i
	}
	if len(seen) != n/2 {
		d.Errorf("%d messages are jobs, want %d", len(seen), n/2)
	}
}

// checkLeft checks that the messages that would be rejected are in the dead-letter queue.
func (d *deadLetters) checkLeft(n int) {
	seen := map[string]bool{}
	eventually(d.T, 4*time.Minute, "all dead letters are read", func() bool {
		out, err := d.sqs.ReceiveMessage(d.Context(), &sqs.ReceiveMessageInput{QueueUrl: &d.dead, MaxNumberOfMessages: 10, WaitTimeSeconds: 1})
		if err != nil {
			d.Fatal(err)
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &d.dead}
		for i, m := range out.Messages {
			if !strings.Contains(*m.Body, ":unknown") || seen[*m.Body] {
				d.Errorf("the dead letter %s", *m.Body)
			}
			seen[*m.Body] = true
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if len(in.Entries) > 0 {
			if _, err := d.sqs.DeleteMessageBatch(d.Context(), in); err != nil {
				d.Fatal(err)
			}
		}
		return len(seen) >= n/2
	})
	if left := d.left(); left != 0 || len(seen) != n/2 {
		d.Errorf("%d dead letters, want %d; then %d", len(seen), n/2, left)
	}
}

// SCOUT_DEAD_LETTERS is the number of dead letters; 2000 by default.
func deadLetterCount() int {
	n, _ := strconv.Atoi(os.Getenv("SCOUT_DEAD_LETTERS"))
	return cmp.Or(n, 2000)
}

func TestRedriveKilled(t *testing.T) {
	t.Parallel()
	newDeadLetters(t, "http://"+newEndpoint(t, 30, 5).addr, "").testRedriveKilled(deadLetterCount())
}

func TestRedriveKilledFIFO(t *testing.T) {
	t.Parallel()
	newDeadLetters(t, "http://"+newEndpoint(t, 30, 5).addr, ".fifo").testRedriveKilled(deadLetterCount())
}

func TestRedriveKilledOnMoto(t *testing.T) {
	t.Parallel()
	newDeadLetters(t, env.Moto(t), "").testRedriveKilled(200)
}
