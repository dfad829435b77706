package sqsclient

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A recordingGate records the responses that pass it.
type recordingGate struct {
	mu      sync.Mutex
	entered []int64
	inside  int64
	stop    func() // if not nil, called instead of entering
}

func (g *recordingGate) Enter(ctx context.Context, bytes int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop != nil {
		g.stop()
		return ctx.Err()
	}
	g.entered = append(g.entered, bytes)
	g.inside += bytes
	return nil
}

func (g *recordingGate) Leave(bytes int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside -= bytes
}

// Large responses enter the gate before they are read and leave it when the caller has the messages.
// Small responses, and those that are too large to be read, do not.
func TestGate(t *testing.T) {
	large := fmt.Sprintf(`{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"%s"}]}`, strings.Repeat("x", minGated))
	s := newService(t)
	c := warm(t, newSDK(s.URL))
	gate := &recordingGate{}
	c.SetGate(gate)
	both(t, c)
	if len(gate.entered) > 0 {
		t.Errorf("small responses passed the gate: %d", gate.entered)
	}
	sized := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(large)))
		fmt.Fprint(w, large)
	}
	for _, handler := range []http.HandlerFunc{sized, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, large) }} {
		s.setHandler(handler)
		if out, err := receive(t.Context(), c); err != nil || len(*out.Messages[0].Body) != minGated {
			t.Fatalf("ReceiveMessage = %v, %v", out, err)
		}
	}
	if len(gate.entered) != 2 || gate.entered[0] != int64(len(large)) || gate.entered[1] != 10<<20 || gate.inside != 0 {
		t.Errorf("%d have entered, and %d bytes have not left", gate.entered, gate.inside)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gate.stop = cancel
	if _, err := receive(ctx, c); !errors.Is(err, context.Canceled) || gate.inside != 0 {
		t.Errorf("error = %v, and %d bytes have not left", err, gate.inside)
	}
	gate.stop = nil
	s.setHandler(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(math.MaxInt))
	})
	if _, err := c.ReceiveMessage(t.Context(), receiveInput(), once); !errors.Is(err, errBody) || len(gate.entered) != 2 {
		t.Errorf("a response that is too large: error = %v, %d have entered", err, len(gate.entered))
	}
	s.setHandler(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, large[:len(large)-1]) }) // no JSON
	if _, err := receive(t.Context(), c); err == nil || len(gate.entered) != 3 || gate.inside != 0 {
		t.Errorf("error = %v, %d have entered, and %d bytes have not left", err, gate.entered, gate.inside)
	}
}
