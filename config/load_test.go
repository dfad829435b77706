package config

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"scout/handler"
	"scout/sidekiq"
)

// minimal is a minimal valid configuration.
const minimal = `
redis: {url: redis://localhost}
queue: {name: q, topics: {t: W}}
`

// vars returns the environment for a Loader.
func vars(pairs ...string) func(string) (string, bool) {
	env := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		env[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

// load loads text for the daemon, with an otherwise empty environment.
func load(t *testing.T, text string) (*Config, error) {
	t.Helper()
	c, err := Loader{Env: vars("SCOUT_CONFIG", text+"\n"), NeedQueue: true}.Load(t.Context(), "")
	checkAgreement(t, text, err)
	return c, err
}

func mustLoad(t *testing.T, text string) *Config {
	t.Helper()
	c, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// inFile writes text to scout.yml in a new working directory.
func inFile(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("scout.yml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "scout.yml"
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %#v\nwant %#v", what, got, want)
	}
}

func plainWorker(class, queue string) handler.Worker {
	return handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: class, Queue: queue}}
}

// TestScout1 loads the example from the README of Scout 1.x.
func TestScout1(t *testing.T) {
	c := mustLoad(t, `
redis:
  host: "localhost:9000"
  namespace: "test"
  queue: "background"
  password: "someoptionalpassword"  # optional key
aws:
  access_key: "super"
  secret_key: "secret"
  region: "us_best"
queue:
  name: "myapp_queue"
  topics:
    foo-topic: "FooWorker"
    bar-topic: "BazWorker"
`)
	check(t, "config", c, &Config{
		Redis: Redis{
			URL:       "redis://:someoptionalpassword@localhost:9000/0",
			Namespace: "test",
			Queue:     "background",
			DedupTTL:  24 * time.Hour,
		},
		AWS: AWS{Region: "us-best", AccessKey: "super", SecretKey: "secret"},
		Queues: []Queue{{
			Name: "myapp_queue", WaitTime: 20 * time.Second, MaxMessages: 10, Concurrency: 64,
			Topics: []handler.Route{
				{Key: "foo-topic", Outcome: plainWorker("FooWorker", "background")},
				{Key: "bar-topic", Outcome: plainWorker("BazWorker", "background")},
			},
		}},
		MaxBytes:        64 << 20,
		ShutdownTimeout: 25 * time.Second,
	})
}

// full has every key.
const full = `
redis:
  url: rediss://user:secret@redis.internal:6379/0
  tls: {ca: /etc/redis/ca.pem, cert: /etc/redis/cert.pem, key: /etc/redis/key.pem, server_name: redis.example, verify: false}
  sentinels: ["s1.internal", "s2.internal:26380"]
  sentinel_username: scout
  sentinel_password: "secret"
  wait: {replicas: 2, timeout: 1s}
  namespace: "myapp"
  queue: "background"
  sidekiq: 8
  timestamps: milliseconds
  dedup_ttl: 36h
aws:
  region: us-east-1
  access_key: "AKIA..."
  secret_key: "..."
  endpoint: http://localhost:4566
queue:
  url: https://sqs.us-east-1.amazonaws.com/123456789012/myapp
  wait_time: 10s
  visibility_timeout: 5m
  max_messages: 5
  concurrency: 8
  topics:
    foo-topic: FooWorker
    arn:aws:sns:us-east-1:123456789012:orders:
      class: Orders::SyncJob
      queue: critical
      retry: 5
      args: [message, metadata]
      tags: [sns]
      backtrace: 20
      dead: false
      active_job: true
    debug-topic: ignore
    shop-events:
      by: attribute:event_type
      to: {order.created: CreatedWorker, "order.*": [OrderWorker, {by: body:/paid, to: {true: {class: PaidWorker, queue: low}, "*": ignore}}], ping: ignore}
      else: OtherWorker
    patient: {class: PatientWorker, retry_for: 1h, backtrace: true}
    "audit-*": AuditWorker
    billing-topic: [InvoiceWorker, {class: LedgerWorker, queue: low, retry: false}]
  eventbridge: {"shop.billing/Invoice Paid": InvoicePaidWorker, "aws.s3/Object *": {by: body:/bucket/name, to: {shop-uploads: UploadWorker}}}
  s3: {"shop-*": UploadWorker}
  plain: {by: attribute:topic, to: {import: ImportWorker}}
  message_id: body:/order/id
  rejected: dead
limits: {queue_length: 100000, latency: 5m, redis_memory: 80%}
max_bytes: 32MiB
trace: false
shutdown_timeout: 40s
tests:
  - name: an order
    topic: orders
    message: {id: 1.0, big: 12345678901234567890, at: 2026-11-26, text: [é, "1", ~, True]}
    attributes: {event_type: order.created, n: 1}
    queue: myapp
    jobs: [{class: "Orders::SyncJob", retry: 5, lock: until_executed}]
  - {event: events/order.json, rejected: no_route}
  - {body: "env:NOT_RESOLVED {{", ignored: true}
`

func TestFull(t *testing.T) {
	ledger := plainWorker("LedgerWorker", "low")
	ledger.Retry = sidekiq.Bool(false)
	patient := plainWorker("PatientWorker", "background")
	patient.RetryFor, patient.Backtrace = time.Hour, sidekiq.Bool(true)
	check(t, "config", mustLoad(t, full), &Config{
		Redis: Redis{
			URL:       "rediss://user:secret@redis.internal:6379/0",
			TLS:       sidekiq.TLS{CA: "/etc/redis/ca.pem", Cert: "/etc/redis/cert.pem", Key: "/etc/redis/key.pem", ServerName: "redis.example", SkipVerify: true},
			Sentinels: []string{"s1.internal:26379", "s2.internal:26380"}, SentinelUsername: "scout", SentinelPassword: "secret",
			Wait:      sidekiq.Wait{Replicas: 2, Timeout: time.Second},
			Namespace: "myapp", Queue: "background", Sidekiq: 8, Milliseconds: true, DedupTTL: 36 * time.Hour,
		},
		AWS: AWS{Region: "us-east-1", AccessKey: "AKIA...", SecretKey: "...", Endpoint: "http://localhost:4566"},
		Queues: []Queue{{
			URL:      "https://sqs.us-east-1.amazonaws.com/123456789012/myapp",
			WaitTime: 10 * time.Second, VisibilityTimeout: 5 * time.Minute, MaxMessages: 5, Concurrency: 8,
			Topics: []handler.Route{
				{Key: "foo-topic", Outcome: plainWorker("FooWorker", "background")},
				{Key: "arn:aws:sns:us-east-1:123456789012:orders", Outcome: handler.Worker{
					JobTemplate: sidekiq.JobTemplate{
						Class: "Orders::SyncJob", Queue: "critical", Retry: sidekiq.Int(5), Backtrace: sidekiq.Int(20),
						NoDead: true, Tags: []string{"sns"}, ActiveJob: true,
					},
					Args: []handler.Arg{handler.ArgMessage, handler.ArgMetadata},
				}},
				{Key: "debug-topic", Outcome: handler.Ignore{}},
				{Key: "shop-events", Outcome: handler.Choice{
					By: handler.Selector{Attribute: "event_type"},
					To: []handler.Route{
						{Key: "order.created", Outcome: plainWorker("CreatedWorker", "background")},
						{Key: "order.*", Outcome: handler.List{plainWorker("OrderWorker", "background"), handler.Choice{
							By: handler.Selector{Pointer: "/paid"},
							To: []handler.Route{{Key: "true", Outcome: plainWorker("PaidWorker", "low")}, {Key: "*", Outcome: handler.Ignore{}}},
						}}},
						{Key: "ping", Outcome: handler.Ignore{}},
					},
					Else: plainWorker("OtherWorker", "background"),
				}},
				{Key: "patient", Outcome: patient},
				{Key: "audit-*", Outcome: plainWorker("AuditWorker", "background")},
				{Key: "billing-topic", Outcome: handler.List{plainWorker("InvoiceWorker", "background"), ledger}},
			},
			EventBridge: []handler.Route{
				{Key: "shop.billing/Invoice Paid", Outcome: plainWorker("InvoicePaidWorker", "background")},
				{Key: "aws.s3/Object *", Outcome: handler.Choice{
					By: handler.Selector{Pointer: "/bucket/name"},
					To: []handler.Route{{Key: "shop-uploads", Outcome: plainWorker("UploadWorker", "background")}},
				}},
			},
			S3: []handler.Route{{Key: "shop-*", Outcome: plainWorker("UploadWorker", "background")}},
			Plain: handler.Choice{
				By: handler.Selector{Attribute: "topic"},
				To: []handler.Route{{Key: "import", Outcome: plainWorker("ImportWorker", "background")}},
			},
			MessageID: handler.Selector{Pointer: "/order/id"},
			DeadSet:   true,
		}},
		Limits:          Limits{QueueLength: 100_000, Latency: 5 * time.Minute, RedisMemory: 80},
		MaxBytes:        32 << 20,
		OmitTrace:       true,
		ShutdownTimeout: 40 * time.Second,
	})
}

func TestIAM(t *testing.T) {
	c := mustLoad(t, `
redis: {url: "rediss://scout@master.shop.abc123.use1.cache.amazonaws.com", iam: {cache: Shop}}
aws: {region: us-east-1, endpoint: "http://localhost:4566"}
queue: {name: q, topics: {t: W}}
`)
	check(t, "IAM", c.Redis.IAM, IAM{Cache: "shop", AWS: AWS{Region: "us-east-1"}})
	check(t, "IAM again", mustLoad(t, strings.Replace(c.String(), "//master", "//scout@master", 1)).Redis.IAM, c.Redis.IAM)
}

func TestDefaults(t *testing.T) {
	check(t, "config", mustLoad(t, minimal), &Config{
		Redis: Redis{URL: "redis://localhost", Queue: "default", DedupTTL: 24 * time.Hour},
		Queues: []Queue{{
			Name: "q", WaitTime: 20 * time.Second, MaxMessages: 10, Concurrency: 64,
			Topics: []handler.Route{{Key: "t", Outcome: plainWorker("W", "default")}},
		}},
		MaxBytes:        64 << 20,
		ShutdownTimeout: 25 * time.Second,
	})
}

func TestQueues(t *testing.T) {
	c, err := Loader{Env: vars("SCOUT_SQS_WAIT_TIME_SECONDS", "7"), NeedQueue: true}.Load(t.Context(), `
redis: {url: redis://localhost, queue: low}
queues:
  - {name: a, concurrency: 2, topics: {t: V}}
  - {url: "https://h/1/b", max_messages: 1, topics: {t: W}}
`)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "queues", c.Queues, []Queue{
		{Name: "a", WaitTime: 7 * time.Second, MaxMessages: 10, Concurrency: 2,
			Topics: []handler.Route{{Key: "t", Outcome: plainWorker("V", "low")}}},
		{URL: "https://h/1/b", WaitTime: 7 * time.Second, MaxMessages: 1, Concurrency: 64,
			Topics: []handler.Route{{Key: "t", Outcome: plainWorker("W", "low")}}},
	})
	check(t, "shutdown timeout", c.ShutdownTimeout, 12*time.Second)
	check(t, "again", mustLoad(t, c.String()), c)
}

