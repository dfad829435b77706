package config

import (
	"errors"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// The limits of SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
const (
	maxMessages          = 10
	maxWaitTime          = 20 * time.Second
	maxVisibilityTimeout = 12 * time.Hour
)

// MaxConcurrency is the most that a queue's concurrency can be.
const MaxConcurrency = 1000

// readQueue reads the only queue, unless there is a list of them.
func (c *Config) readQueue(root, n node, needQueue bool) {
	if list := root.child("queues"); list.value != nil {
		if n.value != nil {
			list.fail("cannot be with queue: put that one into the list")
		}
		return
	}
	section(func(n node) {
		var q Queue
		q.read(n, c.Redis.Queue, needQueue)
		c.Queues = []Queue{q}
	})(n)
}

// readQueues reads the list of queues. Their names tell them apart, in metrics
// and in the log, also if they are in different accounts.
func (c *Config) readQueues(n node) {
	if n.value == nil {
		return
	}
	lines := map[string]int{}
	for _, item := range n.list() {
		if !item.is(yaml.MappingNode) {
			continue
		}
		var q Queue
		q.read(item, c.Redis.Queue, true)
		c.Queues = append(c.Queues, q)
		if first, ok := lines[q.Label()]; ok && q.Label() != "" {
			item.fail("has the same queue, or one of the same name, as line %d", first)
			continue
		}
		lines[q.Label()] = item.line
	}
}

// read fills q. Workers that name no Sidekiq queue get sidekiqQueue.
func (q *Queue) read(n node, sidekiqQueue string, needQueue bool) {
	q.WaitTime = maxWaitTime
	q.MaxMessages = maxMessages
	q.Concurrency = 64
	n.fields(
		field{"name", v1(into(&q.Name, sqsName))},
		field{"url", into(&q.URL, httpURL)},
		field{"wait_time", into(&q.WaitTime, duration(0, maxWaitTime))},
		field{"visibility_timeout", into(&q.VisibilityTimeout, duration(0, maxVisibilityTimeout))},
		field{"max_messages", into(&q.MaxMessages, integer(1, maxMessages))},
		field{"concurrency", into(&q.Concurrency, integer(1, MaxConcurrency))},
		field{"topics", v1(required(topicsInto(&q.Topics, sidekiqQueue)))},
	)
	switch byName, byURL := n.child("name"), n.child("url"); {
	case byName.given() && byURL.value != nil:
		byURL.fail("cannot be with %s", byName.key)
	case needQueue && !byName.given() && byURL.value == nil:
		byName.fail("is required, or %s", byURL.key)
	}
	into(&q.MaxMessages, integer(1, maxMessages))(n.variable("SCOUT_SQS_MAX_NUMBER_OF_MESSAGES"))
	into(&q.WaitTime, seconds(0, maxWaitTime))(n.variable("SCOUT_SQS_WAIT_TIME_SECONDS"))
	into(&q.VisibilityTimeout, seconds(0, maxVisibilityTimeout))(n.variable("SCOUT_SQS_VISIBILITY_TIMEOUT"))
}

// StopTime is what the daemon needs after its last long poll has ended, to
// handle what that brought.
const StopTime = 5 * time.Second

// readShutdownTimeout must come after the queues.
func (c *Config) readShutdownTimeout(n node) {
	var wait time.Duration
	for _, q := range c.Queues {
		wait = max(wait, q.WaitTime)
	}
	c.ShutdownTimeout = wait + StopTime
	into(&c.ShutdownTimeout, duration(time.Second, 15*time.Minute))(n)
	if c.ShutdownTimeout < wait+StopTime {
		n.fail("must be at least %s: a long poll, which takes up to %s, is never cut off; lower wait_time if it must be less", short(wait+StopTime), short(wait))
	}
}

func (l *Limits) read(n node) {
	n.fields(
		field{"queue_length", into(&l.QueueLength, integer(1, 1e9))},
		field{"latency", into(&l.Latency, duration(time.Second, 30*24*time.Hour))},
		field{"redis_memory", into(&l.RedisMemory, percent)},
	)
}

func percent(text string) (int, error) {
	number, ok := strings.CutSuffix(text, "%")
	i, err := integer(1, 99)(number)
	if !ok || err != nil {
		return 0, errors.New("must be a part of Redis's maxmemory from 1% to 99%, such as 80%")
	}
	return i, nil
}
