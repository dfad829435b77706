package lambdaruntime

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"scout/internal/uuid"
)

// functionName is the name of the function, unless Function.Env sets another.
const functionName = "function"

// An invocation is one event on its way to a process and back.
type invocation struct {
	id       string
	event    []byte
	timeout  time.Duration
	deadline time.Time
	answer   chan answer // buffers one
}

type answer struct {
	response []byte
	err      error
}

func newInvocation(event []byte, timeout time.Duration) *invocation {
	return &invocation{
		id:       uuid.New(),
		event:    event,
		timeout:  timeout,
		deadline: time.Now().Add(timeout),
		answer:   make(chan answer, 1),
	}
}

// newTrace returns an X-Ray trace header with random ids.
func newTrace() string {
	var b [12]byte
	rand.Read(b[:])
	return fmt.Sprintf("Root=1-%08x-%x;Parent=%x;Sampled=0", time.Now().Unix(), b, b[:8])
}

func (i *invocation) timedOut() error {
	return &InvocationError{"Sandbox.Timedout", fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", i.id, i.timeout.Seconds())}
}

// api returns the Runtime API: "Using the Lambda runtime API for custom runtimes"
// in the AWS Lambda Developer Guide.
func (p *process) api() http.Handler {
	const root = "/2018-06-01/runtime"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"/invocation/next", p.serveNext)
	mux.HandleFunc("POST "+root+"/invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		p.settle(w, r, answer{response: body}, err)
	})
	mux.HandleFunc("POST "+root+"/invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		reported, err := readError(r)
		p.settle(w, r, answer{err: reported}, err)
	})
	mux.HandleFunc("POST "+root+"/init/error", func(w http.ResponseWriter, r *http.Request) {
		if reported, err := readError(r); err == nil {
			select {
			case p.initError <- reported:
			default: // an earlier one counts
			}
		}
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}

// serveNext responds when there is an event.
func (p *process) serveNext(w http.ResponseWriter, r *http.Request) {
	p.readyOnce.Do(func() { close(p.ready) })
	select {
	case i := <-p.next:
		p.mu.Lock()
		p.current[i.id] = i
		p.mu.Unlock()
		h := w.Header()
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(i.deadline.UnixMilli()))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:"+functionName)
		h.Set("Lambda-Runtime-Trace-Id", newTrace())
		_, _ = w.Write(i.event)
	case <-r.Context().Done():
	}
}

// settle ends the invocation that the request is about, once.
func (p *process) settle(w http.ResponseWriter, r *http.Request, a answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.current[r.PathValue("id")]
	if err != nil || i == nil {
		http.Error(w, `{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}`, http.StatusBadRequest)
		return
	}
	i.answer <- a
	delete(p.current, i.id)
	w.WriteHeader(http.StatusAccepted)
}

// readError reads the error that a function reports.
func readError(r *http.Request) (reported *InvocationError, err error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	reported = &InvocationError{}
	if json.Unmarshal(body, reported) != nil {
		reported.Message = string(body)
	}
	reported.Type = cmp.Or(reported.Type, r.Header.Get("Lambda-Runtime-Function-Error-Type"), "Unhandled")
	return reported, nil
}
