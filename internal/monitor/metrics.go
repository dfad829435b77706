package monitor

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"scout/handler"
	"scout/internal/backpressure"
)

// metrics are those that are counted as batches are handled. All others are readings.
type metrics struct {
	enqueued, duplicate, ignored, dead, failed *prometheus.CounterVec
	push, latency                              *prometheus.HistogramVec
}

// newMetrics makes the metrics and registers them.
func newMetrics(registry *prometheus.Registry) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"queue"}, labels...))
		registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets ...float64) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"queue"})
		registry.MustRegister(h)
		return h
	}
	return &metrics{
		enqueued:  counter("scout_messages_enqueued_total", "Messages with at least one new job."),
		duplicate: counter("scout_messages_duplicate_total", "Messages whose jobs were all in Redis already."),
		ignored:   counter("scout_messages_ignored_total", "Messages that get no job, as the configuration says."),
		dead:      counter("scout_messages_dead_total", "Rejected messages that were put into Sidekiq's dead set."),
		failed:    counter("scout_messages_failed_total", "Messages that stay in the queue, by reason.", "reason"),
		push: histogram("scout_push_duration_seconds", "Time that Redis took for a batch.",
			.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10),
		latency: histogram("scout_message_latency_seconds", "Time from sending a message to SQS until its job was in Redis.",
			.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6*3600, 24*3600),
	}
}

// Observe returns a function to call with the Stats of each batch of an SQS queue. The queue's
// metrics exist from then on, at 0.
func (m *Monitor) Observe(queue string) func(handler.Stats) {
	enqueued, duplicate := m.metrics.enqueued.WithLabelValues(queue), m.metrics.duplicate.WithLabelValues(queue)
	ignored, dead := m.metrics.ignored.WithLabelValues(queue), m.metrics.dead.WithLabelValues(queue)
	push, latency := m.metrics.push.WithLabelValues(queue), m.metrics.latency.WithLabelValues(queue)
	for _, reason := range handler.Reasons {
		m.metrics.failed.WithLabelValues(queue, string(reason))
	}
	return func(s handler.Stats) {
		enqueued.Add(float64(s.Enqueued))
		duplicate.Add(float64(s.Duplicate))
		ignored.Add(float64(s.Ignored))
		dead.Add(float64(s.Dead))
		for reason, n := range s.Failed {
			m.metrics.failed.WithLabelValues(queue, string(reason)).Add(float64(n))
		}
		if s.Push > 0 {
			push.Observe(s.Push.Seconds())
		}
		for _, d := range s.Latencies {
			latency.Observe(d.Seconds())
		}
	}
}

// A reading is a metric that is read from the Status when /metrics is requested.
type reading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*Status, emit)
}

// An emit function adds a sample to a metric.
type emit func(value float64, labels ...string)

