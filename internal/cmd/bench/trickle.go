package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// trickle measures how soon a message that is published to an empty queue becomes
// a job in Redis, and how many receives are in flight when no more messages come.
func trickle(ctx context.Context, o options, stdout io.Writer) error {
	for range o.rounds {
		for _, c := range o.contenders {
			err := c.measureOn(ctx, newQueue(), o, func(ctx context.Context, s *stand) error {
				return s.trickle(ctx, o, c.name, stdout)
			})
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

func (s *stand) trickle(ctx context.Context, o options, name string, stdout io.Writer) error {
	s.sqs.queue.publish() // for warmUp; not measured
	if err := s.warmUp(ctx); err != nil {
		return err
	}
	t := &timing{published: make([]time.Time, 1)}
	consumer := sync.WaitGroup{}
	consuming, stop := context.WithCancel(ctx)
	defer stop()
	consumer.Go(func() { t.consume(consuming, s.socket) })
	if err := t.publish(ctx, s.sqs.queue, o.rate, o.duration); err != nil {
		return err
	}
	if err := sleep(ctx, 2*time.Second); err != nil {
		return err
	}
	stop()
	consumer.Wait()
	idle, err := s.sqs.receivesInFlight(ctx, 2*time.Second)
	fmt.Fprintf(stdout, "%s  %v; idle: %.1f receives in flight\n", name, t, idle)
	return err
}

// A timing records when messages were published, and how long they took to
// become jobs.
type timing struct {
	mu        sync.Mutex
	published []time.Time // by the message's number
	took      []time.Duration
}

// publish publishes rate messages per second during d.
func (t *timing) publish(ctx context.Context, q *queue, rate int, d time.Duration) error {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			t.mu.Lock()
			t.published = append(t.published, time.Now())
			t.mu.Unlock()
			q.publish()
		}
	}
	return nil
}

// messageID matches the id in a job, and in the message itself, where the quotes
// are escaped.
var messageID = regexp.MustCompile(`id\\*":(\d{12})\D`)

// consume takes jobs from Redis, as Sidekiq does, until ctx ends.
func (t *timing) consume(ctx context.Context, socket string) {
	conn, err := redis.Dial("unix", socket)
	if err != nil {
		return
	}
	defer conn.Close()
	for ctx.Err() == nil {
		job, err := redis.ByteSlices(conn.Do("BRPOP", "queue:default", 1))
		if err != nil {
			continue
		}
		now := time.Now()
		id, _ := strconv.Atoi(string(messageID.FindSubmatch(job[1])[1])) // all have one
		if number := id - firstID; number > 0 {
			t.mu.Lock()
			t.took = append(t.took, now.Sub(t.published[number]))
			t.mu.Unlock()
		}
	}
}

func (t *timing) String() string {
	n := len(t.took)
	if n == 0 {
		return "no message became a job"
	}
	slices.Sort(t.took)
	ms := func(i int) float64 { return float64(t.took[i].Microseconds()) / 1000 }
	return fmt.Sprintf("%d of %d messages became jobs, after %.2f ms (p50), %.2f ms (p99), %.2f ms (max)",
		n, len(t.published)-1, ms(n/2), ms(n*99/100), ms(n-1))
}
