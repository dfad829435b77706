package sidekiq

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"
)

// deadJob returns a job of n entries for the dead set.
func deadJob(name, group string, n int) Job {
	job := Job{Group: group}
	for i := range n {
		jid := fmt.Sprintf("%s-%d", name, i)
		job.Dead = append(job.Dead, DeadEntry{jid, []byte(`{"jid":"` + jid + `"}`)})
	}
	return job
}

func testDead(t *testing.T, addr string) {
	c := newTestClient(t, addr, nil)
	jobs := testJobs("q", 3)
	batch := []Job{jobs[0], deadJob("a", "", 2), jobs[1], deadJob("b", "", 1), jobs[2]}
	for i, result := range mustPush(t, c, batch) {
		want := Enqueued
		if batch[i].Dead != nil {
			want = Dead
		}
		if result.Outcome != want {
			t.Errorf("job %d: %+v, want outcome %d", i, result, want)
		}
	}
	if results := mustPush(t, c, batch); count(results, Duplicate) != len(batch) {
		t.Errorf("pushed again: %+v", results)
	}
	if n := do(t, addr, "ZCARD", "dead"); n != int64(3) {
		t.Errorf("%v entries, want 3", n)
	}
	if n := do(t, addr, "LLEN", "queue:q"); n != int64(3) {
		t.Errorf("%v jobs, want 3", n)
	}
	if ttl, _ := do(t, addr, "PTTL", "scout:a-0:dead").(int64); ttl <= 0 || ttl > time.Hour.Milliseconds() {
		t.Errorf("the marker lives %d ms", ttl)
	}

	// An entry does not block its job, but a job makes its entry a duplicate.
	fixed := Job{JID: "a-0", Queue: "q", Payload: []byte(`{}`)}
	if results := mustPush(t, c, []Job{fixed}); results[0].Outcome != Enqueued {
		t.Errorf("the job of an entry: %+v", results)
	}
	pushed := Job{Dead: []DeadEntry{{jobs[0].JID, []byte("{}")}}}
	if results := mustPush(t, c, []Job{pushed}); results[0].Outcome != Duplicate {
		t.Errorf("the entry of a job: %+v", results)
	}
	// With one of two entries known, only the other is added.
	half := deadJob("a", "", 3)
	if results := mustPush(t, c, []Job{half}); results[0].Outcome != Dead || do(t, addr, "ZCARD", "dead") != int64(4) {
		t.Errorf("one new entry: %+v, %v entries", results, do(t, addr, "ZCARD", "dead"))
	}
	if n, err := c.DeadSet(t.Context()); n != 4 || err != nil {
		t.Errorf("DeadSet = %d, %v", n, err)
	}
}

func testDeadSetRefuses(t *testing.T, addr string) {
	c := newTestClient(t, addr, nil)
	do(t, addr, "EVAL", `for i = 1, tonumber(ARGV[1]) do redis.call('ZADD', KEYS[1], i, i) end`, 1, "dead", MaxDeadSet-1)
	jobs := testJobs("q", 4)
	jobs[0].Group, jobs[1].Group, jobs[2].Group, jobs[3].Group = "g", "h", "", "g"
	batch := []Job{deadJob("a", "g", 2), jobs[0], deadJob("b", "g", 1), jobs[1], jobs[2], jobs[3]}
	check := func(results []Result, want ...any) {
		t.Helper()
		for i, result := range results {
			if err, ok := want[i].(error); ok && !errors.Is(result.Err, err) || !ok && result.Outcome != want[i] {
				t.Errorf("job %d: %+v, want %v", i, result, want[i])
			}
		}
	}
	// The first message fits, with all its entries. The second does not, and holds its group.
	check(mustPush(t, c, batch), Dead, Enqueued, ErrDeadSet, Enqueued, Enqueued, ErrHeldBack)
	if n := do(t, addr, "ZCARD", "dead"); n != int64(MaxDeadSet+1) {
		t.Errorf("%v entries: the dead set must not be trimmed", n)
	}
	do(t, addr, "SET", "dead", "of another type")
	check(mustPush(t, c, []Job{deadJob("c", "", 1), testJobs("r", 1)[0]}), ErrDeadSet, Enqueued)
	if c.Failing() {
		t.Error("the client is failing, though it can push jobs")
	}
	if _, err := c.DeadSet(t.Context()); err == nil {
		t.Error("DeadSet finds no fault with another type")
	}
}

func TestDeadEntry(t *testing.T) {
	template := JobTemplate{Class: "Orders::SyncJob", Queue: "critical", Retry: Int(5), Tags: []string{"sns"}}
	id := template.JobID(Identity{"sns", "arn", []string{"1"}})
	entry := template.DeadEntry(Call{ID: id, Args: []json.RawMessage{[]byte(`"x"`)}, At: time.Unix(1767323045, 0)}, "Scout::Rejected", "a \"b\"")
	want := `{"retry":5,"queue":"critical","class":"Orders::SyncJob","args":["x"],"jid":"` + id.JID() + `","created_at":1767323045.000000,"enqueued_at":1767323045.000000,"tags":["sns"],` +
		`"error_message":"a \"b\"","error_class":"Scout::Rejected","failed_at":1767323045.000000,"retry_count":0}`
	if string(entry.Payload) != want || entry.JID != id.JID() {
		t.Errorf("got  %s\nwant %s", entry.Payload, want)
	}
}
