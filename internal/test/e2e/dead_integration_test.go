//go:build integration

package e2e

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// A deadEntry is an entry of the dead set as Sidekiq's Web UI shows it.
type deadEntry struct {
	Class, Queue, JID string
	Args              []json.RawMessage
	Retry             json.RawMessage
	ErrorClass        string  `json:"error_class"`
	ErrorMessage      string  `json:"error_message"`
	DiedAgo           float64 `json:"died_ago"` // seconds
	FailedAgo         float64 `json:"failed_ago"`
}

// deadSet returns the entries of the dead set. With retryNow, Sidekiq then retries
// them.
func (a app) deadSet(t *testing.T, redisURL string, retryNow bool) (entries []deadEntry, left int) {
	t.Helper()
	var printed struct {
		Entries []deadEntry
		Left    int
	}
	a.sidekiq.Script(t, redisURL, "dead.rb", retryNow, &printed)
	return printed.Entries, printed.Left
}

// TestRetryRejectedMessages checks that Sidekiq's Web UI shows rejected messages in
// the dead set, and that "Retry now" runs each once.
func TestRetryRejectedMessages(t *testing.T) {
	t.Parallel()
	testRetryRejectedMessages(t, machine)
}

func testRetryRejectedMessages(t *testing.T, a app) {
	url := a.redis(t).URL() + "/1"
	const unroutable = "\n    topic: {by: body:/type, to: {order: PlainWorker}}\n  rejected: dead"
	const plain = "\n    topic: [PlainWorker, {class: \"Orders::SyncWorker\", queue: critical, retry: 5}]\n  rejected: dead"
	const duplicate = `{"type":"order","n":1,"n":2}` // Ruby's json reads it differently in each version
	a.handle(t, url, plain, []string{duplicate})
	a.handle(t, url, unroutable, []string{`{"type":"invoice"}`})
	entries, _ := a.deadSet(t, url, false)
	checkDead(t, entries, duplicate)

	if _, left := a.deadSet(t, url, true); left != 0 {
		t.Errorf("%d entries are left after their retry", left)
	}
	server := a.sidekiq.Start(t, url, "default", "critical")
	executions := server.Wait(len(entries))
	a.handle(t, url, plain, []string{duplicate}) // redelivered after a lost deletion
	if _, left := a.deadSet(t, url, false); left != 0 || len(server.Executed()) != len(entries) {
		t.Errorf("a redelivery made %d entries; %d executions of %d", left, len(server.Executed()), len(entries))
	}
	jids := map[string]deadEntry{}
	for _, entry := range entries {
		jids[entry.JID] = entry
	}
	for _, e := range executions {
		entry, ok := jids[e.JID]
		if !ok || e.Class != entry.Class || e.Queue != entry.Queue {
			t.Errorf("an execution of %s in %s with the jid %s: not of an entry, or the second", e.Class, e.Queue, e.JID)
			continue
		}
		equal(t, "arguments of "+e.Class, e.Arguments, entry.Args)
		delete(jids, e.JID)
	}
}

// checkDead checks the entries of a message whose text Ruby could not read, and of
// one without a route.
func checkDead(t *testing.T, entries []deadEntry, unreadable string) {
	t.Helper()
	quoted, err := json.Marshal(unreadable)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]deadEntry{}
	for _, e := range entries {
		got[e.Class] = e
		if e.ErrorClass != "Scout::Rejected" || len(e.Args) != 1 || e.DiedAgo < 0 || e.DiedAgo > 3600 || e.FailedAgo < 0 || e.FailedAgo > 3600 {
			t.Errorf("the entry %+v", e)
		}
	}
	for class, want := range map[string]struct{ queue, retry, reason string }{
		"PlainWorker":            {"default", "true", "unacceptable: "},
		"Orders::SyncWorker":     {"critical", "5", "unacceptable: "},
		"Scout::RejectedMessage": {"default", "0", "no_route: "},
	} {
		e := got[class]
		if e.Queue != want.queue || string(e.Retry) != want.retry || !strings.HasPrefix(e.ErrorMessage, want.reason) {
			t.Errorf("%s: %+v", class, e)
		}
		if class != "Scout::RejectedMessage" && !bytes.Equal(e.Args[0], quoted) {
			t.Errorf("%s has the argument %s, want %s", class, e.Args[0], quoted)
		}
	}
}
