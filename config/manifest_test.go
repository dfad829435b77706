package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scout/handler"
	"scout/sidekiq"
)

// workersJSON is a manifest with every key.
const workersJSON = `{"version": 1, "sidekiq": "8.1.7", "queues": ["default", "critical", "low"], "classes": {
  "OrderWorker": {"kind": "sidekiq", "options": {"queue": "critical", "retry": 5, "dead": false, "retry_queue": "low", "x": [1.0, null, {"a": "\u00e9"}]}, "args": [1, 2]},
  "Shop::SyncWorker": {"kind": "sidekiq", "options": {"queue": "default", "retry": true, "retry_for": 3600, "tags": ["a"], "jid": "x", "pool": true}, "args": [2, null], "required_keywords": []},
  "LedgerJob": {"kind": "active_job", "queue": "low", "priority": 10, "options": {"retry": 3, "queue": "ignored"}, "args": [0, 1]},
  "RoutedJob": {"kind": "active_job", "queue": null, "priority": null, "options": {}, "args": [1, 1]},
  "KeywordWorker": {"kind": "sidekiq", "options": {"queue": "default"}, "args": [1, 1], "required_keywords": ["order_id"]},
  "SecretWorker": {"kind": "sidekiq", "options": {"encrypt": true}, "args": [1, 1]},
  "IdleWorker": {"kind": "sidekiq", "options": {"queue": "idle"}, "args": [0, 0]},
  "WideWorker": {"kind": "sidekiq", "options": {"queue": "default"}, "args": [3, 3]},
  "LockedWorker": {"kind": "sidekiq", "options": {"lock": "until_executed", "unique_for": false}, "args": [1, 1]},
  "außen": {"kind": "sidekiq", "args": [1, 1]}}}
`

// withWorkers is a configuration with a manifest.
const withWorkers = `
redis: {url: redis://localhost}
workers: '` + workersJSON + `'
queue: {name: q, topics: {t: OrderWorker}}
`

// loadRoute loads a configuration with a manifest and a route.
func loadRoute(t *testing.T, route string) (*Config, error) {
	t.Helper()
	return load(t, strings.Replace(withWorkers, "{t: OrderWorker}", "{t: "+route+"}", 1))
}

func TestComplete(t *testing.T) {
	options := func(pairs ...string) (list []sidekiq.Option) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, sidekiq.Option{Key: pairs[i], Value: json.RawMessage(pairs[i+1])})
		}
		return list
	}
	both := []handler.Arg{handler.ArgMessage, handler.ArgMetadata}
	for route, want := range map[string]handler.Worker{
		"OrderWorker": {JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker", Queue: "critical",
			Options: options("retry", "5", "dead", "false", "retry_queue", `"low"`, "x", `[1.0, null, {"a": "\u00e9"}]`)}},
		"{class: OrderWorker, queue: low, retry: 2, dead: true}": {JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker", Queue: "low", Retry: sidekiq.Int(2),
			Options: options("dead", "true", "retry_queue", `"low"`, "x", `[1.0, null, {"a": "\u00e9"}]`)}},
		"{class: Shop::SyncWorker, args: [message, metadata]}": {Args: both, JobTemplate: sidekiq.JobTemplate{Class: "Shop::SyncWorker", Queue: "default",
			Options: options("retry", "true", "retry_for", "3600", "tags", `["a"]`)}},
		"{class: Shop::SyncWorker, args: [message, metadata], retry: 1, tags: [b]}": {Args: both,
			JobTemplate: sidekiq.JobTemplate{Class: "Shop::SyncWorker", Queue: "default", Retry: sidekiq.Int(1), Tags: []string{"b"}}},
		"LedgerJob":                      {JobTemplate: sidekiq.JobTemplate{Class: "LedgerJob", Queue: "low", ActiveJob: true, Priority: sidekiq.Int(10), Options: options("retry", "3")}},
		"{class: RoutedJob, queue: low}": {JobTemplate: sidekiq.JobTemplate{Class: "RoutedJob", Queue: "low", ActiveJob: true}},
	} {
		t.Run(route, func(t *testing.T) {
			c, err := loadRoute(t, route)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "worker", c.Queues[0].Topics[0].Outcome, handler.Outcome(want))
			again := mustLoad(t, c.String())
			again.Warnings, c.Warnings = nil, nil // their lines differ
			check(t, "again", again, c)
		})
	}
}

