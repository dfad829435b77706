//go:build integration

package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"scout/sidekiq"
)

// TestTwins pushes the same jobs with Sidekiq's own client and with Scout, into two
// databases of a Redis, and looks for differences.
func TestTwins(t *testing.T) {
	t.Parallel()
	testTwins(t, machine)
}

func testTwins(t *testing.T, a app) {
	server := a.redis(t).URL()
	theirs, ours := server+"/1", server+"/2"
	messages := []string{`{"id":7,"sum":1.0,"name":"Zoë","none":null,"list":[1,"a",{}]}`, `"second"`}
	a.handle(t, ours, `
    topic:
      - PlainWorker
      - {class: "Orders::SyncWorker", queue: critical, retry: 5, tags: [sns], backtrace: 20, dead: false}
      - {class: MailJob, queue: mailers, active_job: true}`, messages)
	type list []any
	type hash map[string]any
	var calls list
	for _, message := range messages {
		arguments := list{json.RawMessage(message)}
		calls = append(calls,
			list{"PlainWorker", hash{}, arguments},
			list{"Orders::SyncWorker", hash{"queue": "critical", "retry": 5, "tags": list{"sns"}, "backtrace": 20, "dead": false}, arguments},
			list{"MailJob", hash{"queue": "mailers"}, arguments})
	}
	a.sidekiq.Script(t, theirs, "push.rb", calls, nil)

	want, got := openStore(t, theirs), openStore(t, ours)
	equal(t, "keys in Redis", got.sidekiqKeys(), want.sidekiqKeys())
	for _, queue := range []string{"default", "critical", "mailers"} {
		equal(t, "jobs in the queue "+queue, got.shapes(queue), want.shapes(queue))
	}
	for _, url := range []string{theirs, ours} {
		a.checkUsage(t, url, len(messages))
	}
	equal(t, "what Sidekiq reads", a.readBySidekiq(t, ours), a.readBySidekiq(t, theirs))
}

// sidekiqKeys returns all keys except Scout's own.
func (s *store) sidekiqKeys() []string {
	keys := s.strings("KEYS", "*")
	slices.Sort(keys)
	return slices.DeleteFunc(keys, func(key string) bool { return strings.HasPrefix(key, "scout:") })
}

// shapes returns the shapes of the jobs in a Sidekiq queue.
func (s *store) shapes(queue string) []any {
	var shapes []any
	for _, payload := range s.queued(queue) {
		shapes = append(shapes, shape(object(s.T, withoutLocale(withoutNothing(payload)))))
	}
	return shapes
}

var defaultLocale = regexp.MustCompile(`,"locale":(null|"en")`)

// withoutLocale removes the app's default locale from JSON of ActiveJob's, because
// Scout leaves the locale to the app.
func withoutLocale(text string) string { return defaultLocale.ReplaceAllString(text, "") }

var jid = regexp.MustCompile(`^[0-9a-f]{24}$`)

// readBySidekiq returns what Sidekiq's API reads from a Redis, without ids and
// times, which it checks.
func (a app) readBySidekiq(t *testing.T, redisURL string) map[string]any {
	t.Helper()
	var printed json.RawMessage
	a.sidekiq.Script(t, redisURL, "read.rb", nil, &printed)
	read := object(t, withoutLocale(withoutNothing(string(printed))))
	for _, q := range read["queues"].([]any) {
		queue := q.(map[string]any)
		checkAge(t, queue, "latency")
		for _, j := range queue["jobs"].([]any) {
			job := j.(map[string]any)
			checkAge(t, job, "latency")
			checkAge(t, job, "created_ago")
			checkAge(t, job, "enqueued_ago")
			if id, _ := job["jid"].(string); !jid.MatchString(id) {
				t.Errorf("the jid is %v", job["jid"])
			}
			delete(job, "jid")
		}
	}
	return read
}

// checkUsage checks the usage that Scout reads for the jobs in the queue default.
func (a app) checkUsage(t *testing.T, redisURL string, jobs int) {
	t.Helper()
	client, err := sidekiq.NewClient(sidekiq.Options{URL: redisURL})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	usage, err := client.Usage(t.Context(), []string{"default"})
	if queue := usage.Queues["default"]; err != nil || queue.Length != jobs || queue.Latency <= 0 || queue.Latency > time.Hour {
		t.Errorf("Scout reads %+v, error %v, want %d jobs", usage, err, jobs)
	}
}

// checkAge checks and deletes a number of seconds that passed during the test.
func checkAge(t *testing.T, object map[string]any, key string) {
	t.Helper()
	if age, ok := object[key].(float64); !ok || age <= 0 || age > time.Hour.Seconds() {
		t.Errorf("%s is %v", key, object[key])
	}
	delete(object, key)
}
