package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/devstack"
)

// fillDead fills the dead-letter queue with n messages that would become jobs.
func (e *endpoint) fillDead(t *testing.T, n int) {
	t.Helper()
	topic, err := e.CreateTopic("dead-orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Subscribe(topic, "arn:aws:sqs:us-east-1:000000000000:dead", nil); err != nil {
		t.Fatal(err)
	}
	for range n {
		if _, err := e.Publish(topic, devstack.Notification{Message: "1"}); err != nil {
			t.Fatal(err)
		}
	}
}

// SIGINT ends a command on a dead-letter queue once the calls in flight are done. The
// remaining messages are visible at once.
func TestInterruptedRedrive(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 30, 5)
	e.fillDead(t, 300)
	p := startScout(t, "dlq", "redrive", "--all", "--rate", "50", "-c", e.config(t, startTestRedis(t), "1s"))
	eventually(t, time.Minute, "messages are sent", func() bool { return e.depth(t, "app") > 10 })
	p.signal(t, syscall.SIGINT)
	err := p.end(t, time.Minute)
	if err == nil || err.Error() != "exit status 1" || !strings.Contains(p.log(), "interrupted; the remaining messages are back in the queue") {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
	if n := e.attribute(t, "dead", types.QueueAttributeNameApproximateNumberOfMessagesNotVisible); n != 0 {
		t.Errorf("%d messages are hidden", n)
	}
	if sent, left := e.depth(t, "app"), e.depth(t, "dead"); sent+left != 300 {
		t.Errorf("%d messages were sent, and %d are left", sent, left)
	}
}

// A command that is interrupted before it has read messages reports nothing about them.
func TestInterruptedSearch(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the end of the connection then ends the context
		ask()
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	e := endpoint{addr: silent.Listener.Addr().String()}
	p := startScout(t, "dlq", "redrive", "-c", e.config(t, startTestRedis(t), "1s"))
	<-asked
	p.signal(t, syscall.SIGINT)
	err := p.end(t, time.Minute)
	if err == nil || err.Error() != "exit status 1" || !strings.HasSuffix(p.log(), "scout: interrupted\n") {
		t.Errorf("scout ended with %v; its log:\n%s", err, p.log())
	}
}

// A command reports messages that an earlier, killed command still hides.
func TestHiddenByAnother(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, 30, 5)
	e.fillDead(t, 20)
	file := e.config(t, startTestRedis(t), "1s")
	p := startScout(t, "dlq", "redrive", "--all", "--rate", "1", "-c", file)
	eventually(t, time.Minute, "a message is sent", func() bool { return e.depth(t, "app") > 0 })
	_ = p.Process.Kill()
	<-p.done
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"dlq", "ls", "-c", file}, nil, &stdout, &stderr); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
	if text := stderr.String(); !strings.Contains(text, "more messages were hidden by another reader, such as a command that was killed") {
		t.Errorf("scout said %q and %q", &stdout, text)
	}
}

func TestBar(t *testing.T) {
	for _, c := range []struct {
		read, total int
		elapsed     time.Duration
		want        string
	}{
		{0, 0, time.Second, "reading"},
		{0, 10, time.Minute, "[........................]   0 %  0 of about 10 read"},
		{50, 100, 2 * time.Second, "[############............]  50 %  50 of about 100 read"},
		{25, 100, 10 * time.Second, "[######..................]  25 %  25 of about 100 read, 30s left"},
		{100, 100, 10 * time.Second, "[########################] 100 %  100 of about 100 read, 0s left"},
	} {
		if got := bar(c.read, c.total, c.elapsed); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
