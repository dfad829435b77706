package config

import (
	"errors"
	"strings"
	"testing"
)

// TestInvalid loads texts with one mistake, or a few. It expects one error per
// line, without the source.
func TestInvalid(t *testing.T) {
	const (
		queue = "\nqueue: {name: q, topics: {t: W}}" // line 2
		redis = "\nredis: {url: redis://h}"          // line 2

		indentation = "indent the keys of a mapping equally, put a space after the colon of a key, and quote a value that contains a colon and a space"
	)
	tests := map[string]struct{ text, want string }{
		"empty":                   {"", "is empty"},
		"dead, without dedup_ttl": {"redis: {host: h, dedup_ttl: 0}\nqueue: {name: q, topics: {t: W}, rejected: dead}", "2: queue.rejected: cannot be dead with redis.dedup_ttl: 0, because each redelivery would make another entry in the dead set"},
		"only a comment":          {"# nothing", "is empty"},
		"null":                    {"---\n~", "is empty"},
		"root is a list":          {"- a", "1: must be a mapping with keys such as redis and queue"},
		"root is a text":          {"hunter2", "1: must be a mapping with keys such as redis and queue"},
		"two documents":           {"redis:\n---\nredis:", "2: must be a single YAML document, but a second one starts here"},
		"broken second":           {"redis:\n---\n]", "3: is not valid YAML: did not find expected node content; quote a value that starts with ], } or a comma"},
		"syntax":                  {"redis:\n  host: a: b", "2: is not valid YAML: mapping values are not allowed in this context; " + indentation},
		"tab":                     {"redis:\n\thost: a", "2: is not valid YAML: a tab in the indentation; use spaces"},
		"unknown anchor":          {"redis:\n  password: *hunter2", "2: is not valid YAML: an alias to an undefined anchor; quote a value that starts with *"},
		"unknown tag":             {"redis: {host: h, password: !hunter2 x}" + queue, "1: redis.password: has an unknown YAML tag; quote a value that starts with !"},
		"binary":                  {"redis: {host: h, password: !!binary aGk=}" + queue, "1: redis.password: has an unknown YAML tag; quote a value that starts with !"},
		"merge of a text":         {"redis: {<<: x}" + queue, "1: merges (<<) something that is not a mapping"},
		"anchor in itself":        {"redis: &r\n  url: *r" + queue, "1: has an anchor that contains itself"},
		"merge of itself":         {"redis: &r\n  <<: *r" + queue, "1: has an anchor that contains itself"},
		"section is a list":       {"redis: []" + queue, "1: redis: must be a mapping, not a list"},
		"section is a text":       {"redis: hunter2" + queue, "1: redis: must be a mapping, not a single value"},
		"missing space":           {"redis: {password:hunter2}" + queue, "1: redis.(not shown): unknown key; is a space missing after its colon? allowed: url, host, password, tls, sentinels, sentinel_username, sentinel_password, iam, wait, namespace, queue, sidekiq, timestamps, dedup_ttl\n1: redis.url: is required unless redis.host or the environment variable REDIS_URL is set"},
		"key is a list":           {"? [a]\n: b" + redis + queue, "1: has a list as a key; write a plain name before the colon"},
		"unknown section":         {"redsi: {}" + redis + queue, `1: redsi: unknown key; did you mean "redis"? allowed: redis, aws, queue, queues, workers, limits, max_bytes, trace, shutdown_timeout, tests`},
		"unknown, far":            {"sidekiq: {}" + redis + queue, `1: sidekiq: unknown key; allowed: redis, aws, queue, queues, workers, limits, max_bytes, trace, shutdown_timeout, tests`},
		"duplicate section":       {"redis: {url: redis://h}" + redis + queue, "2: redis: duplicate key; first on line 1"},
		"no sections":             {"aws: {}", "1: queue.name: is required unless queue.url is set\n1: queue.topics: is required\n1: redis.url: is required unless redis.host or the environment variable REDIS_URL is set"},
		"empty sections":          {"redis:\naws:\nqueue:", "1: redis.url: is required unless redis.host or the environment variable REDIS_URL is set\n3: queue.name: is required unless queue.url is set\n3: queue.topics: is required"},
		"string is a list":        {"redis: {host: h, password: [hunter2]}" + queue, "1: redis.password: must be a single value, not a list"},
		"string is a mapping":     {"redis: {host: {a: 1}}" + queue, "1: redis.host: must be a single value, not a mapping"},

		"url and host":           {"redis:\n  host: h\n  url: redis://h" + queue, "2: redis.host: cannot be combined with redis.url, which already names the host"},
		"url has no value":       {"redis: {url: }" + queue, "1: redis.url: has no value"},
		"url, scheme":            {"redis: {url: 'http://:hunter2@h'}" + queue, "1: redis.url: must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)"},
		"url, no scheme":         {"redis: {url: 'hunter2@h'}" + queue, "1: redis.url: must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)"},
		"url, password":          {"redis: {url: 'redis://:hunter2/x%zz@h'}" + queue, "1: redis.url: must be a URL such as redis://user:password@host:6379/0; special characters in the password must be percent-encoded"},
		"url, password, #":       {"redis: {url: 'redis://:hun#ter2@h'}" + queue, "1: redis.url: must be a URL such as redis://user:password@host:6379/0; special characters in the password must be percent-encoded"},
		"url, opaque":            {"redis: {url: 'redis:h'}" + queue, "1: redis.url: must be a URL such as redis://user:password@host:6379/0; special characters in the password must be percent-encoded"},
		"url, no host":           {"redis: {url: 'redis://:hunter2@'}" + queue, "1: redis.url: must have a host, such as redis://localhost:6379/0"},
		"url, database":          {"redis: {url: redis://h/one}" + queue, "1: redis.url: must end after the host, or in the number of a database, such as redis://localhost:6379/0"},
		"url, socket":            {"redis: {url: 'unix://run/redis.sock'}" + queue, "1: redis.url: must be the path of a socket, such as unix:///run/redis.sock"},
		"url, two passwords":     {"redis: {url: 'redis://:a@h', password: b}" + queue, "1: redis.password: cannot be combined with a Redis URL that contains a password"},
		"host, url":              {"redis: {host: 'redis://:hunter2@h'}" + queue, "1: redis.host: must be host:port, such as localhost:6379"},
		"host, port":             {"redis: {host: 'h:http'}" + queue, "1: redis.host: must be host:port, such as localhost:6379"},
		"host, no port":          {"redis: {host: 'h:'}" + queue, "1: redis.host: must be host:port, such as localhost:6379"},
		"tls, plain URL":         {"redis: {url: redis://h, tls: {verify: false}}" + queue, "1: redis.tls: needs a Redis URL that begins with rediss://"},
		"tls, cert alone":        {"redis: {url: rediss://h, tls: {cert: c.pem}}" + queue, "1: redis.tls.key: is required with redis.tls.cert"},
		"tls, key alone":         {"redis: {url: valkeys://h, tls: {key: k.pem}}" + queue, "1: redis.tls.cert: is required with redis.tls.key"},
		"sentinels, socket":      {"redis: {url: unix:///run/redis.sock, sentinels: [s]}" + queue, "1: redis.sentinels: needs a Redis URL such as redis://mymaster/0, with the master's name as its host"},
		"sentinels, a URL":       {"redis: {url: redis://m, sentinels: ['redis://s']}" + queue, "1: redis.sentinels[0]: must be the host:port of a Redis Sentinel, such as sentinel.internal:26379"},
		"sentinels, no host":     {"redis: {url: redis://m, sentinels: ['s:1', ':26379']}" + queue, "1: redis.sentinels[1]: must be the host:port of a Redis Sentinel, such as sentinel.internal:26379"},
		"sentinels, none":        {"redis: {url: redis://m, sentinels: []}" + queue, "1: redis.sentinels: must not be empty"},
		"sentinels, no list":     {"redis: {url: redis://m, sentinels: s}" + queue, "1: redis.sentinels: must be a list, not a single value"},
		"sentinel_password":      {"redis: {url: redis://h, sentinel_password: hunter2}" + queue, "1: redis.sentinel_password: needs redis.sentinels"},
		"wait, no replicas":      {"redis: {url: redis://h, wait: {timeout: 1s}}" + queue, "1: redis.wait.replicas: is required"},
		"wait, 0 replicas":       {"redis: {url: redis://h, wait: {replicas: 0}}" + queue, "1: redis.wait.replicas: must be a whole number from 1 to 100"},
		"wait, timeout 0":        {"redis: {url: redis://h, wait: {replicas: 1, timeout: 0s}}" + queue, "1: redis.wait.timeout: must be a duration from 1ms to 1m, such as 500ms"},
		"wait, no marks":         {"redis: {url: redis://h, wait: {replicas: 1}, dedup_ttl: 0}" + queue, "1: redis.wait: cannot be combined with dedup_ttl: 0, because jobs that replicas do not confirm are pushed again"},
		"iam, no TLS":            {"redis: {url: redis://u@h, iam: {cache: c}}" + queue, "1: redis.iam: needs a Redis URL that begins with rediss://, because ElastiCache supports IAM only with TLS"},
		"iam, no user":           {"redis: {url: rediss://h, iam: {cache: c}}" + queue, "1: redis.iam: needs a user in the Redis URL, such as rediss://scout@master.my-group.abc123.use1.cache.amazonaws.com:6379"},
		"iam, password":          {"redis: {url: 'rediss://u:hunter2@h', iam: {cache: c}}" + queue, "1: redis.iam: cannot be combined with a password"},
		"iam, password key":      {"redis: {url: 'rediss://u@h', password: hunter2, iam: {cache: c}}" + queue, "1: redis.iam: cannot be combined with a password"},
		"iam, sentinels":         {"redis: {url: rediss://u@h, sentinels: [s], iam: {cache: c}}" + queue, "1: redis.iam: cannot be combined with redis.sentinels, which ElastiCache does not have"},
		"iam, no cache":          {"redis: {url: rediss://u@h, iam: {}}" + queue, "1: redis.iam.cache: is required"},
		"iam, cache":             {"redis: {url: rediss://u@h, iam: {cache: a.b}}" + queue, "1: redis.iam.cache: must be the id of an ElastiCache replication group: a letter, then up to 39 letters, digits or hyphens"},
		"iam, serverless":        {"redis: {url: 'rediss://u@c.serverless.use1.cache.amazonaws.com', iam: {cache: c}}" + queue, "1: redis.url: is an ElastiCache Serverless, which is always in cluster mode, and Sidekiq does not work with that; use a node-based ElastiCache without cluster mode"},
		"MemoryDB":               {"redis: {url: 'rediss://clustercfg.c.abc123.memorydb.us-east-1.amazonaws.com:6379'}" + queue, "1: redis.url: is an Amazon MemoryDB, which is always in cluster mode, and Sidekiq does not work with that; use a node-based ElastiCache without cluster mode"},
		"configuration endpoint": {"redis: {host: 'clustercfg.c.abc123.use1.cache.amazonaws.com:6379'}" + queue, "1: redis.host: is the configuration endpoint of an ElastiCache cluster, which is always in cluster mode, and Sidekiq does not work with that; use a node-based ElastiCache without cluster mode"},
		"sidekiq":                {"redis: {url: redis://h, sidekiq: 8.1}" + queue, "1: redis.sidekiq: must be 6, 7 or 8"},
		"sidekiq, timestamps":    {"redis: {url: redis://h, sidekiq: 8, timestamps: seconds}" + queue, "1: redis.timestamps: contradicts redis.sidekiq, which already determines it"},
		"sidekiq 7, timestamps":  {"redis: {url: redis://h, sidekiq: 7, timestamps: milliseconds}" + queue, "1: redis.timestamps: contradicts redis.sidekiq, which already determines it"},
		"tls, no mapping":        {"redis: {url: rediss://h, tls: true}" + queue, "1: redis.tls: must be a mapping, not a single value"},
		"namespace":              {"redis: {host: h, namespace: a b}" + queue, "1: redis.namespace: must be text without spaces"},
		"sidekiq queue":          {"redis: {host: h, queue: a b}" + queue, "1: redis.queue: must be text without spaces"},
		"timestamps":             {"redis: {host: h, timestamps: ms}" + queue, "1: redis.timestamps: must be seconds or milliseconds"},
		"dedup_ttl, short":       {"redis: {host: h, dedup_ttl: 1s}" + queue, "1: redis.dedup_ttl: must be 0 (off) or a duration in whole seconds from 1m to 672h, such as 24h"},
		"dedup_ttl, days":        {"redis: {host: h, dedup_ttl: 1d}" + queue, "1: redis.dedup_ttl: must be 0 (off) or a duration in whole seconds from 1m to 672h, such as 24h"},
		"dedup_ttl, negative":    {"redis: {host: h, dedup_ttl: -1h}" + queue, "1: redis.dedup_ttl: must be 0 (off) or a duration in whole seconds from 1m to 672h, such as 24h"},
		"dedup_ttl, no value":    {"redis: {host: h, dedup_ttl: }" + queue, "1: redis.dedup_ttl: has no value"},
		"access key alone":       {"aws: {access_key: hunter2}" + redis + queue, "1: aws.secret_key: is required with aws.access_key"},
		"secret key alone":       {"aws: {secret_key: hunter2}" + redis + queue, "1: aws.access_key: is required with aws.secret_key"},
		"endpoint":               {"aws: {endpoint: 'localhost:4566'}" + redis + queue, "1: aws.endpoint: must be an http:// or https:// URL without a user name or password"},
		"variable not set":       {"redis: {host: h, password: env:PW}" + queue, "1: redis.password: environment variable PW is not set"},
		"variable, no name":      {"redis: {host: h, password: 'env:hunter2!'}" + queue, "1: redis.password: must name an environment variable after env:, such as env:REDIS_PASSWORD; a reference must be the whole value"},
		"url's variable":         {"redis: {url: env:R}" + queue, "1: redis.url: environment variable R is not set"},
		"parameter, no name":     {"redis: {host: h, password: 'ssm:hunter2!'}" + queue, "1: redis.password: must name a parameter after ssm:, such as ssm:/myapp/redis-password; a reference must be the whole value"},
		"value of a variable":    {"redis: {url: env:SECRET}" + queue, "1: redis.url: must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)"},
		"variable as a section":  {"redis: {host: h}\nqueue: env:SECRET", "2: queue: must be a mapping, not a single value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkInvalid(t, test.text, test.want) })
	}
}

// TestInvalidQueue is TestInvalid for the keys of queue, from line 3 on.
func TestInvalidQueue(t *testing.T) {
	tests := map[string]struct{ text, want string }{
		"no name":           {"topics: {t: W}", "2: queue.name: is required unless queue.url is set"},
		"empty name":        {"name: ''\n  topics: {t: W}", "3: queue.name: is required unless queue.url is set"},
		"name":              {"name: a.b\n  topics: {t: W}", "3: queue.name: must be the name of an SQS queue: 1 to 80 letters, digits, - or _, then .fifo for a FIFO queue; a URL belongs in queue.url"},
		"name and url":      {"name: q\n  url: http://h/q\n  topics: {t: W}", "4: queue.url: cannot be combined with queue.name"},
		"url":               {"url: sqs/q\n  topics: {t: W}", "3: queue.url: must be an http:// or https:// URL without a user name or password"},
		"wait_time":         {"name: q\n  wait_time: 21s\n  topics: {t: W}", "4: queue.wait_time: must be a duration in whole seconds from 0s to 20s, such as 20s"},
		"wait_time, number": {"name: q\n  wait_time: 20\n  topics: {t: W}", "4: queue.wait_time: must be a duration in whole seconds from 0s to 20s, such as 20s"},
		"wait_time, half":   {"name: q\n  wait_time: 1.5s\n  topics: {t: W}", "4: queue.wait_time: must be a duration in whole seconds from 0s to 20s, such as 20s"},
		"visibility":        {"name: q\n  visibility_timeout: 13h\n  topics: {t: W}", "4: queue.visibility_timeout: must be a duration in whole seconds from 0s to 12h, such as 1h"},
		"max_messages":      {"name: q\n  max_messages: 11\n  topics: {t: W}", "4: queue.max_messages: must be a whole number from 1 to 10"},
		"max_messages, 0":   {"name: q\n  max_messages: 0\n  topics: {t: W}", "4: queue.max_messages: must be a whole number from 1 to 10"},
		"concurrency":       {"name: q\n  concurrency: many\n  topics: {t: W}", "4: queue.concurrency: must be a whole number from 1 to 1000"},
		"typo":              {"name: q\n  max_mesages: 9\n  topics: {t: W}", `4: queue.max_mesages: unknown key; did you mean "max_messages"? allowed: name, url, wait_time, visibility_timeout, max_messages, concurrency, topics, eventbridge, s3, plain, message_id, rejected`},

		"no topics":              {"name: q", "2: queue.topics: is required"},
		"topics are null":        {"name: q\n  topics:", "4: queue.topics: is required"},
		"topics: none":           {"name: q\n  topics: {}", "4: queue.topics: must have at least one topic, such as foo-topic: FooWorker"},
		"only plain, of nothing": {"name: q\n  plain:", "4: queue.plain: has no value"},
		"event without a slash":  {"name: q\n  eventbridge: {shop: W}", "4: queue.eventbridge.shop: must be source/detail-type, such as shop.billing/Invoice Paid, or a pattern for it with * and ?"},
		"events: none":           {"name: q\n  eventbridge: {}", "4: queue.eventbridge: must have at least one event, such as shop.billing/Invoice Paid: InvoicePaidWorker"},
		"bucket":                 {"name: q\n  s3: {a/b: W}", "4: queue.s3.a/b: must be the name of an S3 bucket, or a pattern with * and ?"},
		"event's worker":         {"name: q\n  eventbridge: {shop.billing/Invoice Paid: w}", "4: queue.eventbridge.shop.billing/Invoice Paid: must be a Ruby class, such as FooWorker or Orders::SyncJob"},
		"message_id":             {"name: q\n  plain: W\n  message_id: id", "5: queue.message_id: must be sqs, attribute:NAME, or body: and a JSON pointer, such as body:/order/id"},
		"message_id, no plain":   {"name: q\n  topics: {t: W}\n  message_id: sqs", "5: queue.message_id: is only for messages of queue.plain, which is absent"},
		"rejected":               {"name: q\n  topics: {t: W}\n  rejected: drop", "5: queue.rejected: must be keep or dead"},

		"ignore in a list":   {"name: q\n  topics: {t: [W, ignore]}", "4: queue.topics.t[1]: cannot be ignore in a list, except as an outcome of by; leave it out"},
		"list in a list":     {"name: q\n  plain: [[W]]", "4: queue.plain[0]: must be a class or a mapping, not a nested list"},
		"by without to":      {"name: q\n  plain: {by: attribute:a}", "4: queue.plain.to: is required"},
		"to without by":      {"name: q\n  plain: {to: {a: W}}", "4: queue.plain.by: is required"},
		"to: none":           {"name: q\n  plain: {by: attribute:a, to: {}}", "4: queue.plain.to: must have at least one key, such as order.created: CreatedWorker"},
		"by":                 {"name: q\n  plain: {by: header:a, to: {a: W}}", "4: queue.plain.by: must be attribute:NAME, or body: and a JSON pointer, such as body:/order/type"},
		"by, bad pointer":    {"name: q\n  plain: {by: body:/a~2, to: {a: W}}", "4: queue.plain.by: must be attribute:NAME, or body: and a JSON pointer, such as body:/order/type"},
		"attribute of S3":    {"name: q\n  s3: {b: [V, {by: attribute:a, to: {a: W}}]}", "4: queue.s3.b[1].by: must be body: and a JSON pointer, because these messages have no attributes"},
		"class beside by":    {"name: q\n  plain: {by: attribute:a, class: W, to: {a: W}}", "4: queue.plain.class: unknown key; allowed: by, to, else"},
		"twins of a branch":  {"name: q\n  plain: [W, {by: attribute:a, to: {x: V, y: [U, {by: body:/b, to: {z: W}}]}}]", "4: queue.plain[1]: has the same class and queue as queue.plain[0], so only one of the two jobs would run"},
		"twins of branches":  {"name: q\n  plain: [{by: attribute:a, to: {x: W}}, {by: attribute:a, to: {y: V}, else: W}]", "4: queue.plain[1]: has the same class and queue as queue.plain[0], so only one of the two jobs would run"},
		"twins in a branch":  {"name: q\n  topics: {t: {by: attribute:a, to: {x: [V, V]}}}", "4: queue.topics.t.to.x[1]: has the same class and queue as queue.topics.t.to.x[0], so only one of the two jobs would run"},
		"worker of a branch": {"name: q\n  topics: {t: {by: attribute:a, to: {x: {retry: 1}}}}", "4: queue.topics.t.to.x.class: is required"},
		"topics: a list":     {"name: q\n  topics: [t]", "4: queue.topics: must be a mapping, not a list"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkInvalid(t, "redis: {host: h}\nqueue:\n  "+test.text, test.want) })
	}
}