func TestRedisURL(t *testing.T) {
	tests := map[string]struct{ redis, env, want string }{
		"url":                        {redis: "url: redis://u:p@h:1/2", want: "redis://u:p@h:1/2"},
		"url before REDIS_URL":       {redis: "url: redis://file", env: "redis://env", want: "redis://file"},
		"socket":                     {redis: "url: unix:///run/redis.sock", want: "unix:///run/redis.sock"},
		"REDIS_URL":                  {env: "redis://env/3", want: "redis://env/3"},
		"REDIS_URL and password":     {redis: "password: pw", env: "rediss://env", want: "rediss://:pw@env"},
		"url with user, password":    {redis: "{url: 'redis://u@h', password: pw}", want: "redis://u:pw@h"},
		"host":                       {redis: "host: h:1", env: "redis://env", want: "redis://h:1/0"},
		"port without host":          {redis: "host: :1", want: "redis://localhost:1/0"},
		"host without port":          {redis: "host: h", want: "redis://h:6379/0"},
		"host, IPv6":                 {redis: `host: "[::1]:1"`, want: "redis://[::1]:1/0"},
		"host, IPv6, without port":   {redis: `host: "[::1]"`, want: "redis://[::1]:6379/0"},
		"host with empty password":   {redis: "{host: h, password: ''}", want: "redis://h:6379/0"},
		"host with null password":    {redis: "{host: h, password: }", want: "redis://h:6379/0"},
		"password is a number":       {redis: "{host: h, password: 0123}", want: "redis://:0123@h:6379/0"},
		"password is escaped":        {redis: `{host: h, password: "p@:/?#[]%+ é"}`, want: "redis://:p%40%3A%2F%3F%23%5B%5D%25+%20%C3%A9@h:6379/0"},
		"password looks like a date": {redis: "{host: h, password: 2001-01-01}", want: "redis://:2001-01-01@h:6379/0"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text := "queue: {topics: {t: W}}\n"
			if test.redis != "" {
				text += "redis:\n  " + test.redis + "\n"
			}
			c, err := Loader{Env: vars("REDIS_URL", test.env)}.Load(t.Context(), text)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "URL", c.Redis.URL.Reveal(), test.want)
		})
	}
}

