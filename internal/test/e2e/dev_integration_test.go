//go:build integration

package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"scout/internal/test/env"
)

var (
	exported = regexp.MustCompile(`\b([A-Z_]+)=(\S+)`)
	queues   = regexp.MustCompile(` -q (\S+)`)
)

// TestDev does what scout dev tells a developer to do: it runs Sidekiq on the
// embedded Redis, and publishes to the embedded topics.
func TestDev(t *testing.T) {
	t.Parallel()
	stdout, _ := scout(t, "queue:\n  name: dev"+topics+"    failing: FailingWorker\n", "dev", "--listen", "127.0.0.1:0", "--listen-redis", "127.0.0.1:0")
	var banner string
	eventually(t, "scout dev prints what to do", func() bool {
		text, err := os.ReadFile(stdout)
		banner = string(text)
		return err == nil && strings.Contains(banner, "aws sns publish")
	})
	exports := map[string]string{}
	for _, m := range exported.FindAllStringSubmatch(banner, -1) {
		exports[m[1]] = m[2]
	}
	var names []string
	for _, m := range queues.FindAllStringSubmatch(banner, -1) {
		names = append(names, m[1])
	}
	server := env.Sidekiq(t, exports["REDIS_URL"], names...)

	c := newCloud(t, exports["AWS_ENDPOINT_URL"])
	arn := func(topic string) string { return "arn:aws:sns:us-east-1:000000000000:" + topic }
	calls := publishAll(c, arn)
	c.publish(arn("ledger.fifo"), "1")
	c.publish(arn("failing"), "2")
	executions := server.Wait(len(calls) + 2)
	if len(executions) != len(calls)+2 {
		t.Errorf("%d jobs were executed, want %d", len(executions), len(calls)+2)
	}
	checkCalls(t, calls, executions)
	if kept := openStore(t, exports["REDIS_URL"]).members("retry", 1); !strings.Contains(kept[0], "failing on purpose") {
		t.Errorf("the retry set has %q", kept)
	}
	response, err := http.Get(exports["AWS_ENDPOINT_URL"] + "/_scout/sidekiq")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var lists []struct {
		Kind string
		Jobs []struct{ Class, Error string }
	}
	if err := json.NewDecoder(response.Body).Decode(&lists); err != nil {
		t.Fatal(err)
	}
	shown := false
	for _, list := range lists {
		shown = shown || list.Kind == "Retries"
		if list.Kind == "Retries" && (len(list.Jobs) != 1 || list.Jobs[0].Class != "FailingWorker" || !strings.Contains(list.Jobs[0].Error, "failing on purpose")) {
			t.Errorf("the page shows the retries %+v", list.Jobs)
		}
	}
	if !shown {
		t.Errorf("the page shows no retries: %+v", lists)
	}
	var read struct{ Retries, Enqueued int }
	env.SidekiqScript(t, exports["REDIS_URL"], "read.rb", nil, &read)
	if read.Retries != 1 || read.Enqueued != 0 {
		t.Errorf("Sidekiq reads %+v", read)
	}
}
