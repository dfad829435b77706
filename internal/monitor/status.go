package monitor

import (
	"time"

	"scout/internal/poller"
)

// A Status is what Scout is doing. Its JSON form is what /status shows.
type Status struct {
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Stopping bool      `json:"stopping"`
	Config   Config    `json:"config"`
	Redis    Redis     `json:"redis"`
	Queues   []Queue   `json:"queues"`
	Sidekiq  []Sidekiq `json:"sidekiq_queues"` // empty if they could not be measured

	DroppedLogLines int64 `json:"dropped_log_lines"`
}

// Config is the history of the configuration.
type Config struct {
	Loaded    time.Time `json:"loaded"` // when the configuration in use was loaded
	Reloads   int       `json:"reloads"`
	Failures  int       `json:"failed_reloads"`
	LastError string    `json:"last_error,omitempty"` // of the last reload, if it failed

	// LastErrorReason is what LastError is about, one of ReloadReasons.
	LastErrorReason string `json:"last_error_reason,omitempty"`
}

// The reasons why a reload fails.
const (
	ReasonConfig = "config" // the configuration cannot be loaded or is invalid
	ReasonAWS    = "aws"    // AWS cannot be used
	ReasonQueue  = "queue"  // an SQS queue cannot be used
	ReasonRedis  = "redis"  // Redis cannot be used
)

// ReloadReasons are all of these reasons.
var ReloadReasons = []string{ReasonConfig, ReasonAWS, ReasonQueue, ReasonRedis}

// Redis is where jobs are pushed to.
type Redis struct {
	Address string `json:"address"`
	Failing bool   `json:"failing"` // the last attempt to push failed
	// Unconfirmed is the number of writes that replicas did not confirm; see redis.wait.
	Unconfirmed int64 `json:"replication_unconfirmed"`

	MemoryUsed int64 `json:"memory_used_bytes"`
	MemoryMax  int64 `json:"memory_max_bytes"` // 0 if there is no limit or it is unknown
}

// A Queue is an SQS queue that is polled.
type Queue struct {
	Name string `json:"name"`
	poller.Stats
	Exceeded []string `json:"limits_exceeded"` // the limits that pause polling
	Depth    *Depth   `json:"depth"`           // nil if it is unknown
}

// A Depth is how many messages an SQS queue has, approximately.
type Depth struct {
	Visible  int `json:"visible"`
	InFlight int `json:"in_flight"`
	Delayed  int `json:"delayed"`
}

// A Sidekiq is a Sidekiq queue.
type Sidekiq struct {
	Name    string  `json:"name"`
	Length  int     `json:"length"`
	Latency float64 `json:"latency_seconds"`
}

// unready returns why messages do not become jobs now, or nothing if they do. An exceeded limit does
// not count, because it is meant to pause polling.
func (s *Status) unready() (reasons []string) {
	if s.Stopping {
		reasons = append(reasons, "Scout is stopping")
	}
	if s.Redis.Failing {
		reasons = append(reasons, "Redis does not accept jobs")
	}
	for _, q := range s.Queues {
		switch {
		case q.BreakerOpen:
			reasons = append(reasons, "queue "+q.Name+": polling is paused because of a failure")
		case !q.Started:
			reasons = append(reasons, "queue "+q.Name+": not started yet")
		}
	}
	return reasons
}

// stalled returns which polling loops hang, or nothing if all of them run. While Scout is stopping,
// loops that have ended do not count.
func (s *Status) stalled() (reasons []string) {
	for _, q := range s.Queues {
		if q.Stalled() && !s.Stopping {
			reasons = append(reasons, "queue "+q.Name+": the polling loop hangs")
		}
	}
	return reasons
}
