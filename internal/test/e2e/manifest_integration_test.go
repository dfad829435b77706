//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A twin is a job of a class in testdata/sidekiq/manifest.rb, with the keys that a
// route adds to the class and the equivalent options of set.
type twin struct{ class, route, set string }

var twins = []twin{
	{"Twin::PlainWorker", "", "{}"},
	{"Twin::PlainWorker", ", queue: critical, retry: 2", `{"queue": "critical", "retry": 2}`},
	{"Twin::OptionsWorker", "", "{}"},
	{"Twin::OptionsWorker", ", queue: low, retry: 0, backtrace: false, dead: true, tags: [x]", `{"queue": "low", "retry": 0, "backtrace": false, "dead": true, "tags": ["x"]}`},
	{"Twin::ChildWorker", "", "{}"},
	{"Twin::ChildWorker", ", queue: default, dead: false", `{"queue": "default", "dead": false}`},
	{"Twin::PatientWorker", "", "{}"},
	{"Twin::OddWorker", ", args: [message, metadata]", "{}"},
	{"Twin::PlainJob", "", "{}"},
	{"Twin::OptionsJob", "", "{}"},
	{"Twin::OptionsJob", ", queue: critical", `{"queue": "critical"}`},
	{"Twin::BlockJob", ", queue: critical", `{"queue": "critical"}`},
	{"Twin::PrefixedJob", "", "{}"},
}

// TestManifest pushes a job of each twin with Sidekiq's own client and with Scout, and
// compares the jobs. Scout knows the classes only from the manifest, which the rake
// task of the Rails example writes.
func TestManifest(t *testing.T) {
	t.Parallel()
	testManifest(t, machine)
}

func testManifest(t *testing.T, a app) {
	server := a.redis(t).URL()
	theirs, ours := server+"/1", server+"/2"
	const message = `{"id":7,"sum":1.0,"name":"Zoë","none":null}`
	rake, err := filepath.Abs("../../../examples/rails/lib/tasks/scout.rake")
	if err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(t.TempDir(), "workers.json")
	var calls [][]any
	routes := "\n    topic:"
	for _, twin := range twins {
		call := []any{json.RawMessage(twin.set), twin.class, json.RawMessage(message)}
		if strings.Contains(twin.route, "metadata") {
			call = append(call, "metadata")
		}
		calls = append(calls, call)
		routes += fmt.Sprintf("\n      - {class: %s%s}", twin.class, twin.route)
	}
	a.sidekiq.Script(t, theirs, "manifest.rb", map[string]any{"rake": rake, "file": manifest, "calls": calls}, nil)
	a.handle(t, ours, routes+"\nworkers: "+manifest, []string{message})

	sidekiqs, scouts := openStore(t, theirs), openStore(t, ours)
	equal(t, "keys in Redis", scouts.sidekiqKeys(), sidekiqs.sidekiqKeys())
	compared := 0
	for _, queue := range sidekiqs.strings("SMEMBERS", "queues") {
		want, got := sidekiqs.queued(queue), scouts.queued(queue)
		if len(got) != len(want) {
			t.Errorf("%d jobs in the queue %s, want %d", len(got), queue, len(want))
			continue
		}
		for i := range want {
			compared++
			equalJobs(t, "job "+want[i], object(t, withoutLocale(withoutNothing(got[i]))), object(t, withoutLocale(withoutNothing(want[i]))))
		}
	}
	equal(t, "number of jobs", compared, len(twins))
	checkManifest(t, manifest)
}

// equalJobs compares jobs key by key. For ids, times and metadata, it compares only the
// types.
func equalJobs(t *testing.T, what string, got, want map[string]any) {
	t.Helper()
	for _, job := range []map[string]any{got, want} {
		for key, value := range job {
			switch key {
			case "jid", "created_at", "enqueued_at", "job_id":
				job[key] = shape(value)
			case "lock_args": // a Proc; the client writes its address in memory
				delete(job, key)
			}
		}
		if args, ok := job["args"].([]any); ok && len(args) == 2 {
			args[1] = "metadata"
		}
	}
	if a, b := activeJob(got), activeJob(want); a != nil && b != nil {
		equalJobs(t, "serialized "+what, a, b)
		delete(got, "args")
		delete(want, "args")
	}
	for key := range want {
		equal(t, key+" of the "+what, got[key], want[key])
		if _, ok := got[key]; !ok {
			t.Errorf("no %s in the %s", key, what)
		}
	}
	equal(t, "number of keys of the "+what, len(got), len(want))
}

// checkManifest checks the parts of a manifest that no job shows.
func checkManifest(t *testing.T, file string) {
	t.Helper()
	type class struct {
		Kind             string
		Args             []*int
		RequiredKeywords []string `json:"required_keywords"`
	}
	var manifest struct {
		Queues  []string
		Classes map[string]class
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(text, &manifest)
	}
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "queues", manifest.Queues, []string{"default", "low"})
	one, two := 1, 2
	for name, want := range map[string]class{
		"Twin::OptionsWorker": {"sidekiq", []*int{&one, &two}, []string{}},
		"Twin::ChildWorker":   {"sidekiq", []*int{new(int), nil}, []string{}},
		"Twin::PatientWorker": {"sidekiq", []*int{&one, nil}, []string{}},
		"Twin::OddWorker":     {"sidekiq", []*int{&two, &two}, []string{}},
		"Twin::KeywordWorker": {"sidekiq", []*int{&one, &one}, []string{"order_id"}},
		"Twin::PlainJob":      {"active_job", []*int{&one, &one}, []string{}},
		"Twin::PrefixedJob":   {"active_job", []*int{new(int), nil}, []string{}},
	} {
		equal(t, name, object(t, asJSON(t, manifest.Classes[name])), object(t, asJSON(t, want)))
	}
	for _, name := range []string{"Twin::AbstractJob", "ActiveJob::QueueAdapters::SidekiqAdapter::JobWrapper", "Sidekiq::ActiveJob::Wrapper"} {
		if _, ok := manifest.Classes[name]; ok {
			t.Errorf("%s is in the manifest", name)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
