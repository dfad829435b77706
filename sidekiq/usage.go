package sidekiq

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"scout/internal/jsonscan"
)

// A Usage is how much work is waiting and how full Redis is.
type Usage struct {
	Queues     map[string]QueueUsage // by name
	MemoryUsed int64                 // bytes
	MemoryMax  int64                 // bytes; 0 if Redis has no maxmemory
}

// MemoryShare returns MemoryUsed as a share of MemoryMax, or 0 if there is no
// maximum.
func (u Usage) MemoryShare() float64 {
	if u.MemoryMax == 0 {
		return 0
	}
	return float64(u.MemoryUsed) / float64(u.MemoryMax)
}

// A QueueUsage is how much work is waiting in a queue.
type QueueUsage struct {
	Length  int           // jobs
	Latency time.Duration // age of the job that runs next, as in Sidekiq::Queue#latency; 0 if there is none
}

// Usage measures the named queues and Redis's memory. It needs permission for
// LLEN, LINDEX and INFO. A queue whose key has another type counts as empty.
func (c *Client) Usage(ctx context.Context, queues []string) (usage Usage, err error) {
	err = c.withConn(ctx, func(conn *conn) error {
		usage, err = c.measure(conn, queues)
		return err
	})
	if err != nil {
		_, err = c.server.explain(err)
		return Usage{}, fmt.Errorf("measuring the load of Redis at %s: %w", c.server, err)
	}
	return usage, nil
}

// measure asks for everything in one round trip.
func (c *Client) measure(conn *conn, queues []string) (Usage, error) {
	_ = conn.Send("INFO", "memory") // errors of Send come back from Flush
	for _, queue := range queues {
		_ = conn.Send("LLEN", c.prefix+"queue:"+queue)
		_ = conn.Send("LINDEX", c.prefix+"queue:"+queue, -1)
	}
	if err := conn.Flush(); err != nil {
		return Usage{}, err
	}
	conn.replies.maxReply = maxJobReply
	defer func() { conn.replies.maxReply = maxReply }()
	memory, err := as[[]byte](conn.Receive())
	if err != nil {
		return Usage{}, err
	}
	info := parseInfo(string(memory))
	usage := Usage{Queues: map[string]QueueUsage{}, MemoryUsed: info.Used, MemoryMax: info.Max}
	now := time.Now()
	for _, queue := range queues {
		length, err := as[int64](conn.Receive())
		if err != nil && !isWrongType(err) {
			return Usage{}, err
		}
		next, err := conn.Receive()
		if err != nil && !isWrongType(err) {
			return Usage{}, err
		}
		payload, _ := next.([]byte) // nil if there is no job
		usage.Queues[queue] = QueueUsage{int(length), latency(payload, now)}
	}
	return usage, nil
}

// latency returns how long a job has been waiting, or 0 if the job does not say.
func latency(payload []byte, now time.Time) time.Duration {
	if verdict := jsonscan.Check(payload); verdict.Syntax != nil || !jsonscan.IsObject(payload) {
		return 0
	}
	for key, value := range jsonscan.Members(payload) {
		if string(key) != "enqueued_at" {
			continue
		}
		at, err := strconv.ParseFloat(string(value), 64)
		if err != nil {
			return 0
		}
		// Sidekiq 8 writes milliseconds; older versions write seconds, which
		// reach this number in the year 5138.
		if at < 1e11 {
			at *= 1000
		}
		return max(0, now.Sub(time.UnixMilli(int64(at))))
	}
	return 0
}
