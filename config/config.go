// Package config loads Scout's configuration from a file, the environment and
// Parameter Store into one validated value. Start at [Loader].
//
// It guarantees:
//
//   - A [Config] is valid. An unknown key, a wrong type or a missing value is an
//     error, and [Errors] reports everything that is wrong at once, each [Error]
//     with its file, line and key, and with what is allowed.
//   - Secrets stay secret. A [Secret] and everything that holds one redact
//     themselves however they are printed, and no error shows a value of the
//     configuration, because any value may be a secret in the wrong place.
//   - A Config never changes after it is loaded. Copies share its slices, so a
//     caller that needs a different configuration must clone what it changes.
//
// Each section of the file has one table of its keys, from which they are read,
// checked and shown.
package config

import (
	"cmp"
	"strings"
	"time"

	"scout/handler"
	"scout/sidekiq"
)

// A Config is a valid configuration, returned by a [Loader]. It is read-only,
// including what its slices refer to. Printing it shows no secrets.
type Config struct {
	Redis  Redis
	AWS    AWS
	Queues []Queue // at least one; only the daemon uses those after the first
	Limits Limits

	// Workers is the app's manifest, nil if there is none. Queues is complete
	// without it.
	Workers *Manifest

	// Warnings are about values that are valid but probably wrong. Unlike errors,
	// they may show values, but no secrets.
	Warnings Errors

	// MaxBytes is the maximum total size of the message bodies that the daemon
	// has in flight.
	MaxBytes int64

	// OmitTrace keeps trace context out of jobs.
	OmitTrace bool

	// ShutdownTimeout is how long the daemon may run after a signal to stop.
	ShutdownTimeout time.Duration

	// Tests are read only if Loader.Tests is true. Printing the Config leaves
	// them out.
	Tests []Test
}

// Redis says where jobs go and how they are written.
type Redis struct {
	URL       Secret      // redis, rediss, valkey, valkeys or unix; never empty
	TLS       sidekiq.TLS // zero unless URL is rediss or valkeys
	Sentinels []string    // host:port; if there are any, the host of URL is the master's name

	SentinelUsername string
	SentinelPassword Secret

	IAM          IAM           // if it has a cache, URL has a user and no password
	Wait         sidekiq.Wait  // zero if DedupTTL is
	Namespace    string        // of redis-namespace, for Sidekiq 6 and older; "" for none
	Queue        string        // the Sidekiq queue of workers that do not name one
	Sidekiq      int           // the major version whose client's form jobs have; 0 for a form that all versions read
	Milliseconds bool          // write times as integer milliseconds (Sidekiq 8 only) instead of float seconds
	DedupTTL     time.Duration // how long a message is remembered; 0 turns de-duplication off
}

// IAM says how to log in to an ElastiCache with IAM.
type IAM struct {
	Cache string // the replication group's id in lower case; "" for no IAM
	AWS   AWS    // the credentials and region; has no endpoint
}

// AWS says how to reach AWS. An empty field leaves the choice to the SDK's
// default chain. AccessKey and SecretKey are both set or both empty.
type AWS struct {
	Region    string
	AccessKey Secret
	SecretKey Secret
	Endpoint  string // replaces the endpoint of the service
	SDKOnly   bool   // whether the AWS SDK's client makes every call to SQS; from SCOUT_SQS_CLIENT
}

// A Queue is an SQS queue, how it is polled, and where its messages go.
type Queue struct {
	Name, URL         string        // exactly one is set; neither if Loader.NeedQueue is false and the file has none
	WaitTime          time.Duration // of a long poll; whole seconds
	VisibilityTimeout time.Duration // whole seconds; 0 leaves it to the queue
	MaxMessages       int           // per receive
	Concurrency       int           // maximum number of polls in flight

	// Where messages go; see handler.Routes.
	Topics, EventBridge, S3 []handler.Route
	Plain                   handler.Outcome
	MessageID               handler.Selector

	// DeadSet sends rejected messages to Sidekiq's dead set.
	DeadSet bool
}

