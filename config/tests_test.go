package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"scout/handler"
)

func job(pairs ...string) ExpectedJob {
	job := ExpectedJob{}
	for i := 0; i < len(pairs); i += 2 {
		job = append(job, ExpectedKey{pairs[i], json.RawMessage(pairs[i+1])})
	}
	return job
}

// withoutNodes returns the tests without their places.
func withoutNodes(tests []Test) []Test {
	for i := range tests {
		tests[i].node = node{}
	}
	return tests
}

// TestReadTests checks the tests of a configuration after reading. Numbers keep all
// digits. Without Loader.Tests, the tests are ignored.
func TestReadTests(t *testing.T) {
	loader := Loader{Env: vars("SCOUT_CONFIG", full)}
	c, err := loader.Load(t.Context(), "")
	if err != nil || c.Tests != nil {
		t.Errorf("%v, %v", c.Tests, err)
	}
	loader.Tests = true
	if c, err = loader.Load(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	source, line, key := c.Tests[1].Place()
	check(t, "place", []any{source, line, key}, []any{"SCOUT_CONFIG", 60, "tests[1]"})
	check(t, "error", c.Tests[1].Error("event", "is %d", 1).Error(), "SCOUT_CONFIG:60: tests[1].event: is 1")
	check(t, "tests", withoutNodes(c.Tests), []Test{
		{
			Name: "an order", Topic: "orders",
			Message:    `{"id":1.0,"big":12345678901234567890,"at":"2026-11-26","text":["é","1",null,true]}`,
			Attributes: map[string]string{"event_type": "order.created", "n": "1"}, Queue: "myapp",
			Jobs: []ExpectedJob{job("class", `"Orders::SyncJob"`, "retry", "5", "lock", `"until_executed"`)},
		},
		{Event: "events/order.json", Rejected: handler.ReasonNoRoute},
		{Body: "env:NOT_RESOLVED {{", Ignored: true},
	})
}

// TestLoadTests loads tests from a file. Files that they name are relative to it.
func TestLoadTests(t *testing.T) {
	c := mustLoad(t, minimal)
	file := filepath.Join(t.TempDir(), "scout_test.yml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("- &a {topic: t, message: 1.0, jobs: [{}]}\n- {<<: *a, message: \"a\\nb\"}\n- {event: a/b.json, ignored: true}\n- {event: /b.json, ignored: true}\n")
	tests, err := c.LoadTests(file)
	if err != nil {
		t.Fatal(err)
	}
	check(t, "tests", withoutNodes(tests), []Test{
		{Topic: "t", Message: "1.0", Jobs: []ExpectedJob{{}}},
		{Topic: "t", Message: "a\nb", Jobs: []ExpectedJob{{}}},
		{Event: filepath.Join(filepath.Dir(file), "a/b.json"), Ignored: true},
		{Event: "/b.json", Ignored: true},
	})
	for text, want := range map[string]string{
		"":          file + ": is empty",
		"tests: []": file + ":1: must be a list of tests, each of which starts with a dash and a space; give a configuration with --config",
		"- {a: @}":  file + ":1: is not valid YAML: found character that cannot start any token; quote a key or value that starts with @, ` or %",
	} {
		write(text)
		if _, err := c.LoadTests(file); err == nil || err.Error() != want {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := c.LoadTests(file + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// TestInvalidTests checks the errors in tests, which name the line and the key.
func TestInvalidTests(t *testing.T) {
	const jobKeys = "Keys of jobs are: class, queue, args, retry, retry_for, backtrace, dead, tags, wrapped, jid, traceparent, tracestate, baggage, and the options of the class"
	one, two := "queue: {name: q, topics: {t: W}}", "queues: [{name: jobs, plain: W}, {name: mail, plain: W}]"
	for name, c := range map[string]struct{ queues, test, want string }{
		"no mapping":        {one, "t", "must be a mapping, not a single value"},
		"unknown key":       {one, "{topc: t, message: x, ignored: true}", `.topc: unknown key; did you mean "topic"? allowed: name, topic, message, attributes, event, body, queue, jobs, rejected, ignored` + "\nmust have exactly one of topic, event and body"},
		"no message":        {one, "{topic: t, ignored: true}", ".message: is required with TEST.topic"},
		"message is null":   {one, "{topic: t, message: , ignored: true}", ".message: has no value"},
		"body and message":  {one, "{body: t, message: t, ignored: true}", ".message: requires topic; the key for the body of an SQS message is body"},
		"topic and body":    {one, "{body: t, topic: t, message: t, ignored: true}", "must have exactly one of topic, event and body"},
		"event, attributes": {one, "{event: e, attributes: {a: b}, ignored: true}", ".attributes: cannot be combined with event, which has its own"},
		"attribute":         {one, "{body: b, attributes: {a: [b], c: }, ignored: true}", ".attributes.a: must be a single value, not a list\n.attributes.c: has no value"},
		"topic":             {one, "{topic: 'a*', message: t, ignored: true}", ".topic: must be the name of a topic, or its full ARN"},
		"nothing expected":  {one, "{body: t}", "must have exactly one of jobs, rejected and ignored"},
		"two expected":      {one, "{body: t, rejected: no_route, jobs: [{}]}", "must have exactly one of jobs, rejected and ignored"},
		"no jobs":           {one, "{body: t, jobs: []}", ".jobs: must not be empty; write rejected or ignored instead"},
		"jobs, no list":     {one, "{body: t, jobs: W}", ".jobs: must be a list, not a single value"},
		"job, no mapping":   {one, "{body: t, jobs: [W]}", ".jobs[0]: must be a mapping, not a single value"},
		"key of a job":      {one, "{body: t, jobs: [{clas: W, strange: 1}]}", `.jobs[0].clas: did you mean "class"? ` + jobKeys},
		"numbers":           {one, "{body: {a: 0x10, b: .5, c: 010, d: .inf, e: 1_0, f: '010', g: 1e5, h: -0}, ignored: true}", ".body.a: NUMBER\n.body.b: NUMBER\n.body.c: NUMBER\n.body.d: NUMBER\n.body.e: NUMBER"},
		"duplicate key":     {one, "{body: {a: 1, a: 2}, ignored: true}", ".body.a: duplicate key; first on line 3"},
		"tag":               {one, "{body: [!x y], ignored: true}", ".body[0]: has an unknown YAML tag; quote a value that starts with !"},
		"reason":            {one, "{body: b, rejected: no_rout}", `.rejected: must be not_envelope, no_route or unacceptable; did you mean "no_route"?`},
		"redis":             {one, "{body: b, rejected: redis}", ".rejected: must be not_envelope, no_route or unacceptable"},
		"ignored":           {one, "{body: b, ignored: false}", ".ignored: must be true, or absent"},
		"queue":             {one, "{body: b, queue: p, ignored: true}", `.queue: is not a queue of the configuration; did you mean "q"? allowed: q`},
		"no queue":          {two, "{body: b, ignored: true}", ".queue: is required, because the configuration has several queues: jobs, mail"},
		"event, no queue":   {two, "{event: b, ignored: true}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := "redis: {url: redis://h}\n" + c.queues + "\ntests: [" + c.test + "]\n"
			_, err := Loader{Env: vars(), Tests: true}.Load(t.Context(), text)
			checkAgreement(t, text, err)
			checkTestErrors(t, "tests[0]", err, c.want)
			config := mustLoad(t, "redis: {url: redis://h}\n"+c.queues)
			file := filepath.Join(t.TempDir(), "x_test.yml")
			if err := os.WriteFile(file, []byte("\n\n["+c.test+"]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = config.LoadTests(file)
			checkTestErrors(t, "[0]", err, c.want)
		})
	}
	if _, err := (Loader{Env: vars()}).Load(t.Context(), minimal+"tests: {a: b}"); err != nil {
		t.Errorf("tests are not ignored: %v", err)
	}
	_, err := Loader{Env: vars(), Tests: true}.Load(t.Context(), "redis: {url: redis://h}\nqueue: {topics: {t: W}}\ntests: [{body: b, queue: p, ignored: true}]")
	checkTestErrors(t, "tests[0]", err, ".queue: must be absent, because the configuration names no queue")
}

// checkTestErrors compares the errors of a test, which is on line 3, without its key.
func checkTestErrors(t *testing.T, key string, err error, want string) {
	t.Helper()
	want = strings.NewReplacer("TEST", key, "NUMBER", "is a number that JSON cannot have; write it as in JSON, or quote it").Replace(want)
	var got []string
	errs, _ := errors.AsType[Errors](err)
	for _, e := range errs {
		if e.Line != 3 || !strings.HasPrefix(e.Key, key) {
			t.Errorf("at the wrong place: %v", e)
		}
		got = append(got, strings.TrimPrefix(strings.TrimPrefix(e.Key, key)+": "+e.Message, ": "))
	}
	check(t, "errors", strings.Join(got, "\n"), want)
}
