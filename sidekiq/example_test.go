package sidekiq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"strings"
	"time"

	"scout/internal/devstack"
	"scout/sidekiq"
)

// A job is pushed twice and is in its queue once.
func ExampleClient_Push() {
	server, err := devstack.StartRedis("127.0.0.1:0") // in this process
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	client, err := sidekiq.NewClient(sidekiq.Options{
		URL:      "redis://" + server.Addr(),
		DedupTTL: 24 * time.Hour,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	template := sidekiq.JobTemplate{Class: "Orders::SyncJob", Queue: "critical", Retry: sidekiq.Int(5)}
	job := template.Job(sidekiq.Call{
		ID:   template.JobID(sidekiq.Identity{Kind: "sns", Source: "arn:aws:sns:us-east-1:123456789012:orders", ID: []string{"3f1c5b0e-8d5a-5b0e-9b6e-0a1b2c3d4e5f"}}),
		Args: []json.RawMessage{json.RawMessage(`{"id":1}`)},
		At:   time.Now(),
	})
	for range 2 {
		results, err := client.Push(context.Background(), []sidekiq.Job{job})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("duplicate:", results[0].Outcome == sidekiq.Duplicate)
	}

	queued, err := server.List("queue:critical")
	if err != nil {
		log.Fatal(err)
	}
	for _, payload := range queued {
		beforeID, _, _ := strings.Cut(payload, `,"jid"`) // the rest differs each time
		fmt.Println(beforeID)
	}
	// Output:
	// duplicate: false
	// duplicate: true
	// {"retry":5,"queue":"critical","class":"Orders::SyncJob","args":[{"id":1}]
}