// TestRedisProvider checks that REDIS_PROVIDER names the variable with the URL, as
// for Sidekiq.
func TestRedisProvider(t *testing.T) {
	const text = "queue: {topics: {t: W}}\n"
	for name, test := range map[string]struct {
		loader     Loader
		want, fail string
	}{
		"names a variable":  {Loader{Env: vars("REDIS_PROVIDER", "CLOUD_URL", "CLOUD_URL", "redis://cloud", "REDIS_URL", "redis://h")}, "redis://cloud", ""},
		"is empty":          {Loader{Env: vars("REDIS_PROVIDER", "", "REDIS_URL", "redis://h")}, "redis://h", ""},
		"is a URL":          {Loader{Env: vars("REDIS_PROVIDER", "redis://:hunter2@h")}, "", "REDIS_PROVIDER: must be the name of the environment variable"},
		"variable is unset": {Loader{Env: vars("REDIS_PROVIDER", "CLOUD_URL", "REDIS_URL", "redis://h")}, "", "the environment variable CLOUD_URL is set"},
		"is invalid":        {Loader{Env: vars("REDIS_PROVIDER", "CLOUD_URL", "CLOUD_URL", "http://h")}, "", "CLOUD_URL: must begin with redis://"},
		"local":             {Loader{Env: vars("REDIS_PROVIDER", "CLOUD_URL", "CLOUD_URL", "redis://cloud"), LocalRedis: "redis://local"}, "redis://local", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := test.loader.Load(t.Context(), text)
			switch {
			case test.fail != "" && (err == nil || !strings.Contains(err.Error(), test.fail) || strings.Contains(err.Error(), "hunter2")):
				t.Errorf("error = %v, want %q", err, test.fail)
			case test.fail == "" && err != nil:
				t.Error(err)
			case test.fail == "":
				check(t, "URL", c.Redis.URL.Reveal(), test.want)
			}
		})
	}
}

