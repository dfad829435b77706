//go:build integration && matrix

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

// An option is a topic, and the expected job of its message.
type option struct {
	name, route string // of the topic
	message     string // more members of the message
	class       string // of the job
	fields      string // of the job while it is queued, JSON: what Sidekiq's API reads
	set         string // the set of the job after it ran: retry, dead, schedule, or none
	kept        string // more fields of the job in that set, JSON
	unrun       bool   // no worker is called
}

var options = []option{
	{name: "plain", route: `PlainWorker`, class: "PlainWorker", fields: `{"queue":"default","retry":true}`},
	{name: "metadata", route: `{class: "Orders::SyncWorker", queue: critical, args: [message, metadata], tags: [sns, Zoë]}`,
		class: "Orders::SyncWorker", fields: `{"queue":"critical","tags":["sns","Zoë"]}`},
	{name: "active", route: `{class: MailJob, queue: mailers, args: [message, metadata], active_job: true}`, class: "MailJob", fields: `{"queue":"mailers"}`},

	{name: "failing", route: `FailingWorker`, class: "FailingWorker", set: "retry", kept: `{"error_lines":null}`},
	{name: "retry", route: `{class: FailingWorker, retry: 5, backtrace: 2, tags: [sns]}`, class: "FailingWorker",
		fields: `{"retry":5,"backtrace":2,"tags":["sns"]}`, set: "retry", kept: `{"error_lines":2}`},
	{name: "retry-for", route: `{class: FailingWorker, retry_for: 1h, backtrace: false}`, class: "FailingWorker", fields: `{"retry":true,"backtrace":false}`, set: "retry"},
	{name: "retry-for-over", route: `{class: FailingWorker, retry_for: 3s}`, class: "FailingWorker", set: "retry"},
	{name: "active-failing", route: `{class: FailingJob, active_job: true, retry: 3}`, class: "FailingJob", fields: `{"retry":3}`, set: "retry"},
	{name: "unknown", route: `{class: NoSuchWorker}`, class: "NoSuchWorker", set: "retry", kept: `{"error_class":"NameError"}`, unrun: true},
	{name: "active-retried", route: `{class: RetriedJob, active_job: true}`, class: "RetriedJob", set: "schedule", kept: `{"error_class":null,"retry_count":null}`},

	{name: "retry-0", route: `{class: FailingWorker, retry: 0}`, class: "FailingWorker", fields: `{"retry":0}`, set: "dead"},
	{name: "no-dead", route: `{class: FailingWorker, retry: 0, dead: false}`, class: "FailingWorker", fields: `{"retry":0,"dead":false}`},
	{name: "no-retry", route: `{class: FailingWorker, retry: false}`, class: "FailingWorker", fields: `{"retry":false}`},

	{name: "rejected", route: `{class: PlainWorker, queue: critical, retry: 2}`, message: `,"n":1,"n":2`, class: "PlainWorker",
		set: "dead", kept: `{"error_class":"Scout::Rejected","queue":"critical","retry":2}`, unrun: true},
	{name: "unrouted", class: "Scout::RejectedMessage", set: "dead", kept: `{"error_class":"Scout::Rejected","queue":"default","retry":0}`, unrun: true},
}

// text returns the message, which is unique to the option.
func (o option) text() string {
	return fmt.Sprintf(`{"name":"option %s.","id":12345678901234567890%s}`, o.name, o.message)
}

// isRejected reports whether Scout makes no job of the message.
func (o option) isRejected() bool { return o.unrun && o.set == "dead" }