// readings are all such metrics. To add one, add it to this table.
var readings = []reading{
	gauge("scout_build_info", "Always 1; the labels have the versions.", []string{"version", "goversion"},
		func(s *Status, emit emit) { emit(1, s.Version, runtime.Version()) }),

	counter("scout_receives_total", "Receives from SQS, by result.", []string{"queue", "result"},
		eachQueue(func(q *Queue, emit emit) {
			emit(float64(q.Receives.Messages), q.Name, "messages")
			emit(float64(q.Receives.Empty), q.Name, "empty")
			emit(float64(q.Receives.Errors), q.Name, "error")
		})),
	queueCounter("scout_messages_received_total", "Messages received.",
		func(q *Queue) int64 { return q.Received }),
	queueCounter("scout_messages_deleted_total", "Messages deleted because their jobs are in Redis, or they are ignored or in the dead set.",
		func(q *Queue) int64 { return q.Deleted }),
	queueCounter("scout_message_deletes_failed_total", "Messages that could not be deleted; they are redelivered and recognized.",
		func(q *Queue) int64 { return q.DeletesFailed }),
	queueCounter("scout_messages_returned_total", "Messages returned to the queue before their visibility timeout.",
		func(q *Queue) int64 { return q.Returned }),
	queueCounter("scout_messages_extended_total", "Extensions of the visibility timeout of a message.",
		func(q *Queue) int64 { return q.Extended }),
	queueGauge("scout_polls_in_flight", "Polls in flight, from receive to delete.",
		func(q *Queue) int64 { return q.PollsInFlight }),
	queueGauge("scout_receives_in_flight", "Polls that are receiving.",
		func(q *Queue) int64 { return q.ReceivesInFlight }),
	queueGauge("scout_messages_in_flight", "Messages being handled.",
		func(q *Queue) int64 { return q.MessagesInFlight }),
	queueGauge("scout_breaker_open", "1 while polling is paused because of a failure.",
		func(q *Queue) int64 { return one(q.BreakerOpen) }),
	gauge("scout_backpressure_active", "1 while polling is paused because a limit is exceeded.", []string{"queue", "limit"},
		eachQueue(func(q *Queue, emit emit) {
			for _, limit := range backpressure.Names {
				emit(float64(one(slices.Contains(q.Exceeded, limit))), q.Name, limit)
			}
		})),
	gauge("scout_sqs_messages", "Messages in the SQS queue, approximately.", []string{"queue", "state"},
		eachQueue(func(q *Queue, emit emit) {
			if q.Depth != nil {
				emit(float64(q.Depth.Visible), q.Name, "visible")
				emit(float64(q.Depth.InFlight), q.Name, "in_flight")
				emit(float64(q.Depth.Delayed), q.Name, "delayed")
			}
		})),

	counter("scout_log_lines_dropped_total", "Log lines that were dropped because the log could not be written.", nil,
		func(s *Status, emit emit) { emit(float64(s.DroppedLogLines)) }),

	gauge("scout_sidekiq_queue_length", "Jobs in a Sidekiq queue.", []string{"sidekiq_queue"},
		eachSidekiqQueue(func(q Sidekiq) float64 { return float64(q.Length) })),
	gauge("scout_sidekiq_queue_latency_seconds", "How long the next job of a Sidekiq queue has waited.", []string{"sidekiq_queue"},
		eachSidekiqQueue(func(q Sidekiq) float64 { return q.Latency })),
	counter("scout_redis_replication_unconfirmed_total", "Writes that fewer replicas confirmed than redis.wait requires.", nil,
		func(s *Status, emit emit) { emit(float64(s.Redis.Unconfirmed)) }),
	gauge("scout_redis_memory_used_bytes", "Memory that Redis uses.", nil,
		redisMemory(func(r Redis) int64 { return r.MemoryUsed })),
	gauge("scout_redis_memory_max_bytes", "Redis's maxmemory, 0 if it has none.", nil,
		redisMemory(func(r Redis) int64 { return r.MemoryMax })),

	counter("scout_config_reloads_total", "Reloads of the configuration, by result.", []string{"result"},
		func(s *Status, emit emit) {
			emit(float64(s.Config.Reloads), "ok")
			emit(float64(s.Config.Failures), "failed")
		}),
	gauge("scout_config_last_reload_successful", "1 unless the last reload failed.", nil,
		func(s *Status, emit emit) { emit(float64(one(s.Config.LastError == ""))) }),
	gauge("scout_config_last_reload_failed", "1 if the last reload failed for the reason.", []string{"reason"},
		func(s *Status, emit emit) {
			for _, reason := range ReloadReasons {
				emit(float64(one(s.Config.LastErrorReason == reason)), reason)
			}
		}),
	gauge("scout_config_last_reload_success_timestamp_seconds", "When the configuration in use was loaded.", nil,
		func(s *Status, emit emit) { emit(float64(s.Config.Loaded.UnixMilli()) / 1000) }),
}

func counter(name, help string, labels []string, read func(*Status, emit)) reading {
	return reading{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue, read}
}

func gauge(name, help string, labels []string, read func(*Status, emit)) reading {
	return reading{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue, read}
}

// queueCounter and queueGauge are metrics with one value for each SQS queue.
func queueCounter(name, help string, value func(*Queue) int64) reading {
	return counter(name, help, []string{"queue"}, eachQueue(func(q *Queue, emit emit) { emit(float64(value(q)), q.Name) }))
}

func queueGauge(name, help string, value func(*Queue) int64) reading {
	return gauge(name, help, []string{"queue"}, eachQueue(func(q *Queue, emit emit) { emit(float64(value(q)), q.Name) }))
}

func eachQueue(read func(*Queue, emit)) func(*Status, emit) {
	return func(s *Status, emit emit) {
		for i := range s.Queues {
			read(&s.Queues[i], emit)
		}
	}
}

func eachSidekiqQueue(value func(Sidekiq) float64) func(*Status, emit) {
	return func(s *Status, emit emit) {
		for _, q := range s.Sidekiq {
			emit(value(q), q.Name)
		}
	}
}

// redisMemory emits nothing while the memory of Redis is unknown.
func redisMemory(value func(Redis) int64) func(*Status, emit) {
	return func(s *Status, emit emit) {
		if s.Redis.MemoryUsed > 0 {
			emit(float64(value(s.Redis)))
		}
	}
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// Describe implements prometheus.Collector.
func (m *Monitor) Describe(descs chan<- *prometheus.Desc) {
	for _, r := range readings {
		descs <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (m *Monitor) Collect(samples chan<- prometheus.Metric) {
	s := m.status()
	for _, r := range readings {
		r.read(&s, func(value float64, labels ...string) {
			samples <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
		})
	}
}

func newRegistry(m *Monitor) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
