//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"scout/config"
	"scout/handler"
	"scout/sidekiq"
)

// extremes are messages that Scout just accepts, and others that could be hard to
// write again. The tests of package jsonscan have those that Scout rejects because
// Sidekiq would lose the job or move it to the dead set.
var extremes = []struct{ name, message string }{
	{"empty", ``},
	{"spaces", " \t\n"},
	{"text", "line\nline\t\x01 \u2028 Zoë 🦀 \\ \" </script>"},
	{"broken JSON", `{"a":[1,2`},
	{"long text", strings.Repeat("ü ", 350_000)},
	{"long string", `{"s":"` + strings.Repeat(`x\n`, 350_000) + `"}`},
	{"deep arrays", strings.Repeat("[", 90) + strings.Repeat("]", 90)},
	{"deep objects", strings.Repeat(`{"a":`, 89) + `{}` + strings.Repeat("}", 89)},
	{"deep both", strings.Repeat(`[{"a":`, 45) + `null` + strings.Repeat("}]", 45)},
	{"NUL", `{"a\u0000b":"\u0000"}`},
	{"escapes", `"\u0001\u001f\u007f\u0080\u2028\u2029\ufeff\ufffe\uffff\"\\\/\b\f\n\r\t"`},
	{"surrogate pairs", `{"\ud83e\udd80":"\udbff\udfff"}`},
	{"keys", `{"Zoë":1,"日本":{"🦀":2},"":3," ":4,"\u00e9":5,"e\u0301":6}`},
	{"many keys", manyKeys(1000)},
	{"big integers", `[` + strings.Repeat("9", 400) + `,-1` + strings.Repeat("0", 399) + `]`},
	{"largest floats", `[1e308,-1.7976931348623157e308,1.7976931348623158e+308]`},
	{"smallest floats", `[5e-324,2e-324,-1e-400,0e999999999,1e-999999999]`},
	{"long floats", `[0.` + strings.Repeat("0", 400) + `1e300,1` + strings.Repeat("0", 350) + `e-100,0.1` + strings.Repeat("3", 400) + `]`},
	{"integers and floats", `[1,1.0,1e0,-0,-0.0,100000000000000000000.0,1E2]`},
	{"like Ruby's", `{"json_class":"Object","^o":"Object",":a":":b","class":"X"}`},
	{"like a job's", `{"class":"X","args":[],"jid":"1","retry":false,"at":1,"error_message":"x"}`},
}

func manyKeys(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"key %d":%d`, i, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

// TestFailure gives each of the extremes to workers that fail, and checks that
// Sidekiq keeps the jobs as they were.
func TestFailure(t *testing.T) {
	t.Parallel()
	testFailure(t, machine)
}

func testFailure(t *testing.T, a app) {
	redisURL := a.redis(t).URL()
	s := openStore(t, redisURL)
	texts := make([]string, len(extremes))
	for i, extreme := range extremes {
		texts[i] = extreme.message
	}
	a.handle(t, redisURL, `
    topic:
      - {class: FailingWorker, queue: plain}
      - {class: FailingJob, queue: active, active_job: true}
      - {class: RetriedJob, queue: again, active_job: true}`, texts)
	queued := map[string][]string{"plain": s.queued("plain"), "active": s.queued("active"), "again": s.queued("again")}

	a.sidekiq.Start(t, redisURL, "plain", "active", "again").Wait(3 * len(extremes))
	retries := byID(t, s.members("retry", 2*len(extremes)))
	maps.Copy(retries, byID(t, s.members("schedule", len(extremes))))
	for queue, jobs := range queued {
		if len(jobs) != len(extremes) {
			t.Fatalf("queue %s got %d jobs, want %d", queue, len(jobs), len(extremes))
		}
		for i, extreme := range extremes {
			t.Run(queue+"/"+extreme.name, func(t *testing.T) {
				job := object(t, jobs[i])
				equal(t, "the arguments that Scout pushed", arguments(job), []any{value(t, argument(t, extreme.message))})
				checkKept(t, job, retries[id(job)])
			})
		}
	}
}

// handle calls the handler with a message for each text, from the topic named
// topic.
func (a app) handle(t *testing.T, redisURL, topics string, texts []string) {
	t.Helper()
	c, err := config.Loader{}.Load(t.Context(), a.redisKey(redisURL)+"\nqueue:\n  topics:"+topics)
	if err != nil {
		t.Fatal(err)
	}
	client, err := sidekiq.NewClient(c.Redis.ClientOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	h := &handler.Handler{Router: c.Router(c.Queues[0]), Client: client, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	records := make([]events.SQSMessage, len(texts))
	for i, text := range texts {
		body, err := json.Marshal(map[string]string{
			"Type": "Notification", "TopicArn": "arn:aws:sns:us-east-1:123456789012:topic", "MessageId": strconv.Itoa(i), "Message": text,
		})
		if err != nil {
			t.Fatal(err)
		}
		records[i] = events.SQSMessage{MessageId: strconv.Itoa(i), Body: string(body)}
	}
	response, err := h.Handle(t.Context(), events.SQSEvent{Records: records})
	if err != nil || len(response.BatchItemFailures) > 0 {
		t.Fatalf("the handler failed %v, error %v", response.BatchItemFailures, err)
	}
}

// activeJob returns the serialized ActiveJob in a Sidekiq job, nil if there is none.
func activeJob(job map[string]any) map[string]any {
	if _, ok := job["wrapped"]; !ok {
		return nil
	}
	return job["args"].([]any)[0].(map[string]any)
}

// arguments returns the arguments of perform.
func arguments(job map[string]any) any {
	if active := activeJob(job); active != nil {
		return active["arguments"]
	}
	return job["args"]
}

// id returns ActiveJob's id of a job, which stays the same when ActiveJob retries
// it, or Sidekiq's.
func id(job map[string]any) any {
	if active := activeJob(job); active != nil {
		return active["job_id"]
	}
	return job["jid"]
}

// byID decodes jobs that Sidekiq or ActiveJob wrote, and returns them by id.
func byID(t *testing.T, payloads []string) map[any]map[string]any {
	t.Helper()
	jobs := map[any]map[string]any{}
	for _, payload := range payloads {
		job := object(t, withoutNothing(payload))
		jobs[id(job)] = job
	}
	return jobs
}

// checkKept checks that Sidekiq or ActiveJob kept a failed job as it was.
func checkKept(t *testing.T, job, kept map[string]any) {
	t.Helper()
	if kept == nil {
		t.Fatal("the job is lost")
	}
	if _, ok := kept["error_class"]; !ok { // ActiveJob has made a new job
		equal(t, "the arguments that ActiveJob kept", arguments(kept), arguments(job))
		return
	}
	equal(t, "why the job failed", kept["error_message"], "failing on purpose")
	for _, key := range []string{"error_class", "error_message", "failed_at", "retry_count"} {
		delete(kept, key)
	}
	equal(t, "the job that Sidekiq kept", kept, job)
}
