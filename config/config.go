// Package config makes one validated value, which redacts itself, of Scout's
// configuration file, the environment and Parameter Store. Start at [Loader].
package config

import (
	"cmp"
	"strings"
	"time"

	"scout/handler"
)

// A Config is a valid configuration: a [Loader] returns no other.
// However it is printed, its secrets are not in the output.
type Config struct {
	Redis  Redis
	AWS    AWS
	Queues []Queue // one at least; those after the first are for the daemon alone
	Limits Limits

	// ShutdownTimeout is how long the daemon may go on after a signal.
	ShutdownTimeout time.Duration
}

// Redis is where the jobs go and how they are written there.
type Redis struct {
	URL          Secret        // redis, rediss or unix; always set
	Namespace    string        // of redis-namespace, for Sidekiq 6 and older; "" for none
	Queue        string        // the Sidekiq queue of workers that name none
	Milliseconds bool          // job times are integer milliseconds (Sidekiq 8 only), not float seconds
	DedupTTL     time.Duration // how long a message is remembered; 0: not at all
}

// AWS is what the configuration says about access to AWS. What is empty is left
// to the SDK's default chain. AccessKey and SecretKey are both set or both empty.
type AWS struct {
	Region    string
	AccessKey Secret
	SecretKey Secret
	Endpoint  string // in place of the service's own
}

// Queue is an SQS queue, how it is polled, and where its messages go.
type Queue struct {
	Name, URL         string        // one of them, or neither if the Loader needs no queue
	WaitTime          time.Duration // of a long poll; whole seconds
	VisibilityTimeout time.Duration // whole seconds; 0: the queue's own
	MaxMessages       int           // per receive
	Concurrency       int           // most polls in flight
	Topics            []handler.Route
}

// Label is the queue's name, also if only its URL is configured.
func (q Queue) Label() string { return cmp.Or(q.Name, QueueName(q.URL)) }

// QueueName is the name of the queue with a URL, which ends in it.
func QueueName(url string) string {
	url = strings.TrimRight(url, "/")
	return url[strings.LastIndexByte(url, '/')+1:]
}

// Limits are up to where the daemon fills Redis and Sidekiq's queues. It leaves
// the messages in SQS while one is exceeded. 0 is no limit.
type Limits struct {
	QueueLength int           // jobs in a Sidekiq queue
	Latency     time.Duration // since the next job of a Sidekiq queue was enqueued
	RedisMemory int           // percent of Redis's maxmemory
}

// read fills c from the document's root.
func (c *Config) read(root node, needQueue bool) {
	root.fields(
		field{"redis", section(c.Redis.read)},
		field{"aws", section(func(n node) { c.AWS.read(n, "SQS") })},
		// After redis, whose queue is the default of every worker.
		field{"queue", func(n node) { c.readQueue(root, n, needQueue) }},
		field{"queues", func(n node) { c.readQueues(n) }},
		field{"limits", section(c.Limits.read)},
		// After the queues, whose long polls it waits for.
		field{"shutdown_timeout", c.readShutdownTimeout},
	)
}
