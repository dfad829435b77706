//go:build integration

package handler

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/test/env"
	"scout/sidekiq"
)

// TestHandleLargeBatch handles one Lambda batch of 5,000 messages with a real Redis.
func TestHandleLargeBatch(t *testing.T) {
	const messages = 5_000
	server := env.Redis(t)
	proxy := env.NewProxy(t, server.Addr, nil)
	client, err := sidekiq.NewClient(sidekiq.Options{URL: "redis://" + proxy.Addr, DedupTTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := &Handler{Router: testRouter, Client: client, Log: slog.New(slog.DiscardHandler)}
	batch := make([]*events.SQSMessage, messages)
	want := make([]string, messages)
	for i := range batch {
		batch[i], want[i] = notification("orders", fmt.Sprint(i)), fmt.Sprint(i)
	}
	e := event(batch...)
	for range 2 { // the second time, all jobs are duplicates
		response, err := h.Handle(t.Context(), e)
		if err != nil || len(response.BatchItemFailures) > 0 {
			t.Fatalf("%d failures, %v", len(response.BatchItemFailures), err)
		}
	}
	if n := proxy.RoundTrips.Load() / 2; n < 1 || n > 60 {
		t.Errorf("%d round trips for %d messages, want at most 60", n, messages)
	} else {
		t.Logf("%d round trips for %d messages", n, messages)
	}

	got := env.Arguments(env.Queued(t, server.Addr, "queue:default"))
	if !slices.Equal(got, want) {
		t.Errorf("%d jobs in the queue, want %d in order", len(got), len(want))
	}
}
