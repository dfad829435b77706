package handler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// deadRouter sends rejected messages to the dead set.
func deadRouter(routes Routes) *Router {
	r := NewRouter(routes)
	r.DeadSet = "default"
	return r
}

// dead returns the entries of the dead set.
func dead(t *testing.T, server *miniredis.Miniredis) (entries []map[string]json.RawMessage) {
	t.Helper()
	members, err := server.ZMembers("dead")
	if err != nil && !errors.Is(err, miniredis.ErrKeyNotFound) {
		t.Fatal(err)
	}
	for _, member := range members {
		var entry map[string]json.RawMessage
		if verdict := jsonscan.Check([]byte(member)); verdict.Syntax != nil || verdict.Refused != nil {
			t.Fatalf("%s: %+v", member, verdict)
		}
		if err := json.Unmarshal([]byte(member), &entry); err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry)
	}
	return entries
}

func TestDeadLetters(t *testing.T) {
	routes := mixedRoutes
	routes.Topics = append([]Route{{"fan", List{
		Worker{JobTemplate: sidekiq.JobTemplate{Class: "A", Queue: "default", Retry: sidekiq.Int(7)}, Args: []Arg{ArgMessage, ArgMetadata}},
		Worker{JobTemplate: sidekiq.JobTemplate{Class: "B", Queue: "low", ActiveJob: true}},
	}}}, routes.Topics...)
	const metadata = `{"source":"sns","topic":"fan","topic_arn":"arn:aws:sns:us-east-1:123456789012:fan","message_id":"sns-0","subject":"Hi","timestamp":"2026-01-02T03:04:05.678Z","attributes":{},"sqs_message_id":"m0","receive_count":2}`
	for _, c := range []struct {
		name  string
		m     *events.SQSMessage
		error string
		want  []string // class, retry and args of each entry; %s stands for the body
	}{
		{"text", sent(`{"Type":"x`), "", nil}, // plain
		{"control message", sent(strings.Replace(notification("orders", "1").Body, "Notification", "SubscriptionConfirmation", 1)), "not_envelope: a subscription", []string{`"Scout::RejectedMessage" 0 [%s]`}},
		{"no route", notification("nope", `{"id":1.0}`), `no_route: no worker is configured for the topic \"nope\"`, []string{`"Scout::RejectedMessage" 0 [%s]`}},
		{"no route of a choice", notification("typed", `{}`), "no_route", []string{`"Scout::RejectedMessage" 0 [%s]`}},
		{"unacceptable, for two workers", notification("fan", `{"a":1,"a":2}`), "unacceptable: the message is JSON", []string{
			`"A" 7 ["{\"a\":1,\"a\":2}",` + metadata + `]`, `"ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper" true "{\"a\":1,\"a\":2}"`}},
		{"unacceptable for ActiveJob alone", notification("fan", `{"_aj_x":1}`), "unacceptable", []string{
			`"A" 7 [{"_aj_x":1},` + metadata + `]`, `"ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper" true "{\"_aj_x\":1}"`}},
		{"unacceptable, and the body chooses", notification("typed", `{"a":1,"a":2}`), "unacceptable", []string{`"Scout::RejectedMessage" 0 [%s]`}},
		{"unacceptable envelope", sent(strings.Replace(notification("orders", "1").Body, `"Hi"`, `"\ud800"`, 1)), "unacceptable: the SNS envelope", []string{`"OrderWorker" true [1]`}},
		{"two records, one without a route", sent(s3Body(s3Put, strings.Replace(s3Put, "shop-uploads", "other", 1))), "no_route", []string{`"Scout::RejectedMessage" 0 [%s]`}},
		{"plain, unacceptable", sent(`{"a":1e999}`), "unacceptable", []string{`"AnyWorker" true ["{\"a\":1e999}"]`}},
		{"event, unacceptable", sent(`{"source":"aws.s3","detail-type":"Object Created","detail":{"a":1e999}}`), "unacceptable", []string{`"UploadWorker" true ["{\"a\":1e999}"]`}},
		{"event, doubtful", sent(`{"source":"x","source":"y","detail-type":"x","detail":{}}`), "not_envelope", []string{`"Scout::RejectedMessage" 0 ["{\"source\":\"x\",\"source\":\"y\",\"detail-type\":\"x\",\"detail\":{}}"]`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, server := newTestHandler(t)
			h.Router = deadRouter(routes)
			batch := event(c.m)
			for try, want := range []Stats{{Received: 1, Dead: 1}, {Received: 1, Duplicate: 1}} {
				response, stats, err := h.Process(t.Context(), batch)
				if c.want == nil {
					want = Stats{Received: 1, Enqueued: 1 - try, Duplicate: try}
				}
				if err != nil || len(response.BatchItemFailures) > 0 || stats.Dead != want.Dead || stats.Duplicate != want.Duplicate || stats.Enqueued != want.Enqueued {
					t.Fatalf("try %d: failed %q, %v, %+v", try, failed(response), err, stats)
				}
			}
			var got []string
			for _, entry := range dead(t, server) {
				args := string(entry["args"])
				if inner := strings.Index(args, `"arguments":[`); inner >= 0 { // of an ActiveJob
					args, _, _ = strings.Cut(args[inner+len(`"arguments":[`):], `],"executions"`)
				}
				got = append(got, fmt.Sprint(string(entry["class"]), " ", string(entry["retry"]), " ", args))
				if message := string(entry["error_message"]); !strings.Contains(message, c.error) || string(entry["error_class"]) != `"Scout::Rejected"` || entry["failed_at"] == nil {
					t.Errorf("error %s, class %s, failed at %s", message, entry["error_class"], entry["failed_at"])
				}
				if jid := strings.Trim(string(entry["jid"]), `"`); !server.Exists("scout:" + jid + ":dead") {
					t.Errorf("the entry has no marker")
				}
			}
			want := strings.ReplaceAll(strings.Join(c.want, "\n"), "%s", batch.Records[0].Body)
			if strings.Join(got, "\n") != want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "\n"), want)
			}
		})
	}
}

