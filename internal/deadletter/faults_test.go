package deadletter

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"scout/internal/devstack"
)

// newFaulty returns a fixture on an SQS with faults. It calls fault for each request
// with its action. If fault returns true, it has responded.
func newFaulty(t *testing.T, fault func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool) *fixture {
	t.Helper()
	server := devstack.NewServer()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		served := false
		serve := func() *httptest.ResponseRecorder {
			recorder := httptest.NewRecorder()
			server.ServeHTTP(recorder, r)
			served = true
			return recorder
		}
		action := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
		if !fault(action, w, serve) && !served {
			server.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	return newFixture(t, endpoint.URL)
}

// edit serves a request and changes the lists of the response.
func edit(w http.ResponseWriter, serve func() *httptest.ResponseRecorder, change func(successful, failed []map[string]any) (_, _ []map[string]any)) bool {
	var out struct{ Successful, Failed []map[string]any }
	if err := json.Unmarshal(serve().Body.Bytes(), &out); err != nil {
		panic(err)
	}
	out.Successful, out.Failed = change(out.Successful, out.Failed)
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(out)
	return true
}

// An entry that SQS rejects stays in the dead-letter queue, and one that fails for
// another reason is sent again.
func TestFailedEntries(t *testing.T) {
	t.Parallel()
	var sends atomic.Int64
	s := newFaulty(t, func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool {
		if action != "SendMessageBatch" {
			return false
		}
		n := sends.Add(1)
		return edit(w, serve, func(successful, failed []map[string]any) (_, _ []map[string]any) {
			if n > 1 {
				return successful, failed
			}
			last := successful[len(successful)-1]
			return successful[2:], []map[string]any{
				{"Id": successful[0]["Id"], "Code": "InvalidMessageContents", "Message": "no\nsuch \u001b", "SenderFault": true},
				{"Id": successful[1]["Id"], "Code": "InternalError", "SenderFault": false},
				{"Id": last["Id"], "Code": "InternalError", "SenderFault": false}, // in both lists
				{"Id": "-1", "Code": "Odd"},
			}
		})
	})
	for i := range 10 {
		s.send(envelope("orders", fmt.Sprint(i)))
	}
	r := &Redrive{Scan: s.scan(Choice{})}
	r.Limit = 10
	_, err := r.Run(s.Context())
	s.must(err)
	p := r.Progress()
	wantEqual(s, "sent", p.Sent, 9)
	wantEqual(s, "failed", p.SendFailed, 1)
	wantEqual(s, "deleted", p.Deleted, 9)
	if !strings.HasSuffix(p.LastError, `: InvalidMessageContents: no\u000asuch \u001b`) {
		t.Errorf("the error is %q", p.LastError)
	}
	s.take(s.dead, 1)
}

// A message whose send was not acknowledged is not deleted.
func TestUnacknowledged(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(w http.ResponseWriter, serve func() *httptest.ResponseRecorder){
		"not named": func(w http.ResponseWriter, serve func() *httptest.ResponseRecorder) {
			edit(w, serve, func(_, _ []map[string]any) (_, _ []map[string]any) { return nil, nil })
		},
		"other names": func(w http.ResponseWriter, serve func() *httptest.ResponseRecorder) {
			edit(w, serve, func(_, _ []map[string]any) (_, _ []map[string]any) {
				return []map[string]any{{"Id": "10", "MessageId": "m", "MD5OfMessageBody": "x"}, {"Id": "00x", "MessageId": "m"}}, nil
			})
		},
		"lost response": func(_ http.ResponseWriter, serve func() *httptest.ResponseRecorder) {
			serve()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFaulty(t, func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool {
				if action == "SendMessageBatch" {
					fault(w, serve)
				}
				return action == "SendMessageBatch"
			})
			for i := range 3 {
				s.send(envelope("orders", fmt.Sprint(i)))
			}
			r := &Redrive{Scan: s.scan(Choice{})}
			result, err := r.Run(s.Context())
			p := r.Progress()
			if p.Sent != 0 || p.Deleted != 0 || (p.SendFailed != 3) == (err == nil) || result.Returned != 3 {
				t.Errorf("got %+v, %+v and %v", p, result, err)
			}
			s.take(s.dead, 3)
		})
	}
}

// A message that was sent but not deleted is counted and stays.
func TestFailedDeletions(t *testing.T) {
	t.Parallel()
	s := newFaulty(t, func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool {
		return action == "DeleteMessageBatch" && edit(w, func() *httptest.ResponseRecorder {
			return &httptest.ResponseRecorder{Body: bytes.NewBufferString("{}")}
		}, func(_, _ []map[string]any) (_, _ []map[string]any) {
			return nil, []map[string]any{{"Id": "0", "Code": "InternalError", "Message": "x", "SenderFault": false}}
		})
	})
	s.send(envelope("orders", "1"))
	r := &Redrive{Scan: s.scan(Choice{})}
	result, err := r.Run(s.Context())
	s.must(err)
	p := r.Progress()
	if p.Sent != 1 || p.Deleted != 0 || p.DeleteFailed != 1 || result.Returned != 1 || !strings.Contains(p.LastError, "InternalError: x") {
		t.Errorf("got %+v and %+v", p, result)
	}
}