// TestSidekiqVersion checks that the form of jobs loads again.
func TestSidekiqVersion(t *testing.T) {
	for version, milliseconds := range map[int]bool{6: false, 7: false, 8: true} {
		c := mustLoad(t, fmt.Sprintf("redis: {url: redis://h, sidekiq: %d}\nqueue: {name: q, topics: {t: W}}", version))
		check(t, "redis", c.Redis, Redis{URL: "redis://h", Queue: "default", Sidekiq: version, Milliseconds: milliseconds, DedupTTL: 24 * time.Hour})
		check(t, "again", mustLoad(t, c.String()).Redis, c.Redis)
		check(t, "router", c.Router(c.Queues[0]).Sidekiq, version)
	}
}

func TestEnvironment(t *testing.T) {
	type want struct {
		AWS
		MaxMessages                 int
		WaitTime, VisibilityTimeout time.Duration
	}
	const with = minimal + "aws: {region: eu-west-1, endpoint: 'http://file'}\n"
	tests := map[string]struct {
		text string
		env  func(string) (string, bool)
		want want
	}{
		"nothing": {minimal, vars(), want{AWS{}, 10, 20 * time.Second, 0}},
		"numbers": {minimal,
			vars("SCOUT_SQS_MAX_NUMBER_OF_MESSAGES", "3", "SCOUT_SQS_WAIT_TIME_SECONDS", "0", "SCOUT_SQS_VISIBILITY_TIMEOUT", "43200"),
			want{AWS{}, 3, 0, 12 * time.Hour}},
		"empty numbers": {minimal,
			vars("SCOUT_SQS_MAX_NUMBER_OF_MESSAGES", "", "SCOUT_SQS_WAIT_TIME_SECONDS", "", "SCOUT_SQS_VISIBILITY_TIMEOUT", ""),
			want{AWS{}, 10, 20 * time.Second, 0}},
		"region":         {minimal, vars("AWS_REGION", "a", "AWS_DEFAULT_REGION", "b"), want{AWS{Region: "a"}, 10, 20 * time.Second, 0}},
		"default region": {minimal, vars("AWS_DEFAULT_REGION", "b"), want{AWS{Region: "b"}, 10, 20 * time.Second, 0}},
		"endpoint": {minimal, vars("AWS_ENDPOINT_URL", "http://all", "AWS_ENDPOINT_URL_SQS", "http://sqs"),
			want{AWS{Endpoint: "http://sqs"}, 10, 20 * time.Second, 0}},
		"general endpoint": {minimal, vars("AWS_ENDPOINT_URL", "http://all"), want{AWS{Endpoint: "http://all"}, 10, 20 * time.Second, 0}},
		"ignored endpoints": {minimal, vars("AWS_ENDPOINT_URL", "http://all", "AWS_ENDPOINT_URL_SQS", "http://sqs", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True"),
			want{AWS{}, 10, 20 * time.Second, 0}},
		"SQS client":       {minimal, vars("SCOUT_SQS_CLIENT", "sdk"), want{AWS{SDKOnly: true}, 10, 20 * time.Second, 0}},
		"empty SQS client": {minimal, vars("SCOUT_SQS_CLIENT", ""), want{AWS{}, 10, 20 * time.Second, 0}},
		"the file goes first": {with, vars("AWS_REGION", "a", "AWS_ENDPOINT_URL_SQS", "http://sqs"),
			want{AWS{Region: "eu-west-1", Endpoint: "http://file"}, 10, 20 * time.Second, 0}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := Loader{Env: test.env}.Load(t.Context(), test.text)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "config", want{c.AWS, c.Queues[0].MaxMessages, c.Queues[0].WaitTime, c.Queues[0].VisibilityTimeout}, test.want)
		})
	}
}

