package main

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/gomodule/redigo/redis"
)

// A jobWatch finds the jobs that were pushed since it was made.
type jobWatch struct {
	conn   redis.Conn
	prefix string         // of every key
	before map[string]int // jobs in each queue at first
}

func watchJobs(url, namespace string) (*jobWatch, error) {
	conn, err := redis.DialURL(url)
	if err != nil {
		return nil, fmt.Errorf("connecting to Redis: %w", err)
	}
	w := &jobWatch{conn: conn}
	if namespace != "" {
		w.prefix = namespace + ":"
	}
	if w.before, err = w.lengths(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("reading the queues in Redis: %w", err)
	}
	return w, nil
}

func (w *jobWatch) close() { w.conn.Close() }

// lengths returns the length of each Sidekiq queue.
func (w *jobWatch) lengths() (map[string]int, error) {
	queues, err := redis.Strings(w.conn.Do("SMEMBERS", w.prefix+"queues"))
	if err != nil {
		return nil, err
	}
	lengths := make(map[string]int, len(queues))
	for _, queue := range queues {
		if lengths[queue], err = redis.Int(w.conn.Do("LLEN", w.prefix+"queue:"+queue)); err != nil {
			return nil, err
		}
	}
	return lengths, nil
}

// print prints the new jobs, the next one to run first. Jobs that a Sidekiq
// process takes meanwhile are missing.
func (w *jobWatch) print(out io.Writer) error {
	lengths, err := w.lengths()
	if err != nil {
		return fmt.Errorf("reading the jobs in Redis: %w", err)
	}
	fmt.Fprint(out, "\nJOBS\n")
	for _, queue := range slices.Sorted(maps.Keys(lengths)) {
		added := lengths[queue] - w.before[queue]
		if added <= 0 {
			continue
		}
		jobs, err := redis.Strings(w.conn.Do("LRANGE", w.prefix+"queue:"+queue, 0, added-1))
		if err != nil {
			return fmt.Errorf("reading the jobs in Redis: %w", err)
		}
		for _, job := range slices.Backward(jobs) {
			fmt.Fprintln(out, job)
		}
	}
	return nil
}