// TestInvalidQueues is TestInvalid for the top-level keys but redis and aws, from line 2 on.
func TestInvalidQueues(t *testing.T) {
	const queue = "queue: {name: q, topics: {t: W}}\n"
	tests := map[string]struct{ text, want string }{
		"both":             {queue + "queues: [{name: r, topics: {t: W}}]", "3: queues: cannot be combined with queue; move that queue into the list"},
		"no list":          {"queues: {name: q}", "2: queues: must be a list, not a mapping"},
		"null":             {"queues:", "2: queues: has no value; must be a list"},
		"none":             {"queues: []", "2: queues: must not be empty"},
		"a name":           {"queues: [q]", "2: queues[0]: must be a mapping, not a single value"},
		"null in the list": {"queues: [~]", "2: queues[0]: has no value; must be a mapping"},
		"name":             {"queues:\n- {topics: {t: W}}\n- {name: q}", "3: queues[0].name: is required unless queues[0].url is set\n4: queues[1].topics: is required"},
		"name and url":     {"queues: [{name: q, url: 'http://h/q', topics: {t: W}}]", "2: queues[0].url: cannot be combined with queues[0].name"},
		"twice":            {"queues:\n- {name: q, topics: {t: W}}\n- {name: q, topics: {t: V}}", "4: queues[1]: is the same queue as on line 3, or has the same name"},
		"name of a URL":    {"queues:\n- {name: q, topics: {t: W}}\n- {url: 'http://h/1/q/', topics: {t: V}}", "4: queues[1]: is the same queue as on line 3, or has the same name"},

		"limit":            {queue + "limits: {queue_length: 0}", "3: limits.queue_length: must be a whole number from 1 to 1000000000"},
		"limit, latency":   {queue + "limits: {latency: 5}", "3: limits.latency: must be a duration in whole seconds from 1s to 720h, such as 1h"},
		"limit, memory":    {queue + "limits: {redis_memory: 80}", "3: limits.redis_memory: must be a percentage of Redis's maxmemory from 1% to 99%, such as 80%"},
		"limit, all of it": {queue + "limits: {redis_memory: 100%}", "3: limits.redis_memory: must be a percentage of Redis's maxmemory from 1% to 99%, such as 80%"},
		"limit, typo":      {queue + "limits: {lenght: 1}", "3: limits.lenght: unknown key; allowed: queue_length, latency, redis_memory"},

		"shutdown":            {queue + "shutdown_timeout: soon", "3: shutdown_timeout: must be a duration in whole seconds from 1s to 15m, such as 15m"},
		"shutdown, too early": {queue + "shutdown_timeout: 10s", "3: shutdown_timeout: must be at least 25s, because a long poll of up to 20s is never cut short; lower wait_time to allow less"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkInvalid(t, "redis: {host: h}\n"+test.text, test.want) })
	}
}

