package config

import (
	"cmp"
	"time"

	"go.yaml.in/yaml/v3"
)

// The limits of SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
const (
	maxMessages          = 10
	maxWaitTime          = 20 * time.Second
	maxVisibilityTimeout = 12 * time.Hour
)

// MaxConcurrency is the maximum of [Queue.Concurrency].
const MaxConcurrency = 1000

// StopTime is how long the daemon needs, after its last long poll has ended, to
// process the messages of that poll.
const StopTime = 5 * time.Second

// readQueues reads the single queue, or the list of queues, and returns their
// nodes. Metrics and the log tell queues apart by name, so two queues of the same
// name are an error, even if their accounts differ.
func (c *Config) readQueues(queue, queues node, needQueue bool) (items []node) {
	if queues.value == nil {
		c.Queues = make([]Queue, 1)
		c.Queues[0].section(routing{sidekiqQueue: c.Redis.Queue, manifest: c.Workers}, needQueue).read(queue)
		c.checkDeadSet(c.Queues[0], queue)
		return []node{queue}
	}
	if queue.value != nil {
		queues.fail("cannot be combined with queue; move that queue into the list")
	}
	lines := map[string]int{}
	for _, item := range queues.list() {
		if !item.is(yaml.MappingNode) {
			continue
		}
		var q Queue
		q.section(routing{sidekiqQueue: c.Redis.Queue, manifest: c.Workers}, true).read(item)
		c.checkDeadSet(q, item)
		c.Queues, items = append(c.Queues, q), append(items, item)
		if first, ok := lines[q.Label()]; ok && q.Label() != "" {
			item.fail("is the same queue as on line %d, or has the same name", first)
			continue
		}
		lines[q.Label()] = item.line
	}
	return items
}

// checkDeadSet checks that Redis remembers rejected messages.
func (c *Config) checkDeadSet(q Queue, n node) {
	if q.DeadSet && c.Redis.DedupTTL == 0 {
		n.child("rejected").fail("cannot be dead with redis.dedup_ttl: 0, because each redelivery would make another entry in the dead set")
	}
}

func (c *Config) showQueue(bool) any {
	if len(c.Queues) != 1 {
		return nil
	}
	return c.Queues[0].section(routing{}, false).show(false)
}

func (c *Config) showQueues(bool) any {
	var shown []any
	for i := range c.Queues {
		shown = append(shown, c.Queues[i].section(routing{}, false).show(false))
	}
	if len(shown) < 2 {
		return nil
	}
	return shown
}

