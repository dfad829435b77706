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
			"further options", JobTemplate{Class: "A", Queue: "low", Options: []Option{{"lock", []byte(`{"a":[1.0]}`)}, {"retry", []byte(`"5"`)}, {`"`, []byte(`null`)}}}, Call{},
			`{"retry":"5","queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006,"lock":{"a":[1.0]},"\"":null}`,
		},
		{
			"priority", JobTemplate{Class: "SyncJob", Queue: "low", ActiveJob: true, Priority: Int(-5)}, Call{Sidekiq: 8},
			`{"retry":true,"queue":"low","class":"Sidekiq::ActiveJob::Wrapper","wrapped":"SyncJob","args":[{"job_class":"SyncJob","job_id":"UUID","provider_job_id":null,"queue_name":"low","priority":-5,"arguments":[],"executions":0,"exception_executions":{},"locale":null,"timezone":null,"enqueued_at":"2026-01-02T03:04:05.000006000Z"}],"jid":"JID","created_at":1767323045000,"enqueued_at":1767323045000}`,
		},
		{
			"milliseconds", JobTemplate{Class: "A", Queue: "low"}, Call{Milliseconds: true},
			`{"retry":true,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045000,"enqueued_at":1767323045000}`,
		},
		{
			"Sidekiq 8", JobTemplate{Class: "A", Queue: "low"}, Call{Sidekiq: 8},
			`{"retry":true,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045000,"enqueued_at":1767323045000}`,
		},
		{
			"Sidekiq 7", JobTemplate{Class: "A", Queue: "low"}, Call{Sidekiq: 7},
			`{"retry":true,"queue":"low","class":"A","args":[],"jid":"JID","created_at":1767323045.000006,"enqueued_at":1767323045.000006}`,
		},
		{
			"ActiveJob in Sidekiq 8", JobTemplate{Class: "SyncJob", Queue: "low", ActiveJob: true}, Call{Sidekiq: 8},
			`{"retry":true,"queue":"low","class":"Sidekiq::ActiveJob::Wrapper","wrapped":"SyncJob","args":[{"job_class":"SyncJob","job_id":"UUID","provider_job_id":null,"queue_name":"low","priority":null,"arguments":[],"executions":0,"exception_executions":{},"locale":null,"timezone":null,"enqueued_at":"2026-01-02T03:04:05.000006000Z"}],"jid":"JID","created_at":1767323045000,"enqueued_at":1767323045000}`,
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
			c.call.ID = c.template.JobID(Identity{"sns", "topic", []string{"message-1"}})
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

// The ids are literals, so that no release changes them unnoticed: with other
// ids, messages would be pushed twice during the upgrade. They come from Python:
//
//	fields = [b"critical", b"Orders::SyncJob", b"sns", b"arn:aws:…", b"3f1c5b0e-…"]
//	hashlib.sha256(b"".join(struct.pack(">Q", len(f)) + f for f in fields)).hexdigest()[:24]
func TestJobID(t *testing.T) {
	template := JobTemplate{Class: "Orders::SyncJob", Queue: "critical"}
	for _, c := range []struct {
		name     string
		identity Identity
		want     string
	}{
		{"sns", Identity{"sns", "arn:aws:sns:us-east-1:123456789012:orders", []string{"3f1c5b0e-8d5a-5b0e-9b6e-0a1b2c3d4e5f"}}, "33706978402e86634aa981a6"},
		{"eventbridge", Identity{"eventbridge", "shop.billing", []string{"7bf73129-1428-4cd3-a780-95db273d1602"}}, "d570ddd59938f12bf364a2ec"},
		{"eventbridge replay", Identity{"eventbridge", "shop.billing", []string{"7bf73129-1428-4cd3-a780-95db273d1602", "november"}}, "c1707edbb709a3c807c91bd6"},
		{"s3", Identity{"s3", "shop-uploads", []string{"images/Zo%C3%AB+1.png", "", "0A1B2C3D4E5F678901", "ObjectCreated:Put", "2026-11-22T18:46:04.987Z", "D82B88E5F771F645"}}, "482f978a9040d5775390f11c"},
		{"plain", Identity{"plain", "shop_queue", []string{"059f36b4-87a3-44ab-83d2-661975830a7d"}}, "c92ec464acefc00c6fc3f18e"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := template.JobID(c.identity).JID(); got != c.want {
				t.Errorf("JID = %s, want %s", got, c.want)
			}
		})
	}
	id := template.JobID(Identity{"sns", "arn:aws:sns:us-east-1:123456789012:orders", []string{"3f1c5b0e-8d5a-5b0e-9b6e-0a1b2c3d4e5f"}})
	if got, want := id.uuid(), "dbe2c964-7a57-884e-ba55-46dea8be4cb8"; got != want {
		t.Errorf("UUID = %s, want %s", got, want)
	}
}

func TestJobIDsDiffer(t *testing.T) {
	id := func(queue, class, kind, source string, id ...string) ID {
		return (&JobTemplate{Class: class, Queue: queue}).JobID(Identity{kind, source, id})
	}
	ids := map[ID]string{}
	for name, id := range map[string]ID{
		"the first":              id("default", "Foo", "sns", "topic", "1"),
		"another queue":          id("low", "Foo", "sns", "topic", "1"),
		"another class":          id("default", "Bar", "sns", "topic", "1"),
		"another kind":           id("default", "Foo", "plain", "topic", "1"),
		"another source":         id("default", "Foo", "sns", "audit", "1"),
		"another id":             id("default", "Foo", "sns", "topic", "2"),
		"one more field":         id("default", "Foo", "sns", "topic", "1", ""),
		"a byte moved backward":  id("default", "Foo", "sns", "topi", "c1"),
		"a byte moved forward":   id("defaul", "tFoo", "sns", "topic", "1"),
		"two fields joined":      id("default", "Foo", "sns", "topic1"),
		"a length among the ids": id("default", "Foo", "sns", "topic", "1\x00\x00\x00\x00\x00\x00\x00\x00"),
	} {
		if other, ok := ids[id]; ok {
			t.Errorf("%s and %s have the same id", name, other)
		}
		ids[id] = name
	}
}

func TestJobIDDoesNotAllocate(t *testing.T) {
	template := JobTemplate{Class: "Orders::SyncJob", Queue: "critical"}
	identity := Identity{"sns", "arn:aws:sns:us-east-1:123456789012:orders", []string{"3f1c5b0e-8d5a-5b0e-9b6e-0a1b2c3d4e5f"}}
	if n := testing.AllocsPerRun(100, func() { template.JobID(identity) }); n > 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkJob(b *testing.B) {
	w := JobTemplate{Class: "Orders::SyncJob", Queue: "critical", Tags: []string{"sns"}}
	args := []json.RawMessage{make([]byte, 1024)}
	identity := Identity{"sns", "arn:aws:sns:us-east-1:123456789012:orders", []string{"3f1c5b0e-8d5a-5b0e-9b6e-0a1b2c3d4e5f"}}
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		w.Job(Call{ID: w.JobID(identity), Args: args, At: now})
	}
}
