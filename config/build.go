package config

import (
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

// Router returns the router for the topics of q, one of the configured queues.
func (c *Config) Router(q Queue) *handler.Router {
	r := handler.NewRouter(q.Topics)
	r.Sidekiq, r.Milliseconds = c.Redis.Sidekiq, c.Redis.Milliseconds
	r.OmitTrace = c.OmitTrace
	return r
}

// SidekiqQueues returns the Sidekiq queues that the messages of the given SQS
// queues go to, sorted and each once.
func SidekiqQueues(queues ...Queue) []string {
	var names []string
	for _, q := range queues {
		for _, route := range q.Topics {
			for _, w := range route.Workers {
				names = append(names, w.Queue)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
