//go:build integration

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/internal/test/env"
	"scout/sidekiq"
)

// routes has a topic for each kind of worker. topics is the same as Scout's
// configuration, and adds a FIFO topic.
var routes = []route{
	{"plain", sidekiq.JobTemplate{Class: "PlainWorker", Queue: "default"}, 1},
	{"orders", sidekiq.JobTemplate{Class: "Orders::SyncWorker", Queue: "critical"}, 2},
	{"mails", sidekiq.JobTemplate{Class: "MailJob", Queue: "mailers", ActiveJob: true}, 2},
}

type route struct {
	topic     string
	worker    sidekiq.JobTemplate
	arguments int // 1: the message; 2: the metadata, too
}

const topics = `
  topics:
    plain: PlainWorker
    orders: {class: "Orders::SyncWorker", queue: critical, args: [message, metadata]}
    mails: {class: MailJob, queue: mailers, args: [message, metadata], active_job: true}
    ledger.fifo: {class: PlainWorker, queue: ledger}
`

var sidekiqQueues = []string{"ledger", "default", "critical", "mailers"}

// messages are published to the topic of each route.
var messages = []string{
	`{"id":12345678901234567890123456789012345678901234567890,"sum":-0.10}`,
	`{"integer":1,"float":1.0,"exponent":1e2,"small":5e-324}`,
	`{"name":"Zoë 🦀 日本","k\u00e9y":"\ud83e\udd80","nul":"\u0000","html":"<a&b>"}`,
	` {"a": {"b": [{"c": [[], {}, null, true, false]}]}} `,
	`[1,[2,[3]]]`,
	`"a JSON string"`,
	`42`,
	`null`,
	`plain text, "quoted" – and no JSON`,
	`{"broken":`,
	`NaN`,
}

// TestChain tests the whole chain: SNS, SQS, the daemon, Redis, Sidekiq, worker.
func TestChain(t *testing.T) {
	t.Parallel()
	redisURL, endpoint := env.Redis(t).URL(), env.Moto(t)
	c, s := newCloud(t, endpoint), openStore(t, redisURL)
	queue, copies, fifo := c.queue("chain"), c.queue("copies"), c.queue("chain.fifo")
	calls := publishAll(c, func(topic string) string { return c.topic(topic, queue, copies) })
	ledger := c.topic("ledger.fifo", fifo)
	for n := range 20 {
		c.publish(ledger, strconv.Itoa(n))
	}
	for _, name := range []string{"chain", "chain.fifo"} {
		scout(t, fmt.Sprintf(`
redis: {url: %s}
aws: {endpoint: %s, region: us-east-1, access_key: test, secret_key: test}
queue:
  name: %s
  wait_time: 1s`, redisURL, endpoint, name)+topics)
	}
	c.emptied(queue)
	c.emptied(fifo)
	queued := map[string][]string{}
	for _, name := range sidekiqQueues {
		queued[name] = s.queued(name)
	}

	server := env.Sidekiq(t, redisURL, sidekiqQueues...)
	all := len(calls) + 20
	executions := server.Wait(all)

	checkOrder(t, queued, executions)
	checkCalls(t, calls, executions)
	sendAgain(c, copies, queue, len(calls))
	c.publish(c.topic("mails"), `"the last"`) // to the queue that Sidekiq takes from last
	if executions = server.Wait(all + 1); len(executions) != all+1 || string(executions[all].Arguments[0]) != `"the last"` {
		t.Errorf("after a second delivery of all messages and one more, %d jobs were executed, want %d", len(executions), all+1)
	}
}

// A call is the expected call of a worker for a message.
type call struct {
	route
	topicARN, messageID, message string
}

// publishAll publishes all messages to the topic of each route, and returns the
// expected calls by jid.
func publishAll(c *cloud, arn func(topic string) string) map[string]call {
	c.Helper()
	calls := map[string]call{}
	for _, r := range routes {
		topicARN := arn(r.topic)
		for _, message := range messages {
			messageID := c.publish(topicARN, message)
			calls[r.worker.JobID(sidekiq.Identity{Kind: "sns", Source: topicARN, ID: []string{messageID}}).JID()] = call{r, topicARN, messageID, message}
		}
	}
	return calls
}

