package sidekiq

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/jsonscan"
)

// A Usage says how much work is waiting, and how full Redis is.
type Usage struct {
	Queues     map[string]QueueUsage // by name
	MemoryUsed int64                // bytes
	MemoryMax  int64                // bytes; 0: Redis has no maxmemory
}

// MemoryShare is the part of MemoryMax that is used, 0 if that is 0.
func (l Usage) MemoryShare() float64 {
	if l.MemoryMax == 0 {
		return 0
	}
	return float64(l.MemoryUsed) / float64(l.MemoryMax)
}

// A QueueUsage says how much work waits in a queue.
type QueueUsage struct {
	Length  int           // jobs
	Latency time.Duration // since the next job to run was enqueued, as Sidekiq::Queue#latency has it; 0 if there is none
}

// Usage measures the load of the named queues. It needs permission for LLEN,
// LINDEX and INFO. A queue whose key has another type counts as empty.
func (c *Client) Usage(ctx context.Context, queues []string) (Usage, error) {
	load, err := c.load(ctx, queues)
	if err != nil {
		_, err = classify(err)
		return Usage{}, fmt.Errorf("asking Redis at %s for its load: %w", c.address, err)
	}
	return load, nil
}

// load asks for everything in one round trip.
func (c *Client) load(ctx context.Context, queues []string) (Usage, error) {
	conn, release, err := c.get(ctx)
	if err != nil {
		return Usage{}, err
	}
	defer release()
	_ = conn.Send("INFO", "memory") // what fails here fails at Flush again
	for _, queue := range queues {
		_ = conn.Send("LLEN", c.prefix+"queue:"+queue)
		_ = conn.Send("LINDEX", c.prefix+"queue:"+queue, -1)
	}
	if err := conn.Flush(); err != nil {
		return Usage{}, err
	}
	receive := func() (any, error) { return redis.ReceiveWithTimeout(conn, within(ctx, readTimeout)) }
	memory, err := redis.String(receive())
	if err != nil {
		return Usage{}, err
	}
	info := parseInfo(memory)
	load := Usage{Queues: map[string]QueueUsage{}, MemoryUsed: info.Used, MemoryMax: info.Max}
	now := time.Now()
	for _, queue := range queues {
		length, err := redis.Int(receive())
		if err != nil && !isWrongType(err) {
			return Usage{}, err
		}
		next, err := redis.Bytes(receive())
		if err != nil && err != redis.ErrNil && !isWrongType(err) {
			return Usage{}, err
		}
		load.Queues[queue] = QueueUsage{length, latency(next, now)}
	}
	return load, nil
}

func isWrongType(err error) bool { return isReply(err) && strings.HasPrefix(err.Error(), "WRONGTYPE") }

// latency is how long a job has been waiting, 0 if it does not say since when.
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
		// Sidekiq 8 writes milliseconds, older ones seconds, which reach this
		// number in the year 5138.
		if at < 1e11 {
			at *= 1000
		}
		return max(0, now.Sub(time.UnixMilli(int64(at))))
	}
	return 0
}