// TestInvalidTopic is TestInvalid for the keys of queue.topics, from line 3 on.
func TestInvalidTopic(t *testing.T) {
	const (
		allowed = "allowed: class, queue, args, retry, retry_for, backtrace, dead, tags, active_job"
		noTopic = "must be the name of a topic, its full ARN, or a pattern for names with * and ?"
		noClass = "must be a Ruby class, such as FooWorker or Orders::SyncJob"
	)
	tests := map[string]struct{ text, want string }{
		"name":               {"a.b: W", "3: queue.topics.a.b: " + noTopic},
		"name, spaces":       {"a.b: W", "3: queue.topics.a.b: " + noTopic},
		"name, ARN":          {"arn:aws:sqs:us-east-1:123456789012:q: W", "3: queue.topics.arn:aws:sqs:us-east-1:123456789012:q: " + noTopic},
		"name, ARN pattern":  {"arn:aws:sns:us-east-1:123456789012:q*: W", "3: queue.topics.(not shown): " + noTopic},
		"duplicate":          {"t: A\n    t: B", "4: queue.topics.t: duplicate key; first on line 3"},
		"no class":           {"t:", "3: queue.topics.t: has no value"},
		"class":              {"t: fooWorker", "3: queue.topics.t: " + noClass},
		"class, separator":   {"t: Foo.Worker", "3: queue.topics.t: " + noClass},
		"class, empty":       {"t: ''", "3: queue.topics.t: " + noClass},
		"class in a mapping": {"t: {class: foo}", "3: queue.topics.t.class: " + noClass},
		"class is missing":   {"t: {queue: q}", "3: queue.topics.t.class: is required"},
		"typo":               {"t: {class: W, rety: 1}", `3: queue.topics.t.rety: unknown key; did you mean "retry"? ` + allowed},
		"typo, case":         {"t: {Class: W}", "3: queue.topics.t.Class: unknown key; did you mean \"class\"? " + allowed + "\n3: queue.topics.t.class: is required"},
		"duplicate option":   {"t: {class: W,\n class: V}", "4: queue.topics.t.class: duplicate key; first on line 3"},
		"queue":              {"t: {class: W, queue: a b}", "3: queue.topics.t.queue: must be text without spaces"},
		"queue, empty":       {"t: {class: W, queue: ''}", "3: queue.topics.t.queue: must be text without spaces"},
		"retry":              {"t: {class: W, retry: often}", "3: queue.topics.t.retry: must be true, false, or a whole number of at least 0"},
		"retry, negative":    {"t: {class: W, retry: -1}", "3: queue.topics.t.retry: must be true, false, or a whole number of at least 0"},
		"retry, half":        {"t: {class: W, retry: 1.5}", "3: queue.topics.t.retry: must be true, false, or a whole number of at least 0"},
		"retry_for":          {"t: {class: W, retry_for: 0}", "3: queue.topics.t.retry_for: must be a duration in whole seconds from 1s to 87600h, such as 1h"},
		"retry and for":      {"t: {class: W, retry: true, retry_for: 1h}", "3: queue.topics.t.retry_for: cannot be combined with retry"},
		"backtrace":          {"t: {class: W, backtrace: 0}", "3: queue.topics.t.backtrace: must be true, false, or a whole number of at least 1"},
		"dead":               {"t: {class: W, dead: no}", "3: queue.topics.t.dead: must be true or false"},
		"active_job":         {"t: {class: W, active_job: 1}", "3: queue.topics.t.active_job: must be true or false"},
		"args":               {"t: {class: W, args: message}", "3: queue.topics.t.args: must be a list, not a single value"},
		"args, none":         {"t: {class: W, args: []}", "3: queue.topics.t.args: must not be empty"},
		"args, null":         {"t: {class: W, args: }", "3: queue.topics.t.args: has no value; must be a list"},
		"args, unknown":      {"t: {class: W, args: [message,\n massage]}", "4: queue.topics.t.args[1]: must be message or metadata"},
		"args, twice":        {"t: {class: W, args: [message, message]}", "3: queue.topics.t.args: must not repeat an argument"},
		"tags":               {"t: {class: W, tags: [[a]]}", "3: queue.topics.t.tags[0]: must be a single value, not a list"},
		"tags, empty":        {"t: {class: W, tags: ['']}", "3: queue.topics.t.tags[0]: must be a single line of text"},
		"no workers":         {"t: []", "3: queue.topics.t: must not be empty"},
		"list in a list":     {"t: [[W]]", "3: queue.topics.t[0]: must be a class or a mapping, not a nested list"},
		"null in a list":     {"t: [W, ]\n    u: [~]", "4: queue.topics.u[0]: has no value"},
		"same class, queue":  {"t: [A, B, {class: A, queue: default}]", "3: queue.topics.t[2]: has the same class and queue as queue.topics.t[0], so only one of the two jobs would run"},
		"in a list":          {"t:\n      - A\n      - class: B\n        rety: 1", `6: queue.topics.t[1].rety: unknown key; did you mean "retry"? ` + allowed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			checkInvalid(t, "queue:\n  topics:\n    "+test.text+"\n  name: q\nredis: {host: h}", test.want)
		})
	}
}

