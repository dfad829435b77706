package lambdaruntime

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestAPI checks what aws-lambda-go never does with the Runtime API.
func TestAPI(t *testing.T) {
	p := &process{current: map[string]*invocation{}, ready: make(chan struct{}), initError: make(chan error, 1), next: make(chan *invocation, 1)}
	api := p.api()
	post := func(path, body string) (status int) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/2018-06-01/runtime/"+path, strings.NewReader(body))
		r.Header.Set("Lambda-Runtime-Function-Error-Type", "Runtime.Odd")
		api.ServeHTTP(w, r)
		return w.Code
	}

	for range 2 {
		if status := post("init/error", "odd"); status != http.StatusAccepted {
			t.Errorf("init/error: %d", status)
		}
	}
	if err := <-p.initError; err.Error() != "Runtime.Odd: odd" {
		t.Errorf("init/error: %v", err)
	}

	i := newInvocation([]byte("1"), time.Second)
	p.next <- i
	api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/2018-06-01/runtime/invocation/next", nil))
	for _, step := range []struct {
		path string
		want int
	}{
		{"invocation/other/response", http.StatusBadRequest},
		{"invocation/" + i.id + "/response", http.StatusAccepted},
		{"invocation/" + i.id + "/response", http.StatusBadRequest}, // twice
	} {
		if status := post(step.path, "2"); status != step.want {
			t.Errorf("%s: %d, want %d", step.path, status, step.want)
		}
	}
	if a := <-i.answer; string(a.response) != "2" || a.err != nil {
		t.Errorf("answer = %s, %v", a.response, a.err)
	}
}