func TestIncompleteRoutes(t *testing.T) {
	const place = "15: queue.topics.t"
	for route, want := range map[string]string{
		"OrdersWorker":                place + ": the app's manifest (workers) has no such class; did you mean OrderWorker? otherwise write the manifest again with rake scout:manifest",
		"{class: syncworker}":         place + ".class: must be a Ruby class, such as FooWorker or Orders::SyncJob",
		"{class: SyncWorker}":         place + ".class: the app's manifest (workers) has no such class; did you mean Shop::SyncWorker? otherwise write the manifest again with rake scout:manifest",
		"orderworker":                 place + ": must be a Ruby class, such as FooWorker or Orders::SyncJob",
		"Orderworker":                 place + ": the app's manifest (workers) has no such class; did you mean OrderWorker? otherwise write the manifest again with rake scout:manifest",
		"[OrderWorker, UnlikeOthers]": place + "[1]: the app's manifest (workers) has no such class; otherwise write the manifest again with rake scout:manifest",
		"Shop::SyncWorker":            place + ": the number of arguments is 1, and the minimum for the class's perform is 2; set args: [message, metadata]",
		"{class: LedgerJob, args: [message, metadata]}": place + ".args: the number of arguments is 2, and the maximum for the class's perform is 1; leave one out",
		"WideWorker":                             place + ": the minimum number of arguments for the class's perform is 3, and a route can pass two, message and metadata; give the others default values",
		"IdleWorker":                             place + ": the class's perform takes no arguments; let it take the message",
		"KeywordWorker":                          place + ": the class's perform requires keyword arguments (order_id), which Scout does not pass; give them default values",
		"{class: OrderWorker, active_job: true}": place + ".active_job: must be false, as the app's manifest (workers) says; leave it out",
		"{class: LedgerJob, active_job: false}":  place + ".active_job: must be true, as the app's manifest (workers) says; leave it out",
		"RoutedJob":                              place + ": the class chooses its queue in a block (queue_as), so the route must name one; set queue",
		"SecretWorker":                           place + ": Sidekiq Enterprise's client encrypts the arguments of the class (encrypt), which Scout cannot do; use a class without encrypt that calls this one",
		"[OrderWorker, {class: OrderWorker, queue: critical}]": place + "[1]: has the same class and queue as queue.topics.t[0], so only one of the two jobs would run",
	} {
		t.Run(route, func(t *testing.T) {
			checkInvalid(t, strings.Replace(withWorkers, "{t: OrderWorker}", "{t: "+route+"}", 1), want)
		})
	}
}

func TestWarnings(t *testing.T) {
	for route, want := range map[string]string{
		"OrderWorker":                        "",
		"{class: OrderWorker, queue: other}": "SCOUT_CONFIG:15: queue.topics.t.queue: no process of the app serves the Sidekiq queue other, so the jobs would wait there; add it to config/sidekiq.yml, or write the manifest (workers) again",
		"LockedWorker":                       "SCOUT_CONFIG:15: queue.topics.t: LockedWorker has the option lock: the client middleware of sidekiq-unique-jobs takes the lock, so Scout's jobs are queued although another job holds it",
		"{class: Shop::SyncWorker, args: [message, metadata]}": "SCOUT_CONFIG:15: queue.topics.t.class: Shop::SyncWorker has the option pool: Scout pushes all jobs to the Redis of redis.url, not to the class's own",
	} {
		c, err := loadRoute(t, route)
		if err != nil {
			t.Fatal(err)
		}
		check(t, route, c.Warnings.Error(), want)
	}
}

// TestManifest checks that errors in a manifest have its file and the key.
func TestManifest(t *testing.T) {
	class := func(text string) string { return `{"version": 1, "classes": {"Shop::W": ` + text + `}}` }
	for text, want := range map[string]string{
		`{`:                             "is not JSON: expected a key at byte 1; write it with rake scout:manifest",
		`{"version": 1, "version": 1}`:  "has a duplicate key at byte 15, which versions of Ruby's json read differently; write it with rake scout:manifest",
		`null`:                          "has no value; must be a mapping",
		`[{}]`:                          "must be a mapping, not a list\n",
		`{}`:                            "classes: is required\nFILE: version: is required",
		`{"version": 2, "classes": {}}`: "version: must be 1; write the manifest with the rake task that belongs to this version of Scout",
		`{"version": 1, "classes": {}, "clases": {}}`:                                `clases: unknown key; did you mean "classes"? allowed: version, sidekiq, queues, classes`,
		`{"version": 1, "classes": []}`:                                              "classes: must be a mapping, not a list",
		`{"version": 1, "classes": {}, "queues": [1, null]}`:                         "queues[1]: has no value",
		class(`{"args": [1, 1]}`):                                                    "classes.Shop::W.kind: is required",
		class(`{"kind": "worker", "args": [1, 1]}`):                                  "classes.Shop::W.kind: must be sidekiq or active_job",
		class(`{"kind": "sidekiq"}`):                                                 "classes.Shop::W.args: is required",
		class(`{"kind": "sidekiq", "args": [1]}`):                                    "classes.Shop::W.args: must be the minimum and the maximum number of arguments, such as [1, 2], or [1, null] for no maximum",
		class(`{"kind": "sidekiq", "args": [2, 1]}`):                                 "classes.Shop::W.args[1]: must be a whole number from 2 to 1000",
		class(`{"kind": "sidekiq", "args": [1, 1], "queue": "low"}`):                 "classes.Shop::W.queue: is only for an ActiveJob; that of a Sidekiq class is in options",
		class(`{"kind": "sidekiq", "args": [1, 1], "options": {"queue": "a,2"}}`):    "classes.Shop::W.options.queue: must be the name of one queue, without a weight or a comma",
		class(`{"kind": "active_job", "args": [1, 1], "priority": "high"}`):          "classes.Shop::W.priority: must be a whole number or null",
		class(`{"kind": "sidekiq", "args": [1, 1], "options": {"tags": "a"}}`):       "classes.Shop::W.options.tags: must be a list, not a single value",
		class(`{"kind": "sidekiq", "args": [1, 1], "options": {"retry_for": "1h"}}`): "classes.Shop::W.options.retry_for: must be a number of seconds, at most 1000000000",
		class(`{"kind": "sidekiq", "args": [1, 1], "options": 5}`):                   "classes.Shop::W.options: must be a mapping, not a single value",
	} {
		t.Run(text, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "scout.yml"), []byte(strings.Replace(minimal, "queue:", "workers: workers.json\nqueue:", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "workers.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Loader{}.Load(t.Context(), filepath.Join(dir, "scout.yml"))
			want := "FILE: " + want
			if want = strings.ReplaceAll(want, "FILE", filepath.Join(dir, "workers.json")); err == nil || !strings.HasPrefix(err.Error()+"\n", want) {
				t.Errorf("the error is %v\nwant %s", err, want)
			}
		})
	}
}

