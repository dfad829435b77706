package monitor

import (
	"time"

	"scout/internal/poller"
)

// A Status is what a Scout does at the moment. Its JSON is what /status shows.
type Status struct {
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Stopping bool      `json:"stopping"`
	Config   Config    `json:"config"`
	Redis    Redis     `json:"redis"`
	Queues   []Queue   `json:"queues"`
	Sidekiq  []Sidekiq `json:"sidekiq_queues"` // empty if they could not be looked at
}

// Config says which configuration is in use.
type Config struct {
	Loaded    time.Time `json:"loaded"` // the one in use
	Reloads   int       `json:"reloads"`
	Failures  int       `json:"failed_reloads"`
	LastError string    `json:"last_error,omitempty"` // of the last reload, if that failed
}

// Redis is where the jobs go.
type Redis struct {
	Address    string `json:"address"`
	Failing    bool   `json:"failing"` // the last try to push met trouble
	MemoryUsed int64  `json:"memory_used_bytes"`
	MemoryMax  int64  `json:"memory_max_bytes"` // 0: no limit, or not known
}

// A Queue is an SQS queue that is polled.
type Queue struct {
	Name string `json:"name"`
	poller.Stats
	Exceeded []string `json:"limits_exceeded"` // for which it is not polled
	Depth    *Depth   `json:"depth"`           // nil if it could not be looked at
}

// A Depth is how many messages SQS has, approximately.
type Depth struct {
	Visible  int `json:"visible"`
	InFlight int `json:"in_flight"`
	Delayed  int `json:"delayed"`
}

// A Sidekiq is a queue of Sidekiq.
type Sidekiq struct {
	Name    string  `json:"name"`
	Length  int     `json:"length"`
	Latency float64 `json:"latency_seconds"`
}

// unready says why no messages become jobs now, nothing if they do. That a
// limit is exceeded is no such reason: it is as it should be.
func (s *Status) unready() (reasons []string) {
	if s.Stopping {
		reasons = append(reasons, "Scout is stopping")
	}
	if s.Redis.Failing {
		reasons = append(reasons, "Redis does not take jobs")
	}
	for _, q := range s.Queues {
		switch {
		case q.BreakerOpen:
			reasons = append(reasons, "queue "+q.Name+": receiving nothing until a failure has passed")
		case !q.Started:
			reasons = append(reasons, "queue "+q.Name+": not started yet")
		}
	}
	return reasons
}
