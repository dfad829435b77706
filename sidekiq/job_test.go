package sidekiq

import (
	"encoding/json"
	"regexp"
	"testing"
	"time"
)

func TestJob(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000, time.UTC)
	for _, c := range []struct {
		name     string
		template JobTemplate
		call     Call
		want     string
	}{
		{
			"plain", JobTemplate{Class: "FooWorker", Queue: "default"}, Call{Args: []json.RawMessage{[]byte(`{"id":1.0}`)}},
			`{"retry":true,"queue":"default","class":"FooWorker","args":[{"id":1.0}],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006}`,
		},
		{
			"no argument", JobTemplate{Class: "A::B", Queue: `q"\`}, Call{},
			`{"retry":true,"queue":"q\"\\","class":"A::B","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006}`,
		},
		{
			"options", JobTemplate{Class: "A", Queue: "low", Retry: Int(5), Backtrace: Int(20), NoDead: true, Tags: []string{"sns", "x"}}, Call{Args: []json.RawMessage{[]byte(`1`), []byte(`"b"`)}},
			`{"retry":5,"queue":"low","class":"A","args":[1,"b"],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006,"backtrace":20,"dead":false,"tags":["sns","x"]}`,
		},
		{
			"no retry", JobTemplate{Class: "A", Queue: "low", Retry: Bool(false), Backtrace: Bool(true)}, Call{},
			`{"retry":false,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006,"backtrace":true}`,
		},
		{
			"retry_for replaces retry, which is true", JobTemplate{Class: "A", Queue: "low", Retry: Int(3), RetryFor: time.Hour}, Call{},
			`{"retry":true,"retry_for":3600,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006}`,
		},
		{
			"retry_for is never 0", JobTemplate{Class: "A", Queue: "low", RetryFor: time.Millisecond}, Call{},
			`{"retry":true,"retry_for":1,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006}`,
		},
		{
			"milliseconds", JobTemplate{Class: "A", Queue: "low"}, Call{Milliseconds: true},
			`{"retry":true,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045000,"enqueued_at":1767323045000}`,
		},
		{
			"trace", JobTemplate{Class: "A", Queue: "low"}, Call{Trace: []TraceField{{"traceparent", "00-ab-cd-01"}, {"baggage", `a="b"`}}},
			`{"retry":true,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006,"traceparent":"00-ab-cd-01","baggage":"a=\"b\""}`,
		},
		{
			"ActiveJob", JobTemplate{Class: "SyncJob", Queue: "low", ActiveJob: true}, Call{Args: []json.RawMessage{[]byte(`{"a":1}`)}},
			`{"retry":true,"queue":"low","class":"ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper","wrapped":"SyncJob","args":[{"job_class":"SyncJob","job_id":"UUID","provider_job_id":null,"queue_name":"low","priority":null,"arguments":[{"a":1}],"executions":0,"exception_executions":{},"locale":null,"timezone":null,"enqueued_at":"2026-01-02T03:04:05.000006000Z"}],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.call.At = at
			c.call.ID = c.template.JobID("message-1")
			job := c.template.Job(c.call)
			got := regexp.MustCompile(`"jid":"[0-9a-f]{24}"`).ReplaceAllString(string(job.Payload), `"jid":"JID"`)
			got = regexp.MustCompile(`"job_id":"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"`).ReplaceAllString(got, `"job_id":"UUID"`)
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if !json.Valid(job.Payload) {
				t.Error("not JSON")
			}
			if job.Queue != c.template.Queue || job.JID != c.call.ID.JID() {
				t.Errorf("queue %q, jid %q", job.Queue, job.JID)
			}
		})
	}
}

// A whole second must not be written without its decimal point: Sidekiq 8
// would take it for milliseconds.
func TestTimeHasDecimalPoint(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.Unix(1767323045, 0):           "1767323045.000000",
		time.Unix(1767323045, 999_999_999): "1767323045.999999",
		time.Unix(1767323045, 10_000):      "1767323045.000010",
	} {
		call := Call{At: at}
		if got := string(call.appendTime(nil)); got != want {
			t.Errorf("%v = %s, want %s", at, got, want)
		}
	}
}

func TestID(t *testing.T) {
	foo := JobTemplate{Class: "Foo", Queue: "default"}
	// A literal, so that no release changes it unnoticed: with other ids,
	// messages could be pushed twice during the upgrade.
	id := foo.JobID("3f1c5b0e-1")
	if got, want := id.JID(), "6fc34952445e3027f7983247"; got != want {
		t.Errorf("JID = %s, want %s", got, want)
	}
	others := map[string]ID{
		"another message": foo.JobID("3f1c5b0e-2"),
		"another class":   (&JobTemplate{Class: "Bar", Queue: "default"}).JobID("3f1c5b0e-1"),
		"another queue":   (&JobTemplate{Class: "Foo", Queue: "low"}).JobID("3f1c5b0e-1"),
		"shifted":         (&JobTemplate{Class: "tFoo", Queue: "defaul"}).JobID("3f1c5b0e-1"),
	}
	for name, other := range others {
		if other.JID() == id.JID() {
			t.Errorf("%s: the same JID", name)
		}
	}
}

func BenchmarkJob(b *testing.B) {
	w := JobTemplate{Class: "Orders::SyncJob", Queue: "critical", Tags: []string{"sns"}}
	args := []json.RawMessage{make([]byte, 1024)}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		w.Job(Call{ID: w.JobID("3f1c5b0e-8d5a-5b0e-9b6e-0a1b2c3d4e5f"), Args: args, At: now})
	}
}
