package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestGuessClass(t *testing.T) {
	for name, want := range map[string]string{
		"orders":             "OrderWorker",
		"order":              "OrderWorker",
		"shop-orders.fifo":   "ShopOrderWorker",
		"shopOrders":         "ShopOrderWorker",
		"user_entries":       "UserEntryWorker",
		"order-status":       "OrderStatusWorker",
		"branches":           "BranchWorker",
		"news":               "NewWorker", // a guess
		"bus":                "BusWorker",
		"2024-orders":        "Topic2024OrderWorker",
		"shop.uploads.2":     "ShopUpload2Worker",
		"my_app-dev-ACCOUNT": "MyAppDevAccountWorker",
	} {
		if got := guessClass(name); got != want {
			t.Errorf("guessClass(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestFindClass(t *testing.T) {
	file := filepath.Join(t.TempDir(), "workers.json")
	if err := os.WriteFile(file, []byte(`{"version":1,"classes":{
		"OrderWorker":{"kind":"sidekiq","args":[1,1]}, "OrderStatusJob":{"kind":"sidekiq","args":[1,null]},
		"Ledger::EntriesJob":{"kind":"active_job","queue":null,"args":[1,1]}, "InvoiceJob":{"kind":"active_job","queue":"low","args":[2,2]},
		"Bad: {":{"kind":"sidekiq"}, "UserConsumer":{"kind":"sidekiq","args":[]}, "UserImportWorker":{}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	classes, err := readClasses(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"orders":               "OrderWorker",
		"shop-prod-orders":     "OrderWorker",
		"orders-created":       "OrderWorker",
		"order-status":         "OrderStatusJob",
		"shop-order-statuses":  "OrderWorker",
		"ledger-entries":       "{class: Ledger::EntriesJob, queue: default}",
		"entries":              "{class: Ledger::EntriesJob, queue: default}",
		"Invoices.fifo":        "{class: InvoiceJob, args: [message, metadata]}",
		"users":                "UserConsumer",
		"user-imports":         "UserImportWorker",
		"bad":                  "",
		"payments":             "",
		"":                     "",
		strings.Repeat("-", 9): "",
	} {
		if got, _ := classes.find(name); got != want {
			t.Errorf("find(%q) = %q, want %q", name, got, want)
		}
	}
}

// initialize runs scout init for a queue of the setup, and checks the file that it
// writes.
func (s *setup) initialize(t *testing.T, redis, queue, want string) {
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	t.Setenv("REDIS_URL", "redis://"+redis)
	file := filepath.Join(t.TempDir(), "scout.yml")
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"init", "--queue", queue, "--region", "us-east-1", "--endpoint", s.endpoint, file}, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("scout init ended with %d:\n%s%s", code, &stdout, &stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	production, _, _ := strings.Cut(string(text), "redis:\n")
	_, rest, _ := strings.Cut(string(text), "set REDIS_URL\n")
	if want = fmt.Sprintf("aws:\n  region: us-east-1\n  endpoint: %s\nqueue:\n  name: %s\n", s.endpoint, queue) + want; rest != want {
		t.Errorf("the file is\n%s\nwant\n%s", rest, want)
	}
	if err := os.WriteFile(file, []byte(production+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, ok, findings := check(t, file); code != exitOK || !ok || len(findings) > 0 {
		t.Errorf("scout check: exit code %d, ok %t, findings:\n%s", code, ok, strings.Join(findings, "\n"))
	}
}