// Nothing of a FIFO group is sent after a message that was not.
func TestFailedGroup(t *testing.T) {
	t.Parallel()
	s := newFaulty(t, func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool {
		if action != "SendMessageBatch" {
			return false
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		fmt.Fprint(w, `{"Successful":[],"Failed":[{"Id":"0","Code":"InvalidParameterValue","Message":"x","SenderFault":true}]}`)
		return true
	})
	s.suffix = ".fifo"
	s.makeQueues()
	for i := range 5 {
		s.send(envelope("orders", fmt.Sprint(i)), inGroup("a", fmt.Sprint(i)))
	}
	r := &Redrive{Scan: s.scan(Choice{})}
	_, err := r.Run(s.Context())
	s.must(err)
	if p := r.Progress(); p.Sent != 0 || p.SendFailed != 5 || !strings.Contains(p.LastError, "an earlier message of its group") {
		t.Errorf("got %+v", p)
	}
	s.take(s.dead, 5)
}

// If a call is denied, the redrive ends and the messages return.
func TestDenied(t *testing.T) {
	t.Parallel()
	for _, denied := range []string{"SendMessageBatch", "ChangeMessageVisibilityBatch", "DeleteMessageBatch"} {
		t.Run(denied, func(t *testing.T) {
			t.Parallel()
			s := newFaulty(t, func(action string, w http.ResponseWriter, _ func() *httptest.ResponseRecorder) bool {
				if action != denied {
					return false
				}
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, `{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}`)
				return true
			})
			s.send(envelope("orders", "1"))
			scan := s.scan(Choice{})
			scan.Hide = time.Second
			r := &Redrive{Scan: scan}
			if denied == "ChangeMessageVisibilityBatch" {
				r.Selection.IDs = []string{"none"}
				scan.Hide = 10 * time.Second // so that the messages are returned before they are extended
			}
			result, err := r.Run(s.Context())
			switch denied {
			case "DeleteMessageBatch":
				if p := r.Progress(); err == nil || !strings.Contains(err.Error(), "allow sqs:DeleteMessage on the queue") || p.Sent > 0 {
					t.Errorf("got %+v and %v", p, err)
				}
				return
			case "SendMessageBatch":
				if err == nil || !strings.Contains(err.Error(), "allow sqs:SendMessage on the queue") || result.Returned != 1 {
					t.Errorf("got %+v and %v", result, err)
				}
			default:
				if err == nil || !strings.Contains(err.Error(), "allow sqs:ChangeMessageVisibility on the queue") || result.Hidden != 1 {
					t.Errorf("got %+v and %v", result, err)
				}
			}
			s.take(s.dead, 1)
		})
	}
}

// The messages' visibility timeouts are extended for as long as a scan lasts.
func TestExtendedVisibility(t *testing.T) {
	t.Parallel()
	s := newFixture(t, startServer(t))
	for range 25 {
		s.send(envelope("orders", "1"))
	}
	scan := s.scan(Choice{})
	scan.Hide = 2 * time.Second
	var visits atomic.Int64
	scan.Visit = func(_ context.Context, messages []*Message) error {
		visits.Add(int64(len(messages)))
		return nil
	}
	scan.Finish = func(ctx context.Context) error {
		end := time.Now().Add(3 * scan.Hide)
		for deadline := time.Now().Add(time.Minute); len(scan.leases.due(end)) > 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				return errors.New("the leases are not extended")
			}
		}
		return nil
	}
	_, err := scan.Run(t.Context())
	s.must(err)
	wantEqual(s, "messages", visits.Load(), 25)
	s.take(s.dead, 25)
}

// If a visibility timeout could not be extended, the scan tries again.
func TestFailedExtension(t *testing.T) {
	t.Parallel()
	s := newFaulty(t, func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool {
		return action == "ChangeMessageVisibilityBatch" && edit(w, serve, func(successful, failed []map[string]any) (_, _ []map[string]any) {
			for i, e := range successful {
				if e["Id"] == "0" {
					return slices.Delete(successful, i, i+1), append(failed, map[string]any{"Id": "0", "Code": "InternalError", "SenderFault": false})
				}
			}
			return successful, failed
		})
	})
	for range 5 {
		s.send(envelope("orders", "1"))
	}
	scan := s.scan(Choice{})
	scan.Hide = 6 * time.Second
	scan.Finish = func(ctx context.Context) error {
		end, left := time.Now().Add(scan.Hide), 5
		for deadline := time.Now().Add(time.Minute); left > 1; left = len(scan.leases.due(end)) {
			if time.Sleep(10 * time.Millisecond); time.Now().After(deadline) {
				return errors.New("the leases are not extended")
			}
		}
		wantEqual(s, "messages that were not extended", left, 1)
		return nil
	}
	_, err := scan.Run(t.Context())
	s.must(err)
}

// A message is hidden from the time of SQS's response, which may arrive much later.
func TestSlowReceive(t *testing.T) {
	t.Parallel()
	var hidden atomic.Pointer[time.Time]
	s := newFaulty(t, func(action string, w http.ResponseWriter, serve func() *httptest.ResponseRecorder) bool {
		if action != "ReceiveMessage" {
			return false
		}
		response := serve()
		if now := time.Now(); strings.Contains(response.Body.String(), "ReceiptHandle") {
			hidden.Store(&now)
		}
		time.Sleep(10 * time.Millisecond)
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = response.Body.WriteTo(w)
		return true
	})
	s.send(envelope("orders", "1"))
	scan := s.scan(Choice{})
	scan.Limit = 1
	scan.Visit = func(_ context.Context, _ []*Message) error {
		wantEqual(s, "leases that end in time", len(scan.leases.due(hidden.Load().Add(DefaultHide))), 1)
		return nil
	}
	_, err := scan.Run(t.Context())
	s.must(err)
	wantEqual(s, "selected", scan.Progress().Selected, 1)
}