func TestInvalidEnvironment(t *testing.T) {
	tests := map[string]struct{ variable, value, want string }{
		"not a number": {"SCOUT_SQS_MAX_NUMBER_OF_MESSAGES", "ten", "must be a whole number from 1 to 10"},
		"too many":     {"SCOUT_SQS_MAX_NUMBER_OF_MESSAGES", "11", "must be a whole number from 1 to 10"},
		"wait":         {"SCOUT_SQS_WAIT_TIME_SECONDS", "21", "must be a whole number from 0 to 20 (seconds)"},
		"wait, unit":   {"SCOUT_SQS_WAIT_TIME_SECONDS", "20s", "must be a whole number from 0 to 20 (seconds)"},
		"visibility":   {"SCOUT_SQS_VISIBILITY_TIMEOUT", "43201", "must be a whole number from 0 to 43200 (seconds)"},
		"SQS client":   {"SCOUT_SQS_CLIENT", "SDK", "must be sdk, to use the AWS SDK's client for SQS, or unset"},
		"endpoint":     {"AWS_ENDPOINT_URL", "localhost", "must be an http:// or https:// URL without a user name or password"},
		"REDIS_URL":    {"REDIS_URL", "hunter2", "must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := "redis: {host: h}\nqueue: {topics: {t: W}}"
			if test.variable == "REDIS_URL" {
				text = "queue: {topics: {t: W}}\n"
			}
			_, err := Loader{Env: vars(test.variable, test.value)}.Load(t.Context(), text)
			if err == nil {
				t.Fatal("no error")
			}
			check(t, "error", err.Error(), test.variable+": "+test.want)
		})
	}
}

