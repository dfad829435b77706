package config

import (
	"iter"
	"slices"

	"scout/handler"
	"scout/sidekiq"
)

// ClientOptions returns the options for a client of the configured Redis.
func (r Redis) ClientOptions() sidekiq.Options {
	return sidekiq.Options{
		URL:       r.URL.Reveal(),
		TLS:       r.TLS,
		Sentinels: r.Sentinels, SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword.Reveal(),
		Namespace: r.Namespace,
		DedupTTL:  r.DedupTTL,
		Wait:      r.Wait,
	}
}

// Router returns the router for the messages of q, one of the configured queues.
func (c *Config) Router(q Queue) *handler.Router {
	r := handler.NewRouter(handler.Routes{Topics: q.Topics, EventBridge: q.EventBridge, S3: q.S3, Plain: q.Plain, MessageID: q.MessageID})
	if q.DeadSet {
		r.DeadSet = c.Redis.Queue
	}
	r.Sidekiq, r.Milliseconds = c.Redis.Sidekiq, c.Redis.Milliseconds
	r.OmitTrace = c.OmitTrace
	return r
}

// workers yields all workers that messages of the queue may go to.
func (q Queue) workers() iter.Seq[handler.Worker] {
	return func(yield func(handler.Worker) bool) {
		for _, routes := range [][]handler.Route{q.Topics, q.EventBridge, q.S3, {{Outcome: q.Plain}}} {
			for _, route := range routes {
				for w := range handler.Workers(route.Outcome) {
					if !yield(w) {
						return
					}
				}
			}
		}
	}
}

// SidekiqQueues returns the Sidekiq queues that the messages of the given SQS
// queues go to, sorted and each once.
func SidekiqQueues(queues ...Queue) []string {
	var names []string
	for _, q := range queues {
		for w := range q.workers() {
			names = append(names, w.Queue)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