// section reads and shows q. Its routes are others, except that messages of some
// sections have attributes.
func (q *Queue) section(others routing, needQueue bool) value {
	withAttributes := others
	withAttributes.attributes = true
	keys := []key{
		{name: "name", value: single(&q.Name, sqsName), scout1: true, example: "myapp_queue",
			doc: "The name of the SQS queue."},
		{name: "url", value: single(&q.URL, queueURL), example: "https://sqs.us-east-1.amazonaws.com/123456789012/myapp_queue",
			doc: "The URL of the SQS queue, instead of its name."},
		{name: "wait_time", value: single(&q.WaitTime, duration(0, maxWaitTime)), initial: "20s", example: "10s",
			doc: "How long a receive waits for messages (long polling)."},
		{name: "visibility_timeout", value: single(&q.VisibilityTimeout, duration(0, maxVisibilityTimeout)), initial: "0s", example: "5m",
			doc: "How long SQS hides a received message; 0 leaves that to the queue."},
		{name: "max_messages", value: single(&q.MaxMessages, integer(1, maxMessages)), initial: "10", example: "5",
			doc: "The maximum number of messages per receive."},
		{name: "concurrency", value: single(&q.Concurrency, integer(1, MaxConcurrency)), initial: "64", example: "8",
			doc: "The maximum number of polls in flight; Scout uses as many as the queue keeps busy."},
		{name: "topics", value: withAttributes.routes(&q.Topics, checkTopic, topicKey, "topic, such as foo-topic: FooWorker"), scout1: true, example: "{orders: OrderWorker}",
			doc: "SNS topics, by name, full ARN or pattern, with the outcome of their messages."},
		{name: "eventbridge", value: others.routes(&q.EventBridge, checkEvent, `\*|^[^/]+/`, "event, such as shop.billing/Invoice Paid: InvoicePaidWorker"), example: `{"shop.billing/Invoice Paid": InvoicePaidWorker, "aws.s3/Object *": UploadWorker}`,
			doc: "EventBridge events, by source/detail-type or pattern, with the outcome of each."},
		{name: "s3", value: others.routes(&q.S3, checkBucket, bucketName.pattern, "bucket, such as shop-uploads: UploadWorker"), example: "{shop-uploads: UploadWorker}",
			doc: "S3 buckets, by name or pattern, with the outcome of each record of their event notifications."},
		{name: "plain", value: withAttributes.outcome(&q.Plain), example: "ImportWorker",
			doc: "What becomes of all other messages, such as those of raw message delivery and SendMessage."},
		{name: "message_id", value: single(&q.MessageID, messageID), implied: "sqs", example: "attribute:order_id",
			doc: "The identity of plain messages: sqs (the SQS message id), attribute:NAME, or body: and a JSON pointer."},
		{name: "rejected", value: single(&q.DeadSet, choice("keep", false, "dead", true)), implied: "keep", example: "dead",
			doc: "Whether rejected messages stay in the queue until they go to its dead-letter queue (keep) or go to Sidekiq's dead set (dead)."},
	}
	return section(keys, func(n node) {
		switch byName, byURL := n.child("name"), n.child("url"); {
		case byName.isSet() && byURL.value != nil:
			byURL.fail("cannot be combined with %s", byName.path)
		case needQueue && !byName.isSet() && byURL.value == nil:
			byName.fail("is required unless %s is set", byURL.path)
		}
		if topics := n.child("topics"); !topics.isSet() && n.child("eventbridge").value == nil && n.child("s3").value == nil && n.child("plain").value == nil {
			topics.fail("is required")
		}
		if id := n.child("message_id"); id.value != nil && n.child("plain").value == nil {
			id.fail("is only for messages of %s, which is absent", n.child("plain").path)
		}
		readInto(n.variable("SCOUT_SQS_MAX_NUMBER_OF_MESSAGES"), &q.MaxMessages, integer(1, maxMessages))
		readInto(n.variable("SCOUT_SQS_WAIT_TIME_SECONDS"), &q.WaitTime, seconds(0, maxWaitTime))
		readInto(n.variable("SCOUT_SQS_VISIBILITY_TIMEOUT"), &q.VisibilityTimeout, seconds(0, maxVisibilityTimeout))
	})
}

func (l *Limits) section() value {
	keys := []key{
		{name: "queue_length", value: single(&l.QueueLength, integer(1, 1e9)), example: "100000",
			doc: "The maximum number of jobs in a Sidekiq queue."},
		{name: "latency", value: single(&l.Latency, duration(time.Second, 30*24*time.Hour)), example: "5m",
			doc: "The maximum age of the next job in a Sidekiq queue."},
		{name: "redis_memory", value: single(&l.RedisMemory, percent), example: "80%",
			doc: "The maximum share of Redis's maxmemory that may be in use."},
	}
	return section(keys, func(node) {})
}

// checkShutdownTimeout checks the timeout, or sets the default. It must run after
// the queues have been read.
func (c *Config) checkShutdownTimeout(n node) {
	var wait time.Duration
	for _, q := range c.Queues {
		wait = max(wait, q.WaitTime)
	}
	c.ShutdownTimeout = cmp.Or(c.ShutdownTimeout, wait+StopTime)
	if c.ShutdownTimeout < wait+StopTime {
		n.fail("must be at least %s, because a long poll of up to %s is never cut short; lower wait_time to allow less",
			formatDuration(wait+StopTime), formatDuration(wait))
	}
}
