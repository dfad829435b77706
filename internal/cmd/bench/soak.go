package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

const soakInterval = 30 * time.Second

// soakColumns are what may grow over time, and what may become slower.
var soakColumns = []column{
	{"messages/s", 0, func(f figures) float64 { return f.rate }},
	{"µs CPU/message", 1, func(f figures) float64 { return f.cpu }},
	{"RSS MB", 1, func(f figures) float64 { return f.rss }},
	{"goroutines", 0, func(f figures) float64 { return f.goroutines }},
	{"descriptors", 0, func(f figures) float64 { return f.files }},
}

// soak measures throughput over a long time, and reports every soakInterval.
func soak(ctx context.Context, o options, stdout io.Writer) error {
	for _, c := range o.contenders {
		r := newReport(stdout, soakColumns, []contender{c})
		err := c.measureOn(ctx, newEndlessQueue(), o, func(ctx context.Context, s *stand) error {
			go s.keepRedisEmpty(ctx)
			if err := s.warmUp(ctx); err != nil {
				return err
			}
			for end := time.Now().Add(o.duration); time.Now().Before(end); {
				f, err := s.measure(ctx, soakInterval)
				if err != nil {
					return err
				}
				r.add(c.name, f)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.course(c.name)
	}
	return nil
}
