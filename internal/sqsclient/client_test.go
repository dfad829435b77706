package sqsclient

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

// A service is an HTTP server that gives scripted responses in place of SQS.
type service struct {
	*httptest.Server
	handler  atomic.Value // an http.HandlerFunc
	requests atomic.Int32
	fromSDK  atomic.Int32 // requests that the SDK made itself
	dials    atomic.Int32
}

// newService starts a service that responds like SQS.
func newService(t *testing.T) *service {
	t.Helper()
	s := prepareService(t)
	s.Start()
	return s
}

func prepareService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.setHandler(s.succeed)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if r.Header.Get("Amz-Sdk-Invocation-Id") != "" {
			s.fromSDK.Add(1)
		}
		s.handler.Load().(http.HandlerFunc)(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.dials.Add(1)
		}
	}
	t.Cleanup(s.Close)
	return s
}

// setHandler sets how the service responds.
func (s *service) setHandler(h http.HandlerFunc) { s.handler.Store(h) }

func (s *service) succeed(w http.ResponseWriter, r *http.Request) {
	_, _ = io.ReadAll(r.Body)
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ReceiveMessage") {
		fmt.Fprint(w, oneMessage)
	} else {
		fmt.Fprint(w, oneDeleted)
	}
}

// both makes both calls, which must succeed.
func both(t *testing.T, c calls) {
	t.Helper()
	out, err := receive(t.Context(), c)
	if err != nil || len(out.Messages) != 1 || *out.Messages[0].Body != `{"a":"\u00fc"}` {
		t.Fatalf("ReceiveMessage = %v, %v", out, err)
	}
	deleted, err := remove(t.Context(), c)
	if err != nil || len(deleted.Successful) != 1 || len(deleted.Failed) != 1 || !deleted.Failed[0].SenderFault {
		t.Fatalf("DeleteMessageBatch = %v, %v", deleted, err)
	}
}

// warm returns a Client with a template for both calls.
func warm(t *testing.T, sdk *sqs.Client) *Client {
	t.Helper()
	c := newClient(sdk)
	both(t, c)
	return c
}

func TestFirstCallsAreMadeByTheSDK(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	s.dials.Store(0)
	for range 4 {
		both(t, c)
	}
	if s.requests.Load() != 10 || s.fromSDK.Load() != 2 || s.dials.Load() != 1 {
		t.Errorf("%d of %d requests came from the SDK, want 2 of 10; the others came on %d connections, want 1", s.fromSDK.Load(), s.requests.Load(), s.dials.Load())
	}
}

// Requests are the same as the SDK's.
func TestRequests(t *testing.T) {
	s := newService(t)
	var bodies, headers []string
	s.setHandler(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		for _, name := range []string{"Authorization", "X-Amz-Date", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request", "Accept-Encoding"} {
			r.Header.Del(name)
		}
		headers = append(headers, fmt.Sprint(r.Method, r.URL, r.Host, r.Header))
		s.succeed(w, r)
	})
	rare := sqs.ReceiveMessageInput{
		QueueUrl: aws.String("q"), MessageAttributeNames: []string{}, VisibilityTimeout: 7, ReceiveRequestAttemptId: aws.String("id"),
		//lint:ignore SA1019 callers may still use it
		AttributeNames: []types.QueueAttributeName{"All"},
	}
	c := newClient(newSDK(s.URL + "/behind/a/path"))
	for range 2 {
		both(t, c)
		_, _ = c.ReceiveMessage(t.Context(), &rare)
	}
	// The template made of the first receive already serves the second one.
	if !reflect.DeepEqual(bodies[:2], bodies[3:5]) || !reflect.DeepEqual(headers[:2], headers[3:5]) {
		t.Errorf("requests differ:\n%q\n%q", bodies, headers)
	}
	sdk := newSDK(s.URL)
	_, _ = sdk.ReceiveMessage(t.Context(), &rare)
	if bodies[2] != bodies[6] {
		t.Errorf("a request with every parameter is\n%s, the SDK's is\n%s", bodies[2], bodies[6])
	}
}