// TestManifestRetryFor checks that a job has whole seconds, as Sidekiq's client writes them.
func TestManifestRetryFor(t *testing.T) {
	for text, want := range map[string]string{"60.9": "60", "3.6e3": "3600", "60": "60", "false": "false", "null": "null"} {
		manifest := `{"version":1,"classes":{"W":{"kind":"sidekiq","options":{"retry_for":` + text + `},"args":[1,1]}}}`
		c, err := Loader{Env: vars("WORKERS", manifest)}.Load(t.Context(), "redis: {url: redis://localhost}\nworkers: env:WORKERS\nqueue: {topics: {t: W}}\n")
		if err != nil {
			t.Fatal(err)
		}
		check(t, text, string(c.Queues[0].Topics[0].Outcome.(handler.Worker).Options[0].Value), want)
	}
}

// TestWorkersLocation checks the possible locations of a manifest.
func TestWorkersLocation(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("workers.json", workersJSON)
	write("large.json", workersJSON+strings.Repeat(" ", maxSize))
	for location, want := range map[string]string{
		"workers.json":                     "",
		filepath.Join(dir, "workers.json"): "",
		"env:WORKERS":                      "",
		"env:UNSET":                        "workers: environment variable UNSET is not set",
		"hunter2":                          "workers: must be the path of the manifest that rake scout:manifest has written, relative to this file, or a reference to its JSON (ssm:/path/name or env:NAME); there is no such file",
		".":                                "; this is not a file",
		"/dev/zero":                        "; this is not a file",
		"workers.json/x":                   "; opening it failed: not a directory",
		"large.json":                       "workers: the manifest is larger than 1MiB",
		"{version: 1}":                     "workers: must be a single value, not a mapping",
		"''":                               "; this is not a file",
		`"a\0"`:                            "; opening it failed: invalid argument",
	} {
		t.Run(location, func(t *testing.T) {
			file := write("scout.yml", fmt.Sprintf("redis: {url: redis://localhost}\nworkers: %s\nqueue: {topics: {t: OrderWorker}}\n", location))
			c, err := Loader{Env: vars("WORKERS", workersJSON)}.Load(t.Context(), file)
			switch {
			case want == "" && err != nil:
				t.Error(err)
			case want == "":
				check(t, "queue", c.Queues[0].Topics[0].Outcome.(handler.Worker).Queue, "critical")
			case err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error is %v, want %s", err, want)
			}
		})
	}
}

// TestWorkersInParameterStore loads a manifest as the Lambda function does, and again
// after it has changed.
func TestWorkersInParameterStore(t *testing.T) {
	s := &store{parameters: map[string]string{"/shop/workers": workersJSON}}
	loader := s.loader(t, "SCOUT_CONFIG", strings.Replace(minimal, "queue:", "workers: ssm:/shop/workers\nqueue:", 1))
	class := func(queue string) string {
		return `{"version":1,"classes":{"W":{"kind":"sidekiq","options":{"queue":"` + queue + `"},"args":[1,1]}}}`
	}
	_, err := loader.Load(t.Context(), "")
	if want := "SCOUT_CONFIG:4: queue.topics.t: the app's manifest (workers) has no such class"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("the error is %v, want %s", err, want)
	}
	for text, want := range map[string]string{class("a"): "a", class("b"): "b"} {
		s.parameters["/shop/workers"] = text
		c, err := loader.Load(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		check(t, "queues", SidekiqQueues(c.Queues...), []string{want})
	}
	s.parameters["/shop/workers"] = `{"version":1,"classes":{"W":{"kind":"sidekiq"}}}`
	_, err = loader.Load(t.Context(), "")
	check(t, "error", fmt.Sprint(err), "SCOUT_CONFIG:3: workers.classes.W.args: is required")
}