// testOptions publishes a message for each option to Scout's daemon and lets Sidekiq
// run and retry the jobs. It checks the results of Sidekiq's API and the pages of its
// Web UI.
func testOptions(t *testing.T, a app) {
	server := a.redis(t)
	w := &watcher{T: t, app: a, redisURL: server.URL(), store: openStore(t, server.URL())}
	w.publish(w.scoutURL(server))
	w.checkQueued()

	running := len(slices.DeleteFunc(slices.Clone(options), func(o option) bool { return o.unrun }))
	w.checkExecutions(w.run(running, failedOnce))
	failed := time.Now()
	retries := w.checkSets(failedOnce)["retry"]
	eventually(t, "retry-for-over is over", func() bool { return time.Since(failed) > 3*time.Second })

	w.pages("/retries/all/retry")
	w.run(len(retries)-1, failedTwice) // no worker is called for unknown
	dead := w.checkSets(failedTwice)["dead"]

	w.pages("/morgue/all/retry")
	w.checkRejected(w.run(len(dead), revived))
	w.checkSets(revived)
	w.checkBusy()
}

// run lets Sidekiq run all queued jobs until the sets have the contents of a phase. The
// jobs must call n workers. Sidekiq is stopped at the end, because its retry_all would
// retry a job that has just failed a second time, and leave another one in the set.
func (w *watcher) run(n int, p phase) []env.Execution {
	w.Helper()
	server := w.sidekiq.Start(w.T, w.redisURL, "default", "critical", "mailers")
	server.Wait(n)
	for set, want := range w.sets(p) {
		w.store.members(w.key(set), len(want))
	}
	server.Stop()
	executions := server.Executed()
	if len(executions) != n {
		w.Errorf("%d workers were called, want %d", len(executions), n)
	}
	return executions
}

// A watcher checks an app while its jobs run.
type watcher struct {
	*testing.T
	app
	redisURL string
	store    *store
}

// scoutURL returns a URL for Scout, whose user has the permissions of the README.
func (w *watcher) scoutURL(server *env.RedisServer) string {
	w.Helper()
	documented := readACL(w.T)
	args := redis.Args{"SETUSER", "scout", "on", ">secret"}
	for _, permission := range slices.Concat(documented.base, documented.features["`rejected: dead`"]) {
		if key, ok := strings.CutPrefix(permission, "~"); ok {
			permission = "~" + w.key(key)
		}
		args = args.Add(permission)
	}
	server.Must("ACL", args...)
	return "redis://scout:secret@" + server.Addr
}

// publish publishes the messages, and returns when Scout's daemon has deleted them.
func (w *watcher) publish(redisURL string) {
	w.Helper()
	stack := httptest.NewServer(devstack.NewServer())
	w.Cleanup(stack.Close)
	c := newCloud(w.T, stack.URL)
	queue := c.queue("matrix")
	configuration := w.redisKey(redisURL) + fmt.Sprintf(`
aws: {endpoint: %s, region: us-east-1, access_key: test, secret_key: test}
queue:
  name: matrix
  wait_time: 1s
  rejected: dead
  topics:
    endless: {class: EndlessWorker, queue: endless}
`, stack.URL)
	for _, o := range options {
		c.publish(c.topic(o.name, queue), o.text())
		if o.route != "" {
			configuration += "    " + o.name + ": " + o.route + "\n"
		}
	}
	c.publish(c.topic("endless", queue), `{"name":"option endless."}`)
	scout(w.T, configuration)
	c.emptied(queue)
}

// A record is a job as Sidekiq's API shows it.
type record struct {
	Class       string          `json:"display_class"`
	Args        json.RawMessage `json:"display_args"`
	Queue, JID  string
	Latency     float64  // the times are in seconds
	CreatedAgo  float64  `json:"created_ago"`
	EnqueuedAgo *float64 `json:"enqueued_ago"` // nil in the schedule
	Tags        []string
	Message     string `json:"error_message"`
	fields      map[string]any
}

// UnmarshalJSON also keeps all fields.
func (r *record) UnmarshalJSON(text []byte) error {
	type plain record
	if err := json.Unmarshal(text, (*plain)(r)); err != nil {
		return err
	}
	return json.Unmarshal(text, &r.fields)
}