// TestAllErrorsAtOnce also shows what errors look like.
func TestAllErrorsAtOnce(t *testing.T) {
	file := inFile(t, `queue:
  name: my queue
  topics:
    foo-topic:
      class: FooWorker
      rety: 5
    bar-topic: [barWorker]
redis:
  hots: localhost:6379
  password: env:NOT_THERE
`)
	_, err := Loader{Env: vars("SCOUT_SQS_WAIT_TIME_SECONDS", "1m")}.Load(t.Context(), file)
	want := strings.TrimPrefix(`
SCOUT_SQS_WAIT_TIME_SECONDS: must be a whole number from 0 to 20 (seconds)
scout.yml:2: queue.name: must be the name of an SQS queue: 1 to 80 letters, digits, - or _, then .fifo for a FIFO queue; a URL belongs in queue.url
scout.yml:6: queue.topics.foo-topic.rety: unknown key; did you mean "retry"? allowed: class, queue, args, retry, retry_for, backtrace, dead, tags, active_job
scout.yml:7: queue.topics.bar-topic[0]: must be a Ruby class, such as FooWorker or Orders::SyncJob
scout.yml:8: redis.url: is required unless redis.host or the environment variable REDIS_URL is set
scout.yml:9: redis.hots: unknown key; did you mean "host"? allowed: url, host, password, tls, sentinels, sentinel_username, sentinel_password, iam, wait, namespace, queue, sidekiq, timestamps, dedup_ttl
scout.yml:10: redis.password: environment variable NOT_THERE is not set`, "\n")
	check(t, "errors", err.Error(), want)

	var one *Error
	if !errors.As(err, &one) {
		t.Error("errors.As finds no *Error")
	}
}

