package config

import (
	"slices"

	"scout/handler"
	"scout/sidekiq"
)

// ClientOptions are the options of a client for the configured Redis.
func (r Redis) ClientOptions() sidekiq.Options {
	return sidekiq.Options{URL: r.URL.Reveal(), Namespace: r.Namespace, DedupTTL: r.DedupTTL}
}

// Router returns the router over the topics of q, one of the configured queues.
func (c *Config) Router(q Queue) *handler.Router {
	r := handler.NewRouter(q.Topics)
	r.Milliseconds = c.Redis.Milliseconds
	return r
}

// SidekiqQueues are the Sidekiq queues that the given queues push to, sorted.
func SidekiqQueues(of ...Queue) []string {
	var queues []string
	for _, q := range of {
		for _, route := range q.Topics {
			for _, w := range route.Workers {
				queues = append(queues, w.Queue)
			}
		}
	}
	slices.Sort(queues)
	return slices.Compact(queues)
}