func TestEnvReferences(t *testing.T) {
	c, err := Loader{Env: vars("HOST", "h:1", "PW", "ssm:/not/again", "RETRY", "7", "CLASS", "W", "EMPTY", "")}.Load(t.Context(), `
redis: {host: env:HOST, password: env:PW, namespace: env:EMPTY}
queue: {topics: {t: {class: env:CLASS, retry: env:RETRY}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "URL", c.Redis.URL.Reveal(), "redis://:ssm%3A%2Fnot%2Fagain@h:1/0")
	check(t, "worker", c.Queues[0].Topics[0].Outcome.(handler.Worker).JobTemplate, sidekiq.JobTemplate{Class: "W", Queue: "default", Retry: sidekiq.Int(7)})
}

func TestAliases(t *testing.T) {
	c := mustLoad(t, `
redis: {url: redis://h, queue: &queue low}
queue:
  name: q
  topics:
    a: &a {class: A, retry: 1, tags: &tags [x]}
    b: {<<: *a, class: B}
    c: {<<: [{class: C}, *a], queue: *queue}
    d: *a
    e: {class: E, tags: *tags}
`)
	a := sidekiq.JobTemplate{Class: "A", Queue: "low", Retry: sidekiq.Int(1), Tags: []string{"x"}}
	b, cc, e := a, a, a
	b.Class, cc.Class, e.Class = "B", "C", "E"
	e.Retry = sidekiq.BoolOrInt{}
	for i, want := range []sidekiq.JobTemplate{a, b, cc, a, e} {
		check(t, c.Queues[0].Topics[i].Key, c.Queues[0].Topics[i].Outcome.(handler.Worker).JobTemplate, want)
	}
}

func TestLocation(t *testing.T) {
	file := inFile(t, minimal)
	bad := "redis: {url: redis://localhost}\n"
	tests := map[string]struct {
		location, env string
		err           string // "" for none
	}{
		"flag, file":     {location: file},
		"flag, YAML":     {location: minimal},
		"variable, file": {env: file},
		"variable, YAML": {env: minimal},
		"flag first":     {location: file, env: bad},

		"neither":              {err: "no configuration: give --config, or set SCOUT_CONFIG to the path of a file, to ssm:/path/name, or to the YAML itself"},
		"no file":              {location: "absent.yml", err: "open absent.yml: no such file or directory"},
		"one line is no YAML":  {env: "{redis: {password: hunter2}}", err: "SCOUT_CONFIG: no such file; YAML must contain a line break"},
		"source is named":      {env: bad, err: "SCOUT_CONFIG:1: queue.topics: is required"},
		"flag is named":        {location: bad, err: "--config:1: queue.topics: is required"},
		"parameter of no name": {env: "ssm:", err: "SCOUT_CONFIG: must name a parameter after ssm:, such as ssm:/myapp/scout"},
		"no Parameter Store":   {env: "ssm:/a", err: "SCOUT_CONFIG: parameter /a: no access to Parameter Store"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Loader{Env: vars("SCOUT_CONFIG", test.env)}.Load(t.Context(), test.location)
			got := ""
			if err != nil {
				got = err.Error()
			}
			check(t, "error", got, test.err)
		})
	}
}

// TestLocal checks that LocalRedis replaces the configured Redis and AWS, so that
// their secrets are not needed, and that everything else stays strict.
func TestLocal(t *testing.T) {
	const text = `
redis: {url: "ssm:/app/redis", password: "env:NOT_HERE", queue: low, timestamps: milliseconds}
aws: {access_key: "env:NOT_HERE", secret_key: "ssm:/app/secret"}
queue: {name: q, topics: {t: W}}
`
	l := Loader{Env: vars("REDIS_URL", "redis://elsewhere"), LocalRedis: "redis://localhost:6380"}
	c, err := l.Load(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "redis", c.Redis, Redis{URL: "redis://localhost:6380", Queue: "low", Milliseconds: true, DedupTTL: 24 * time.Hour})
	check(t, "aws", c.AWS, AWS{})
	if _, err := l.Load(t.Context(), strings.Replace(text, "queue: low", "quue: low", 1)); err == nil {
		t.Error("no error about an unknown key")
	}
	if _, err := l.Load(t.Context(), "queue: {name: q, topics: {t: W}}\n"); err != nil {
		t.Errorf("without sections: %v", err)
	}
}

func TestZeroLoaderReadsTheEnvironment(t *testing.T) {
	t.Setenv("SCOUT_CONFIG", minimal)
	if _, err := (Loader{}).Load(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

// TestStringLoadsAgain checks that String returns a configuration.
func TestStringLoadsAgain(t *testing.T) {
	for name, text := range map[string]string{"minimal": minimal, "full": full} {
		t.Run(name, func(t *testing.T) {
			c := mustLoad(t, text)
			again := mustLoad(t, c.String())
			check(t, "address", again.Redis.URL.Reveal(), c.Redis.Address())
			again.Redis.URL, again.Redis.SentinelPassword = c.Redis.URL, c.Redis.SentinelPassword
			check(t, "aws", again.AWS.Region, c.AWS.Region)
			again.AWS = c.AWS
			check(t, "config", again, c)
		})
	}
}

func TestString(t *testing.T) {
	got := mustLoad(t, `
redis: {url: "rediss://user:secret@redis.internal:6379/0"}
aws: {access_key: secret, secret_key: secret}
queue: {name: q, topics: {t: {class: W, dead: false, retry_for: 90s, args: [metadata]}}}
`).String()
	check(t, "String", got, strings.TrimPrefix(`
redis:
  url: rediss://redis.internal:6379/0
  queue: default
  timestamps: seconds
  dedup_ttl: 24h
aws:
  access_key: '[redacted]'
  secret_key: '[redacted]'
queue:
  name: q
  wait_time: 20s
  visibility_timeout: 0s
  max_messages: 10
  concurrency: 64
  topics:
    t:
      - class: W
        queue: default
        args: [metadata]
        retry_for: 1m30s
        dead: false
max_bytes: 64MiB
trace: true
shutdown_timeout: 25s
`, "\n"))
}

// BenchmarkLoad loads a configuration as the Lambda function does at its start.
func BenchmarkLoad(b *testing.B) {
	const text = `
redis: {url: redis://localhost, queue: low}
queue:
  topics:
    orders: {class: OrderWorker, queue: critical, retry: 5, args: [message, metadata]}
    "audit-*": AuditWorker
    billing: [InvoiceWorker, {class: LedgerWorker, queue: low}]
    shop-events: {by: attribute:event_type, to: {order.created: CreatedWorker, ping: ignore}, else: OtherWorker}
  eventbridge: {"shop.billing/Invoice Paid": InvoicePaidWorker}
`
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Loader{Env: func(string) (string, bool) { return "", false }}).Load(b.Context(), text); err != nil {
			b.Fatal(err)
		}
	}
}