// read returns the jobs in the queues and in each set by the names of their options.
func (w *watcher) read() (queued map[string]record, sets map[string]map[string]record) {
	w.Helper()
	var printed struct {
		Queues []struct{ Jobs []record }
		Sets   map[string][]record
	}
	w.sidekiq.Script(w.T, w.redisURL, "read.rb", nil, &printed)
	queued, sets = map[string]record{}, map[string]map[string]record{}
	for _, q := range printed.Queues {
		w.add(queued, q.Jobs)
	}
	for set, jobs := range printed.Sets {
		sets[set] = map[string]record{}
		w.add(sets[set], jobs)
	}
	return queued, sets
}

func (w *watcher) add(to map[string]record, jobs []record) {
	w.Helper()
	for _, job := range jobs {
		name := optionOf(job.Args)
		if _, ok := to[name]; ok || name == "" {
			w.Errorf("a job of no option, or the second one of it: %v", job.fields)
		}
		to[name] = job
	}
}

var optionName = regexp.MustCompile(`option ([a-z0-9-]+)\.`)

// optionOf returns the name of the option in a message.
func optionOf(message []byte) string {
	if m := optionName.FindSubmatch(message); m != nil {
		return string(m[1])
	}
	return ""
}

// checkQueued checks the jobs before any has run.
func (w *watcher) checkQueued() {
	w.Helper()
	queued, sets := w.read()
	pages := w.pages("")
	for _, o := range options {
		if o.isRejected() {
			w.checkFields(o, sets["dead"][o.name], o.kept)
			w.checkEntry(pages, "dead", sets["dead"][o.name])
			continue
		}
		w.checkFields(o, queued[o.name], o.fields)
		w.checkPage(pages, "/queues/"+queued[o.name].Queue, queued[o.name])
		w.checkPage(pages, "/queues", record{Class: queued[o.name].Queue})
	}
	if jobs := len(queued) + len(sets["dead"]); jobs != len(options)+1 {
		w.Errorf("%d jobs, want %d", jobs, len(options)+1)
	}
}

// checkFields checks a job's class, its times and the fields in the JSON object want.
func (w *watcher) checkFields(o option, job record, want string) {
	w.Helper()
	equal(w.T, "the class of "+o.name, job.Class, o.class)
	for _, age := range []*float64{&job.Latency, &job.CreatedAgo, job.EnqueuedAgo} {
		if age != nil && (*age < 0 || *age > 3600) {
			w.Errorf("%s is %v s old", o.name, *age)
		}
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(cmp.Or(want, "{}")), &fields); err != nil {
		w.Fatal(err)
	}
	for key, value := range fields {
		equal(w.T, key+" of "+o.name, job.fields[key], value)
	}
}

// checkExecutions checks that each job ran, with the message.
func (w *watcher) checkExecutions(executions []env.Execution) {
	w.Helper()
	ran := map[string]env.Execution{}
	for _, e := range executions {
		ran[optionOf(e.Arguments[0])] = e
	}
	for _, o := range options {
		e, ok := ran[o.name]
		if ok == o.unrun {
			w.Errorf("%s ran: %v, want %v", o.name, ok, !o.unrun)
		}
		if !o.unrun && ok {
			equal(w.T, "the class of "+o.name, e.Class, o.class)
			equal(w.T, "the message of "+o.name, value(w.T, string(e.Arguments[0])), value(w.T, o.text()))
		}
	}
}

// checkRejected checks that the rejected messages were given to workers.
func (w *watcher) checkRejected(executions []env.Execution) {
	w.Helper()
	ran := map[string]env.Execution{}
	for _, e := range executions {
		ran[optionOf(e.Arguments[0])] = e
	}
	for _, o := range options {
		if o.isRejected() && ran[o.name].Class != o.class {
			w.Errorf("%s: %s ran, want %s", o.name, ran[o.name].Class, o.class)
		}
	}
}

