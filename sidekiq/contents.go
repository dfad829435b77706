package sidekiq

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Contents are the jobs that wait in Redis, as Sidekiq's Web UI shows them. Long
// queues, sets and jobs are cut off.
type Contents struct {
	Queues                 []JobList // sorted by name
	Retry, Scheduled, Dead JobList
}

// A JobList is a queue or set with its first jobs.
type JobList struct {
	Name string
	Size int // of the whole queue or set

	// Jobs are the jobs that run next or, in the dead set, the newest ones.
	Jobs []WaitingJob
}

// A WaitingJob is a job in a queue or set.
type WaitingJob struct {
	Payload []byte    // its JSON, cut off after MaxWaitingPayload bytes
	At      time.Time // in a set: when the job runs next or, in the dead set, when it died
}

// The bounds of Contents.
const (
	maxWaitingJobs   = 20
	maxWaitingQueues = 50

	MaxWaitingPayload = 64 << 10
)

// Contents reads the queues and sets. It counts a key of another type as empty. It
// changes nothing, and needs permission for SMEMBERS, TYPE, LLEN, LINDEX, ZCARD, ZRANGE
// and ZREVRANGE.
func (c *Client) Contents(ctx context.Context) (contents Contents, err error) {
	err = c.withConn(ctx, func(conn *conn) error {
		contents, err = c.readContents(ctx, conn)
		return err
	})
	if err != nil {
		_, err = c.server.explain(err)
		return Contents{}, fmt.Errorf("reading the queues in Redis at %s: %w", c.server, err)
	}
	return contents, nil
}

func (c *Client) readContents(ctx context.Context, conn *conn) (contents Contents, err error) {
	conn.replies.maxReply = maxJobReply
	defer func() { conn.replies.maxReply = maxReply }()
	replies, err := conn.pipeline(ctx, []any{"SMEMBERS", c.prefix + "queues"})
	if err != nil {
		return contents, err
	}
	members, _ := replies[0].([]any)
	var names []string
	for _, member := range members {
		if name, ok := member.([]byte); ok {
			names = append(names, string(name))
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxWaitingQueues)] {
		list, err := c.readQueue(ctx, conn, name)
		if err != nil {
			return contents, err
		}
		contents.Queues = append(contents.Queues, list)
	}
	if contents.Retry, err = c.readSet(ctx, conn, "retry", "ZRANGE"); err != nil {
		return contents, err
	}
	if contents.Scheduled, err = c.readSet(ctx, conn, "schedule", "ZRANGE"); err != nil {
		return contents, err
	}
	contents.Dead, err = c.readSet(ctx, conn, "dead", "ZREVRANGE")
	return contents, err
}

func (c *Client) readQueue(ctx context.Context, conn *conn, name string) (JobList, error) {
	list := JobList{Name: name}
	size, jobs, err := readKey(ctx, conn, c.prefix+"queue:"+name, "list", "LLEN", func(key string, i int) []any {
		return []any{"LINDEX", key, -1 - i}
	})
	list.Size = size
	for _, job := range jobs {
		if payload, ok := job.([]byte); ok {
			list.Jobs = append(list.Jobs, WaitingJob{Payload: cutPayload(payload)})
		}
	}
	return list, err
}

// readSet reads the first jobs of a set, in the order of a command.
func (c *Client) readSet(ctx context.Context, conn *conn, name, command string) (JobList, error) {
	list := JobList{Name: name}
	size, jobs, err := readKey(ctx, conn, c.prefix+name, "zset", "ZCARD", func(key string, i int) []any {
		return []any{command, key, i, i, "WITHSCORES"}
	})
	list.Size = size
	for _, job := range jobs {
		pair, _ := job.([]any)
		if len(pair) != 2 {
			continue
		}
		payload, _ := pair[0].([]byte)
		score, _ := pair[1].([]byte)
		at, _ := strconv.ParseFloat(string(score), 64)
		list.Jobs = append(list.Jobs, WaitingJob{cutPayload(payload), time.UnixMilli(int64(at * 1000))})
	}
	return list, err
}

// readKey reads the size of a key and its first elements. It reads each element with
// its own command, because the size of a reply is bounded.
func readKey(ctx context.Context, conn *conn, key, kind, size string, command func(key string, i int) []any) (int, []any, error) {
	replies, err := conn.pipeline(ctx, []any{"TYPE", key})
	if err != nil || replies[0] != kind {
		return 0, nil, err
	}
	commands := [][]any{{size, key}}
	for i := range maxWaitingJobs {
		commands = append(commands, command(key, i))
	}
	if replies, err = conn.pipeline(ctx, commands...); err != nil {
		return 0, nil, err
	}
	n, err := as[int64](replies[0], nil)
	return int(n), replies[1:], err
}

func cutPayload(payload []byte) []byte {
	return slices.Clone(payload[:min(len(payload), MaxWaitingPayload)])
}