// Label returns the queue's name, taken from the URL if only that is configured.
func (q Queue) Label() string { return cmp.Or(q.Name, QueueName(q.URL)) }

// QueueName returns the name of the queue with the given URL, whose path ends in it.
func QueueName(url string) string {
	url = strings.TrimRight(url, "/")
	return url[strings.LastIndexByte(url, '/')+1:]
}

// Limits say how full Redis and Sidekiq's queues may get. While one is exceeded,
// the daemon leaves messages in SQS. A zero value is no limit.
type Limits struct {
	QueueLength int           // jobs in a Sidekiq queue
	Latency     time.Duration // since the next job of a Sidekiq queue was enqueued
	RedisMemory int           // percent of Redis's maxmemory
}

const testsKey = "tests"

// section is the whole file. The queues are read last, because redis.queue is the
// default of every worker.
func (c *Config) section(needQueue bool) value {
	keys := []key{
		{name: "redis", value: c.Redis.section(), example: "{url: redis://localhost:6379/0}",
			doc: "Where jobs go and how they are written."},
		{name: "aws", value: c.AWS.section("SQS"), example: "{region: us-east-1}",
			doc: "How to reach AWS."},
		{name: "queue", value: value{describer: definition{"queue", "a mapping"}, show: c.showQueue}, example: "{name: myapp_queue, topics: {orders: OrderWorker}}",
			doc: "The SQS queue, how it is polled, and the workers for its messages."},
		{name: "queues", value: value{describer: listOf{definition{"queue", "a mapping like queue"}}, show: c.showQueues}, example: "[{name: a, topics: {orders: OrderWorker}}, {name: b, topics: {users: UserWorker}}]",
			doc: "Several SQS queues, instead of queue; only the daemon uses those after the first."},
		{name: "workers", value: value{describer: shape{about: "the path of a file, or JSON"}, show: c.showWorkers}, example: "workers.json",
			doc: "The app's manifest of its workers: a file, relative to the configuration file, or a reference to its JSON."},
		{name: "limits", value: c.Limits.section(), example: "{queue_length: 100000}",
			doc: "How full Redis and Sidekiq's queues may get; the daemon leaves messages in SQS while a limit is exceeded."},
		{name: "max_bytes", value: single(&c.MaxBytes, byteSize(1<<20, 1<<40)), initial: "64MiB", example: "16MiB",
			doc: "The maximum total size of the message bodies that the daemon has in flight, at least 1MiB."},
		{name: "trace", value: single(&c.OmitTrace, negated), initial: "true", example: "false",
			doc: "Whether the trace context of messages is copied into jobs."},
		{name: "shutdown_timeout", value: single(&c.ShutdownTimeout, duration(time.Second, 15*time.Minute)), example: "40s",
			doc: "How long the daemon may run after a signal to stop; the longest wait_time plus 5 seconds if absent."},
		{name: testsKey, value: c.tests(), example: "[{topic: orders, message: {id: 1}, jobs: [{class: OrderWorker}]}]",
			doc: "Messages with the expected results, for scout test; Scout itself ignores them."},
	}
	return section(keys, func(n node) {
		readInto(n.variable("SCOUT_SQS_CLIENT"), &c.AWS.SDKOnly, sqsClient)
		c.readWorkers(n.child("workers"))
		items := c.readQueues(n.child("queue"), n.child("queues"), needQueue)
		c.locate(n, items)
		if c.Redis.IAM.Cache != "" {
			c.Redis.IAM.AWS = AWS{Region: c.AWS.Region, AccessKey: c.AWS.AccessKey, SecretKey: c.AWS.SecretKey}
		}
		c.checkShutdownTimeout(n.child("shutdown_timeout"))
		if tests := n.child(testsKey); n.readsTests && tests.value != nil {
			c.Tests = c.readTests(tests)
		}
	})
}
