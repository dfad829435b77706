package monitor

import (
	"runtime"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"scout/handler"
	"scout/internal/backpressure"
)

// handled are the metrics that are counted as batches are handled. All others
// are read from the Status when somebody asks.
type handled struct {
	enqueued, duplicate, failed *prometheus.CounterVec
	push, latency               *prometheus.HistogramVec
}

func newHandled() *handled {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"queue"}, labels...))
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, []string{"queue"})
	}
	return &handled{
		enqueued:  counter("scout_messages_enqueued_total", "Messages of which at least one job was new."),
		duplicate: counter("scout_messages_duplicate_total", "Messages whose jobs were all in Redis before."),
		failed:    counter("scout_messages_failed_total", "Messages that were kept, by the reason.", "reason"),
		push: histogram("scout_push_duration_seconds", "How long Redis took for a batch.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		latency: histogram("scout_message_latency_seconds", "From when a message was sent to SQS until its job was in Redis.",
			[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600}),
	}
}

func (h *handled) all() []prometheus.Collector {
	return []prometheus.Collector{h.enqueued, h.duplicate, h.failed, h.push, h.latency}
}

// Observe returns a function to call with the Stats of each batch of an SQS
// queue. All its metrics are there from then on, at 0.
func (m *Monitor) Observe(queue string) func(handler.Stats) {
	h := m.handled
	enqueued, duplicate := h.enqueued.WithLabelValues(queue), h.duplicate.WithLabelValues(queue)
	push, latency := h.push.WithLabelValues(queue), h.latency.WithLabelValues(queue)
	for _, reason := range handler.Reasons {
		h.failed.WithLabelValues(queue, string(reason))
	}
	return func(s handler.Stats) {
		enqueued.Add(float64(s.Enqueued))
		duplicate.Add(float64(s.Duplicate))
		for reason, n := range s.Failed {
			h.failed.WithLabelValues(queue, string(reason)).Add(float64(n))
		}
		if s.Push > 0 {
			push.Observe(s.Push.Seconds())
		}
		for _, d := range s.Latencies {
			latency.Observe(d.Seconds())
		}
	}
}

// A reading is a metric that is read from the Status.
type reading struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func counter(name, help string, labels ...string) reading {
	return reading{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) reading {
	return reading{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

var (
	buildInfo = gauge("scout_build_info", "1, with the versions in its labels.", "version", "goversion")

	receives      = counter("scout_receives_total", "Receives from SQS, by their result.", "queue", "result")
	received      = counter("scout_messages_received_total", "Messages received.", "queue")
	deleted       = counter("scout_messages_deleted_total", "Messages deleted, since their jobs are in Redis.", "queue")
	deletesFailed = counter("scout_message_deletes_failed_total", "Messages that could not be deleted; they come again and are recognised.", "queue")
	returned      = counter("scout_messages_returned_total", "Messages given back to SQS before their visibility timeout.", "queue")
	extended      = counter("scout_messages_extended_total", "Times that the visibility timeout of a message was lengthened.", "queue")

	polls     = gauge("scout_polls_in_flight", "Polls, from receive to delete.", "queue")
	receiving = gauge("scout_receives_in_flight", "Polls that are receiving.", "queue")
	inHand    = gauge("scout_messages_in_flight", "Messages that are being handled.", "queue")
	breaker   = gauge("scout_breaker_open", "1 while nothing is received because of a failure.", "queue")
	exceeded  = gauge("scout_backpressure_active", "1 while nothing is received because a limit is exceeded.", "queue", "limit")
	depth     = gauge("scout_sqs_messages", "Messages in the SQS queue, approximately.", "queue", "state")

	sidekiqLength  = gauge("scout_sidekiq_queue_length", "Jobs in a queue of Sidekiq.", "sidekiq_queue")
	sidekiqLatency = gauge("scout_sidekiq_queue_latency_seconds", "How long the next job of a queue of Sidekiq has waited.", "sidekiq_queue")
	memoryUsed     = gauge("scout_redis_memory_used_bytes", "Redis's memory in use.")
	memoryMax      = gauge("scout_redis_memory_max_bytes", "Redis's maxmemory, 0 if it has none.")

	reloads   = counter("scout_config_reloads_total", "Times that the configuration was read again.", "result")
	reloaded  = gauge("scout_config_last_reload_successful", "1 unless the last reload failed.")
	loadedAt  = gauge("scout_config_last_reload_success_timestamp_seconds", "When the configuration in use was loaded.")
	allOfThem = []reading{buildInfo, receives, received, deleted, deletesFailed, returned, extended, polls, receiving, inHand,
		breaker, exceeded, depth, sidekiqLength, sidekiqLatency, memoryUsed, memoryMax, reloads, reloaded, loadedAt}
)

// Describe implements prometheus.Collector.
func (m *Monitor) Describe(descs chan<- *prometheus.Desc) {
	for _, r := range allOfThem {
		descs <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (m *Monitor) Collect(metrics chan<- prometheus.Metric) {
	add := func(r reading, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(r.desc, r.kind, value, labels...)
	}
	s := m.status()
	add(buildInfo, 1, s.Version, runtime.Version())
	for _, q := range s.Queues {
		q.collect(add)
	}
	for _, q := range s.Sidekiq {
		add(sidekiqLength, float64(q.Length), q.Name)
		add(sidekiqLatency, q.Latency, q.Name)
	}
	if s.Redis.MemoryUsed > 0 {
		add(memoryUsed, float64(s.Redis.MemoryUsed))
		add(memoryMax, float64(s.Redis.MemoryMax))
	}
	add(reloads, float64(s.Config.Reloads), "ok")
	add(reloads, float64(s.Config.Failures), "failed")
	add(reloaded, one(s.Config.LastError == ""))
	add(loadedAt, float64(s.Config.Loaded.UnixMilli())/1000)
}

func (q *Queue) collect(add func(reading, float64, ...string)) {
	add(receives, float64(q.Receives.Messages), q.Name, "messages")
	add(receives, float64(q.Receives.Empty), q.Name, "empty")
	add(receives, float64(q.Receives.Errors), q.Name, "error")
	add(received, float64(q.Received), q.Name)
	add(deleted, float64(q.Deleted), q.Name)
	add(deletesFailed, float64(q.DeletesFailed), q.Name)
	add(returned, float64(q.Returned), q.Name)
	add(extended, float64(q.Extended), q.Name)
	add(polls, float64(q.PollsInFlight), q.Name)
	add(receiving, float64(q.ReceivesInFlight), q.Name)
	add(inHand, float64(q.MessagesInFlight), q.Name)
	add(breaker, one(q.BreakerOpen), q.Name)
	for _, limit := range backpressure.Names {
		add(exceeded, one(slices.Contains(q.Exceeded, limit)), q.Name, limit)
	}
	if q.Depth != nil {
		add(depth, float64(q.Depth.Visible), q.Name, "visible")
		add(depth, float64(q.Depth.InFlight), q.Name, "in_flight")
		add(depth, float64(q.Depth.Delayed), q.Name, "delayed")
	}
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func newRegistry(m *Monitor) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(m, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	registry.MustRegister(m.handled.all()...)
	return registry
}