// A phase is a stage of the jobs' life cycle.
type phase int

const (
	failedOnce  phase = iota
	failedTwice       // after the retries were retried
	revived           // after the dead jobs were retried
)

// sections has the path in the Web UI of each of Sidekiq's sets.
var sections = map[string]string{"retry": "/retries", "dead": "/morgue", "schedule": "/scheduled"}

// sets returns which jobs are in which set.
func (w *watcher) sets(p phase) map[string][]option {
	sets := map[string][]option{}
	for _, o := range options {
		set := o.set
		if o.name == "retry-for-over" && p > failedOnce && w.sidekiq.Suite != "bookworm" { // Sidekiq 6 knows no retry_for
			set = "dead"
		}
		if isRun := o.isRejected() && p == revived; !isRun && set != "" {
			sets[set] = append(sets[set], o)
		}
	}
	return sets
}

// checkSets checks and returns the contents of the sets.
func (w *watcher) checkSets(p phase) map[string]map[string]record {
	w.Helper()
	_, sets := w.read()
	pages := w.pages("")
	for set, want := range w.sets(p) {
		if len(sets[set]) != len(want) {
			w.Errorf("%d jobs in the set %s, want %d", len(sets[set]), set, len(want))
		}
		for _, o := range want {
			w.checkFields(o, sets[set][o.name], o.kept)
			w.checkEntry(pages, set, sets[set][o.name])
			if set == "retry" {
				equal(w.T, "whether "+o.name+" was retried", sets[set][o.name].fields["retried"], p > failedOnce)
			}
		}
	}
	return sets
}

// key returns one of Sidekiq's Redis keys.
func (w *watcher) key(name string) string {
	if w.sidekiq.Namespace != "" {
		return w.sidekiq.Namespace + ":" + name
	}
	return name
}

// A page is a page of the Web UI, without its markup.
type page struct {
	Status int
	Text   string
}

// pages returns all pages, after pressing a button unless that is empty.
func (w *watcher) pages(button string) map[string]page {
	w.Helper()
	var input any
	if button != "" {
		input = button
	}
	var pages map[string]page
	w.sidekiq.Script(w.T, w.redisURL, "web.rb", input, &pages)
	for path, page := range pages {
		if page.Status != http.StatusOK {
			w.Errorf("the page %s has the status %d", path, page.Status)
		}
	}
	return pages
}

// checkPage checks that a page shows a job.
func (w *watcher) checkPage(pages map[string]page, path string, job record) {
	w.Helper()
	shown := append([]string{job.Class, job.Message}, job.Tags...)
	if name := optionOf(job.Args); name != "" {
		shown = append(shown, "option "+name+".")
	}
	for _, text := range shown {
		if text = strings.Join(strings.Fields(text), " "); !strings.Contains(pages[path].Text, text) {
			w.Errorf("the page %s does not show %q: %.2000q", path, text, pages[path].Text)
		}
	}
}

// checkEntry checks that the page of a set and that of its entry show a job.
func (w *watcher) checkEntry(pages map[string]page, set string, job record) {
	w.Helper()
	for path := range pages {
		if strings.HasPrefix(path, sections[set]+"/") && strings.HasSuffix(path, "-"+job.JID) {
			w.checkPage(pages, path, job)
			job.Message = "" // is cut there
			w.checkPage(pages, sections[set], job)
			return
		}
	}
	w.Errorf("no page shows %s of the set %s", optionOf(job.Args), set)
}

// checkBusy checks that the Web UI shows a running job.
func (w *watcher) checkBusy() {
	w.Helper()
	w.sidekiq.Start(w.T, w.redisURL, "endless").Wait(1)
	eventually(w.T, "the process tells what it runs", func() bool { return len(w.store.strings("KEYS", "*:work*")) > 0 })
	w.checkPage(w.pages(""), "/busy", record{Class: "EndlessWorker", Args: json.RawMessage(`option endless.`)})
}