// TestAliasBomb loads 100 topics with the same 100 workers with the same 100 tags.
func TestAliasBomb(t *testing.T) {
	tags := "&t [" + strings.Repeat("x,", 100) + "]"
	workers := "&w [" + strings.Repeat("{class: W, tags: *t},", 100) + "]"
	text := "redis: {host: h}\nqueue:\n  name: q\n  topics:\n    a: {class: A, tags: " + tags + "}\n    b: " + workers + "\n"
	for i := range 100 {
		text += "    c" + strings.Repeat("x", i) + ": *w\n"
	}
	_, err := load(t, text)
	if err == nil || !strings.HasSuffix(err.Error(), "has more than 100000 values once its aliases are expanded") {
		t.Errorf("got %v", err)
	}
}

// checkInvalid loads text and checks the errors, without their source. The only
// variable in the environment is SECRET.
func checkInvalid(t *testing.T, text, want string) {
	t.Helper()
	_, err := Loader{Env: vars("SECRET", "hunter2", "SCOUT_CONFIG", text+"\n"), NeedQueue: true}.Load(t.Context(), "")
	if err == nil {
		t.Fatal("no error")
	}
	checkAgreement(t, text, err)
	got := strings.ReplaceAll(err.Error(), "SCOUT_CONFIG:", "")
	got = strings.TrimPrefix(strings.ReplaceAll(got, "\n ", "\n"), " ")
	check(t, "errors", got, want)
	if strings.Contains(got, "hunter2") {
		t.Error("an error shows the secret")
	}
}
