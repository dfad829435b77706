package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"scout/handler"
	"scout/sidekiq"
)

// String returns the whole configuration, defaults included, as YAML that loads
// again, but without its secrets: of the Redis URL only the address is left.
func (c Config) String() string {
	var text strings.Builder
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(c); err != nil {
		return "configuration cannot be shown: " + err.Error()
	}
	return text.String()
}

// The shape of the file.
type (
	fileShape struct {
		Redis           redisShape
		AWS             awsShape     `yaml:"aws,omitempty"`
		Queue           *queueShape  `yaml:",omitempty"`
		Queues          []queueShape `yaml:",omitempty"`
		Limits          limitsShape  `yaml:",omitempty"`
		ShutdownTimeout string       `yaml:"shutdown_timeout"`
	}
	redisShape struct {
		URL        string
		Namespace  string `yaml:",omitempty"`
		Queue      string
		Timestamps string
		DedupTTL   string `yaml:"dedup_ttl"`
	}
	awsShape struct {
		Region    string `yaml:",omitempty"`
		AccessKey Secret `yaml:"access_key,omitempty"`
		SecretKey Secret `yaml:"secret_key,omitempty"`
		Endpoint  string `yaml:",omitempty"`
	}
	queueShape struct {
		Name              string `yaml:",omitempty"`
		URL               string `yaml:",omitempty"`
		WaitTime          string `yaml:"wait_time"`
		VisibilityTimeout string `yaml:"visibility_timeout"`
		MaxMessages       int    `yaml:"max_messages"`
		Concurrency       int
		Topics            map[string][]workerShape
	}
	limitsShape struct {
		QueueLength int    `yaml:"queue_length,omitempty"`
		Latency     string `yaml:",omitempty"`
		RedisMemory string `yaml:"redis_memory,omitempty"`
	}
	workerShape struct {
		Class     string
		Queue     string
		Args      []string `yaml:",omitempty,flow"`
		Retry     any      `yaml:",omitempty"`
		RetryFor  string   `yaml:"retry_for,omitempty"`
		Backtrace any      `yaml:",omitempty"`
		Dead      any      `yaml:",omitempty"`
		Tags      []string `yaml:",omitempty,flow"`
		ActiveJob bool     `yaml:"active_job,omitempty"`
	}
)

// MarshalYAML returns c in the shape of the file.
func (c Config) MarshalYAML() (any, error) {
	timestamps := "seconds"
	if c.Redis.Milliseconds {
		timestamps = "milliseconds"
	}
	file := fileShape{
		Redis:           redisShape{c.Redis.Address(), c.Redis.Namespace, c.Redis.Queue, timestamps, short(c.Redis.DedupTTL)},
		AWS:             awsShape(c.AWS),
		Limits:          c.Limits.shape(),
		ShutdownTimeout: short(c.ShutdownTimeout),
	}
	for _, q := range c.Queues {
		file.Queues = append(file.Queues, q.shape())
	}
	if len(file.Queues) == 1 {
		file.Queue, file.Queues = &file.Queues[0], nil
	}
	return file, nil
}

func (q Queue) shape() queueShape {
	topics := make(map[string][]workerShape, len(q.Topics))
	for _, route := range q.Topics {
		for _, w := range route.Workers {
			topics[route.Topic] = append(topics[route.Topic], shapeOf(w))
		}
	}
	return queueShape{q.Name, q.URL, short(q.WaitTime), short(q.VisibilityTimeout), q.MaxMessages, q.Concurrency, topics}
}

func (l Limits) shape() limitsShape {
	shape := limitsShape{QueueLength: l.QueueLength}
	if l.Latency > 0 {
		shape.Latency = short(l.Latency)
	}
	if l.RedisMemory > 0 {
		shape.RedisMemory = strconv.Itoa(l.RedisMemory) + "%"
	}
	return shape
}

func shapeOf(w handler.Worker) workerShape {
	shape := workerShape{
		Class:     w.Class,
		Queue:     w.Queue,
		Retry:     plain(w.Retry),
		Backtrace: plain(w.Backtrace),
		Tags:      w.Tags,
		ActiveJob: w.ActiveJob,
	}
	for _, a := range w.Args {
		shape.Args = append(shape.Args, a.String())
	}
	if w.RetryFor > 0 {
		shape.RetryFor = short(w.RetryFor)
	}
	if w.NoDead {
		shape.Dead = false
	}
	return shape
}

// plain is the option as the bool or int that it is, nil if it was not said.
func plain(o sidekiq.BoolOrInt) any {
	if i, err := strconv.Atoi(o.String()); err == nil {
		return i
	}
	if o.IsZero() {
		return nil
	}
	return o == sidekiq.Bool(true)
}
