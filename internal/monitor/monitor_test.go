package monitor

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"scout/internal/poller"
)

func TestReady(t *testing.T) {
	good := Queue{Name: "good", Stats: poller.Stats{Started: true}}
	for name, c := range map[string]struct {
		status Status
		want   string // "" for ready
	}{
		"all is well":           {Status{Queues: []Queue{good, good}}, ""},
		"a limit is no failure": {Status{Queues: []Queue{{Name: "q", Stats: poller.Stats{Started: true}, Exceeded: []string{"latency"}}}}, ""},
		"stopping":              {Status{Stopping: true, Queues: []Queue{good}}, "Scout is stopping\n"},
		"no Redis":              {Status{Redis: Redis{Failing: true}, Queues: []Queue{good}}, "Redis does not accept jobs\n"},
		"one of two":            {Status{Queues: []Queue{good, {Name: "q", Stats: poller.Stats{Started: true, BreakerOpen: true}}}}, "queue q: polling is paused because of a failure\n"},
		"two of two":            {Status{Queues: []Queue{{Name: "p"}, {Name: "q", Stats: poller.Stats{BreakerOpen: true}}}}, "queue p: not started yet\nqueue q: polling is paused because of a failure\n"},
	} {
		m := New(func() Status { return c.status })
		answer := httptest.NewRecorder()
		m.handler().ServeHTTP(answer, httptest.NewRequest("GET", "/readyz", nil))
		code, body := http.StatusServiceUnavailable, c.want
		if c.want == "" {
			code, body = http.StatusOK, "ready\n"
		}
		if answer.Code != code || answer.Body.String() != body {
			t.Errorf("%s: %d %q, want %d %q", name, answer.Code, answer.Body, code, body)
		}
	}
}