// The job of a message whose route is fixed meanwhile is pushed, though the message
// is in the dead set.
func TestDeadLetterDoesNotBlockItsJob(t *testing.T) {
	h, server := newTestHandler(t)
	m := event(notification("orders", "1"))
	for i, router := range []*Router{deadRouter(Routes{}), deadRouter(mixedRoutes), deadRouter(Routes{Topics: []Route{{"orders", Choice{By: Selector{Pointer: "/x"}}}}})} {
		h.Router = router
		_, stats, err := h.Process(t.Context(), m)
		if want := []Stats{{Dead: 1}, {Enqueued: 1}, {Duplicate: 1}}[i]; err != nil || stats.Dead != want.Dead || stats.Enqueued != want.Enqueued || stats.Duplicate != want.Duplicate {
			t.Errorf("step %d: %+v, %v", i, stats, err)
		}
	}
	if n := len(dead(t, server)); n != 1 {
		t.Errorf("%d entries", n)
	}
}

// In a FIFO queue, the group goes on past a message in the dead set, but not past
// one that could not be put there.
func TestDeadLettersInFIFO(t *testing.T) {
	for name, c := range map[string]struct {
		dead string // what the key of the dead set holds
		want string
		jobs string
	}{
		"in the dead set": {"", "", "1 3 4"},
		"not taken":       {"of another type", "m1 m2", "1 4"},
	} {
		t.Run(name, func(t *testing.T) {
			h, server := newTestHandler(t)
			h.Router = deadRouter(mixedRoutes)
			if c.dead != "" {
				server.Set("dead", c.dead)
			}
			batch := event(notification("orders", "1"), notification("nope", "2"), notification("orders", "3"), notification("orders", "4"))
			for i, group := range []string{"a", "a", "a", "b"} {
				batch.Records[i].EventSourceARN = queueARN + ".fifo"
				batch.Records[i].Attributes["MessageGroupId"] = group
			}
			response, stats, err := h.Process(t.Context(), batch)
			if err != nil || failed(response) != c.want || args(t, server, "default") != c.jobs {
				t.Errorf("failed %q, %v, jobs %s", failed(response), err, args(t, server, "default"))
			}
			if c.dead != "" && (stats.Failed[ReasonNoRoute] != 1 || stats.Failed[ReasonHeldBack] != 1) || c.dead == "" && stats.Dead != 1 {
				t.Errorf("stats = %+v", stats)
			}
		})
	}
}

// What may pass by itself stays in SQS.
func TestNoDeadLetters(t *testing.T) {
	h, server := newTestHandler(t)
	h.Router = deadRouter(mixedRoutes)
	server.Set("queue:default", "of another type")
	response, stats, err := h.Process(t.Context(), event(notification("orders", "1")))
	if err != nil || failed(response) != "m0" || stats.Failed[ReasonQueue] != 1 || len(dead(t, server)) != 0 {
		t.Errorf("failed %q, %v, %+v", failed(response), err, stats)
	}
	h.Client = pusher(func(context.Context, []sidekiq.Job) ([]sidekiq.Result, error) { panic("x") })
	if response, _, err := h.Process(t.Context(), event(notification("nope", "1"))); err == nil {
		t.Errorf("a panic of Push: failed %q", failed(response))
	}
	t2 := translator{router: h.Router, at: time.Now()}
	noID := sent(`{"Type":"Notification","TopicArn":"x"}`)
	noID.MessageId = ""
	if _, err := t2.translate(noID, nil); err == nil {
		t.Fatal("no error")
	} else if _, ok := t2.deadLetter(noID, err); ok {
		t.Error("a message without an id is in the dead set, where it would not be recognized")
	}
}
