package monitor

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

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

// A loop that hangs is what /healthz is about, and nothing else.
func TestHealthy(t *testing.T) {
	turns := Queue{Name: "turns", Stats: poller.Stats{LoopedAt: time.Now().Add(-time.Second)}}
	hangs := Queue{Name: "hangs", Stats: poller.Stats{LoopedAt: time.Now().Add(-time.Minute)}}
	for name, c := range map[string]struct {
		status Status
		code   int
		body   string
	}{
		"no queues":        {Status{}, 200, "ok\n"},
		"all loops run":    {Status{Queues: []Queue{turns, turns}}, 200, "ok\n"},
		"Redis is failing": {Status{Queues: []Queue{turns}, Redis: Redis{Failing: true}}, 200, "ok\n"},
		"one loop hangs":   {Status{Queues: []Queue{turns, hangs}}, 503, "queue hangs: the polling loop hangs\n"},
		"stopping":         {Status{Queues: []Queue{hangs}, Stopping: true}, 200, "ok\n"},
	} {
		t.Run(name, func(t *testing.T) {
			answer := httptest.NewRecorder()
			New(func() Status { return c.status }).handler().ServeHTTP(answer, httptest.NewRequest("GET", "/healthz", nil))
			if answer.Code != c.code || answer.Body.String() != c.body {
				t.Errorf("%d %q, want %d %q", answer.Code, answer.Body, c.code, c.body)
			}
		})
	}
}