// checkOrder checks that the jobs of each Sidekiq queue were executed once, in the
// order and with the payloads that they had in Redis, and those of the FIFO topic
// in the order of publication.
func checkOrder(t *testing.T, queued map[string][]string, executions []env.Execution) {
	t.Helper()
	executed := map[string][]string{}
	published := 0
	for _, e := range executions {
		executed[e.Queue] = append(executed[e.Queue], string(e.Job))
		if e.Queue == "ledger" {
			equal(t, "a message of the FIFO topic", string(e.Arguments[0]), strconv.Itoa(published))
			published++
		}
	}
	for queue, payloads := range queued {
		if len(executed[queue]) != len(payloads) {
			t.Errorf("queue %s: %d jobs were executed, want %d", queue, len(executed[queue]), len(payloads))
			continue
		}
		for i, payload := range payloads {
			equal(t, fmt.Sprintf("queue %s, job %d", queue, i), value(t, executed[queue][i]), value(t, payload))
		}
	}
}

// checkCalls checks that the executions contain each of the calls.
func checkCalls(t *testing.T, calls map[string]call, executions []env.Execution) {
	t.Helper()
	byJID := map[string]env.Execution{}
	for _, e := range executions {
		byJID[e.JID] = e
	}
	for jid, call := range calls {
		call.check(t, byJID[jid])
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`)

// check checks the execution of the call.
func (c call) check(t *testing.T, e env.Execution) {
	t.Helper()
	if e.JID == "" {
		t.Errorf("%s was not called with %s", c.worker.Class, c.message)
		return
	}
	if e.Class != c.worker.Class || e.Queue != c.worker.Queue || c.worker.ActiveJob != uuid.MatchString(e.JobID) {
		t.Errorf("got class %s, queue %s, job id %q, want a call of %+v", e.Class, e.Queue, e.JobID, c.worker)
	}
	equal(t, "the job's traceparent", object(t, string(e.Job))["traceparent"], traceparent)
	if len(e.Arguments) != c.arguments {
		t.Errorf("%s has %d arguments, want %d", c.worker.Class, len(e.Arguments), c.arguments)
		return
	}
	equal(t, "the message", value(t, string(e.Arguments[0])), value(t, argument(t, c.message)))
	if c.arguments > 1 {
		c.checkMetadata(t, object(t, string(e.Arguments[1])))
	}
}

func (c call) checkMetadata(t *testing.T, metadata map[string]any) {
	t.Helper()
	timestamp, _ := metadata["timestamp"].(string)
	if at, err := time.Parse(time.RFC3339, timestamp); err != nil || time.Since(at) > time.Hour {
		t.Errorf("the timestamp is %q", timestamp)
	}
	if id, _ := metadata["sqs_message_id"].(string); !uuid.MatchString(id) {
		t.Errorf("the id in SQS is %q", id)
	}
	delete(metadata, "timestamp")
	delete(metadata, "sqs_message_id")
	equal(t, "the metadata", metadata, map[string]any{
		"source": "sns", "topic": c.topic, "topic_arn": c.topicARN, "message_id": c.messageID,
		"subject": "A subject", "attributes": map[string]any{"tenant": "Zoë", "traceparent": traceparent}, "receive_count": integer("1"),
	})
}

// sendAgain sends the bodies of n messages from one queue to another, as if
// SNS had delivered them a second time, and waits until they are handled.
func sendAgain(c *cloud, from, to string, n int) {
	c.Helper()
	for n > 0 {
		out, err := c.sqs.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &from, MaxNumberOfMessages: 10})
		c.must(err)
		for _, m := range out.Messages {
			_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{QueueUrl: &to, MessageBody: m.Body})
			c.must(err)
		}
		n -= len(out.Messages)
	}
	c.emptied(to)
}
