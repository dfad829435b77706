package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

var throughputColumns = []column{
	{"messages/s", 0, func(f figures) float64 { return f.rate }},
	{"µs CPU/message", 1, func(f figures) float64 { return f.cpu }},
	{"% of core", 0, func(f figures) float64 { return f.core }},
	{"allocations/message", 1, func(f figures) float64 { return f.mallocs }},
	{"bytes/message", 0, func(f figures) float64 { return f.bytes }},
	{"RSS MB", 1, func(f figures) float64 { return f.rss }},
	{"VmHWM MB", 1, func(f figures) float64 { return f.peakRSS }},
	{"receives in flight", 1, func(f figures) float64 { return f.receiving }},
}

// throughput measures the contenders in turns on a queue that is never empty.
func throughput(ctx context.Context, o options, stdout io.Writer) error {
	r := newReport(stdout, throughputColumns, o.contenders)
	for range o.rounds {
		for _, c := range o.contenders {
			err := c.measureOn(ctx, newEndlessQueue(), o, func(ctx context.Context, s *stand) error {
				go s.keepRedisEmpty(ctx)
				if err := s.warmUp(ctx); err != nil {
					return err
				}
				f, err := s.measure(ctx, o.duration)
				if err == nil {
					r.add(c.name, f)
				}
				return err
			})
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	r.medians(o.contenders)
	return nil
}

// measure returns what the contender does and uses during d from now on.
func (s *stand) measure(ctx context.Context, d time.Duration) (figures, error) {
	start := time.Now()
	_, _, messages := s.sqs.queue.counts()
	before, err := s.usage()
	if err != nil {
		return figures{}, err
	}
	receiving, err := s.sqs.receivesInFlight(ctx, d)
	if err != nil {
		return figures{}, err
	}
	elapsed := time.Since(start)
	_, _, after := s.sqs.queue.counts()
	messages = after - messages
	used, err := s.usage()
	n := float64(messages)
	cpu := used.cpu - before.cpu
	return figures{
		rate:       n / elapsed.Seconds(),
		cpu:        float64(cpu.Microseconds()) / n,
		core:       100 * cpu.Seconds() / elapsed.Seconds(),
		mallocs:    (used.mallocs - before.mallocs) / n,
		bytes:      (used.mallocBytes - before.mallocBytes) / n,
		rss:        used.rss / 1e6,
		peakRSS:    used.peakRSS / 1e6,
		receiving:  receiving,
		files:      used.files,
		goroutines: used.goroutines,
	}, err
}

// receivesInFlight returns the average number of receives in flight during d from
// now on.
func (s *stub) receivesInFlight(ctx context.Context, d time.Duration) (float64, error) {
	const samples = 100
	var sum int64
	for range samples {
		if err := sleep(ctx, d/samples); err != nil {
			return 0, err
		}
		sum += s.receiving.Load()
	}
	return float64(sum) / samples, nil
}
