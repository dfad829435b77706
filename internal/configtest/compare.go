package configtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"scout/config"
	"scout/internal/explain"
)

// A Difference is one difference between the outcome of a test's messages and the
// expected result. Its JSON is that of scout test --output json. The keys are part of
// Scout's interface.
type Difference struct {
	// Message is the number of the message, from 1, if its outcome differs; otherwise
	// Job is the number of the job that differs. The other one is 0.
	Message int `json:"message,omitempty"`
	Job     int `json:"job,omitempty"`

	Key      string          `json:"key,omitempty"`      // in the job, such as args[0].id; "" for all of it
	Expected json.RawMessage `json:"expected,omitempty"` // nil if the test expects no such job or key
	Actual   json.RawMessage `json:"actual,omitempty"`   // nil if there is no such job or key
}

// compare compares the results for the messages of a test with the expected result.
func compare(t *config.Test, results []explain.Result) (differences []Difference) {
	expected := "job"
	switch {
	case t.Rejected != "":
		expected = fmt.Sprintf("rejected (%s)", t.Rejected)
	case t.Ignored:
		expected = "ignored"
	}
	var jobs []json.RawMessage
	for i, r := range results {
		for _, job := range r.Jobs {
			jobs = append(jobs, job.Payload)
		}
		ok := t.Ignored && r.Ignored || t.Rejected != "" && r.Rejection != nil && r.Rejection.Reason == t.Rejected
		if t.Jobs != nil {
			ok = r.Rejection == nil && (!r.Ignored || len(results) > 1)
		}
		if !ok {
			differences = append(differences, Difference{Message: i + 1, Expected: encode(expected), Actual: encode(describe(r))})
		}
	}
	if t.Jobs == nil || len(differences) > 0 {
		return differences
	}
	for i := range max(len(t.Jobs), len(jobs)) {
		d := Difference{Job: i + 1}
		switch {
		case i >= len(t.Jobs):
			d.Actual = jobs[i]
			differences = append(differences, d)
		case i >= len(jobs):
			d.Expected = object(t.Jobs[i])
			differences = append(differences, d)
		default:
			differences = append(differences, compareJob(i+1, t.Jobs[i], jobs[i])...)
		}
	}
	return differences
}

// describe returns the outcome of a message as text.
func describe(r explain.Result) string {
	switch r.Outcome() {
	case explain.Rejected:
		return fmt.Sprintf("rejected (%s): %s", r.Rejection.Reason, r.Rejection.Detail)
	case explain.Ignored:
		return "ignored"
	}
	var jobs []string
	for _, job := range r.Jobs {
		jobs = append(jobs, job.Class+" on "+job.Queue)
	}
	return "job (" + strings.Join(jobs, ", ") + ")"
}

// object returns an expected job as JSON.
func object(job config.ExpectedJob) json.RawMessage {
	b := []byte{'{'}
	for i, k := range job {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, encode(k.Name)...), ':'), k.Value...)
	}
	return append(b, '}')
}

// compareJob compares the keys of an expected job with those of the n-th job. For an
// ActiveJob, it compares the class and the arguments of the ActiveJob itself, not those
// of the class that wraps it.
func compareJob(n int, expected config.ExpectedJob, payload json.RawMessage) []Difference {
	job, _ := decode(payload).(map[string]any)
	if wrapped, ok := job["wrapped"]; ok {
		job["class"] = wrapped
		if args, ok := job["args"].([]any); ok && len(args) == 1 {
			if call, ok := args[0].(map[string]any); ok {
				job["args"] = call["arguments"]
			}
		}
	}
	c := comparison{job: n}
	for _, k := range expected {
		value := decode(k.Value)
		actual, ok := job[k.Name]
		if !ok {
			c.add(k.Name, k.Value, nil)
			continue
		}
		if k.Name == "args" {
			actual = trimMetadata(value, actual)
		}
		c.compare(k.Name, value, actual)
	}
	return c.differences
}

// trimMetadata removes the keys that the test does not give from the argument metadata.
// Most of these keys depend on the delivery of a message.
func trimMetadata(expected, actual any) any {
	want, _ := expected.([]any)
	args, _ := actual.([]any)
	args = slices.Clone(args)
	for i := range min(len(want), len(args)) {
		w, ok := want[i].(map[string]any)
		metadata, isObject := args[i].(map[string]any)
		if !ok || !isObject || metadata["source"] == nil || metadata["sqs_message_id"] == nil || metadata["receive_count"] == nil {
			continue
		}
		metadata = maps.Clone(metadata)
		maps.DeleteFunc(metadata, func(key string, _ any) bool { _, ok := w[key]; return !ok })
		args[i] = metadata
	}
	return args
}

// A comparison collects the differences of a job.
type comparison struct {
	job         int
	differences []Difference
}

func (c *comparison) add(key string, expected, actual json.RawMessage) {
	c.differences = append(c.differences, Difference{Job: c.job, Key: key, Expected: expected, Actual: actual})
}

// compare compares two values of JSON, and adds the innermost values that differ.
// Numbers are equal only if their texts are the same, because Ruby distinguishes 1 from
// 1.0.
func (c *comparison) compare(key string, expected, actual any) {
	switch e := expected.(type) {
	case map[string]any:
		a, ok := actual.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(e)
		maps.Copy(keys, a)
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			path := key + "." + name
			ev, isExpected := e[name]
			av, exists := a[name]
			switch {
			case !isExpected:
				c.add(path, nil, encode(av))
			case !exists:
				c.add(path, encode(ev), nil)
			default:
				c.compare(path, ev, av)
			}
		}
		return
	case []any:
		a, ok := actual.([]any)
		if !ok || len(a) != len(e) {
			break
		}
		for i := range e {
			c.compare(fmt.Sprintf("%s[%d]", key, i), e[i], a[i])
		}
		return
	}
	if !reflect.DeepEqual(expected, actual) {
		c.add(key, encode(expected), encode(actual))
	}
}

// decode decodes JSON. Numbers keep their digits.
func decode(text json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&v) // cannot fail: the text is JSON of a job, or made from YAML
	return v
}

// encode encodes a value from decode, or a text.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // cannot fail, for the same reason
	return bytes.TrimSpace(b.Bytes())
}