// responses returns handlers for what SQS and the network may do to a request.
func responses() map[string]http.HandlerFunc {
	reject := func(status int, code, message string, headers ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type":%q,"message":%q}`, code, message)
		}
	}
	cut := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	return map[string]http.HandlerFunc{
		"no such queue": reject(400, "com.amazonaws.sqs#QueueDoesNotExist", "no such queue", "X-Amzn-Query-Error", "AWS.SimpleQueueService.NonExistentQueue;Sender"),
		"access denied": reject(403, "com.amazon.coral.service#AccessDeniedException", "not you"),
		"throttled":     reject(400, "com.amazonaws.sqs#RequestThrottled", "slower"),
		"over limit":    reject(403, "com.amazonaws.sqs#OverLimit", "too many in flight"),
		"expired token": reject(403, "com.amazon.coral.service#ExpiredTokenException", "old"),
		"internal":      reject(500, "com.amazon.coral.service#InternalFailure", "oops"),
		"unavailable":   func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusServiceUnavailable) },
		"no JSON":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"other JSON":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"Messages":{},"Failed":"all"}`) },
		"half a JSON":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, oneMessage[:60]) },
		"nulls": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"Messages":[{"MessageId":null,"Body":"b","Attributes":null}],"Failed":null,"Successful":[{"Id":null}]}`)
		},
		"nothing":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"an empty body": func(http.ResponseWriter, *http.Request) {},
		"chunks":        func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); fmt.Fprint(w, oneMessage) },
		"a closed connection": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			fmt.Fprint(w, oneMessage)
		},
		"a cut connection": cut,
		"a cut response": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, oneMessage)
			w.(http.Flusher).Flush()
			cut(w, r)
		},
	}
}

// Whatever SQS or the network does, the outcome and the number of requests are
// those of the SDK.
func TestResponses(t *testing.T) {
	for name, handler := range responses() {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			sdk := newSDK(s.URL)
			both(t, sdk)
			c := warm(t, newSDK(s.URL))
			s.setHandler(handler)
			s.requests.Store(0)
			received, err := receive(t.Context(), sdk)
			deleted, err2 := remove(t.Context(), sdk)
			requests := s.requests.Swap(0)
			gotReceived, gotErr := receive(t.Context(), c)
			gotDeleted, gotErr2 := remove(t.Context(), c)
			sameError(t, gotErr, err)
			sameError(t, gotErr2, err2)
			if err == nil && !reflect.DeepEqual(gotReceived.Messages, received.Messages) {
				t.Errorf("received %v, the SDK received %v", gotReceived.Messages, received.Messages)
			}
			if err2 == nil && (!reflect.DeepEqual(gotDeleted.Failed, deleted.Failed) || !reflect.DeepEqual(gotDeleted.Successful, deleted.Successful)) {
				t.Errorf("deleted %v, the SDK deleted %v", gotDeleted, deleted)
			}
			if got := s.requests.Load(); got != requests {
				t.Errorf("%d requests, the SDK made %d", got, requests)
			}
			s.setHandler(s.succeed)
			both(t, c)
		})
	}
}

// Input that the SDK rejects is rejected.
func TestInvalidInput(t *testing.T) {
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	s.setHandler(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
	_, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{})
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); !ok {
		t.Errorf("error = %v", err)
	}
	_, err = c.DeleteMessageBatch(t.Context(), &sqs.DeleteMessageBatchInput{Entries: []types.DeleteMessageBatchRequestEntry{{}}})
	if _, ok := errors.AsType[smithy.InvalidParamsError](err); !ok {
		t.Errorf("error = %v", err)
	}
}

// sameError compares the properties of errors that callers look at.
func sameError(t *testing.T, got, want error) {
	t.Helper()
	var gotAPI, wantAPI smithy.APIError
	if errors.As(got, &gotAPI) != errors.As(want, &wantAPI) || reflect.TypeOf(gotAPI) != reflect.TypeOf(wantAPI) {
		t.Errorf("error = %v, the SDK's is %v", got, want)
	} else if wantAPI != nil && gotAPI.Error() != wantAPI.Error() {
		t.Errorf("error = %v, the SDK's is %v", gotAPI, wantAPI)
	}
	if (got == nil) != (want == nil) {
		t.Errorf("error = %v, the SDK's is %v", got, want)
	}
}
