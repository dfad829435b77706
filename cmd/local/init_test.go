package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scout/config"
	"scout/internal/audit"
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
		"Bad: {":{"kind":"sidekiq","args":[1,1]}, "UserConsumer":{"kind":"sidekiq","args":[0,1]}, "UserImportWorker":{"kind":"sidekiq","args":[1,1]}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := draft{workers: file}.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	classes := appClasses(c.Workers.Classes)
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

// The file is valid for any names.
func TestDraft(t *testing.T) {
	const own, other = "arn:aws:sns:us-east-1:123456789012:", "arn:aws:sns:eu-west-1:210987654321:"
	facts := audit.Facts{Attributes: audit.Attributes{
		"QueueArn": "arn:aws:sqs:us-east-1:123456789012:app",
		"Policy": `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":[
			"arn:aws:s3:::0x10","arn:aws:s3:*:*:shop.uploads","arn:aws:events:us-east-1:123456789012:rule/a\nb: c"]}}}]}`,
	}}
	for _, topic := range []string{own + "123", own + "null", own + "true", own + "users.fifo", own + "-", own + "orders", other + "orders", other + "far", own + "_"} {
		facts.Subscriptions = append(facts.Subscriptions, audit.Subscription{ARN: topic + ":1", Topic: topic})
	}
	facts.Subscriptions[8].Attributes = audit.Attributes{"RawMessageDelivery": "true"}
	d := draft{queue: "app"}
	d.addRoutes(facts)
	text := d.render()
	c, err := config.Loader{}.Load(t.Context(), text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var keys []string
	for _, route := range slices.Concat(c.Queues[0].Topics, c.Queues[0].S3, c.Queues[0].EventBridge) {
		keys = append(keys, route.Key)
	}
	want := []string{"123", "null", "true", "users.fifo", "-", own + "orders", other + "orders", other + "far", "0x10", "shop.uploads", "*/*"}
	if !slices.Equal(keys, want) || c.Queues[0].Plain == nil {
		t.Errorf("the routes are %q, want %q, and plain:\n%s", keys, want, text)
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
