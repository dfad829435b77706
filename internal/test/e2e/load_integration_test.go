//go:build integration

package e2e

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

// A load is SNS and SQS in the test's process, with a topic "orders" and a queue
// "app", and the number of messages published so far. Message n has the text n.
type load struct {
	*cloud
	url       string
	published atomic.Int64

	server   *devstack.Server
	queueURL string
	topic    string
}

func newLoad(t *testing.T) *load {
	t.Helper()
	l := &load{server: devstack.NewServer()}
	server := httptest.NewServer(l.server)
	t.Cleanup(func() {
		l.server.Close()
		server.CloseClientConnections()
		server.Close()
	})
	l.url, l.cloud = server.URL, newCloud(t, server.URL)
	l.queueURL = l.queue("app")
	l.topic = l.cloud.topic("orders", l.queueURL)
	return l
}

// config returns a configuration for this endpoint and the section redis, a flow
// mapping.
func (l *load) config(redis string) string {
	return fmt.Sprintf(`
redis: %s
aws: {region: us-east-1, access_key: x, secret_key: x, endpoint: %q}
queue: {name: app, wait_time: 1s, topics: {orders: OrderWorker}}
`, redis, l.url)
}

// publish publishes n messages.
func (l *load) publish(n int) {
	for range n {
		message := strconv.FormatInt(l.published.Load(), 10)
		if _, err := l.server.Publish(l.topic, devstack.Notification{Message: message}); err != nil {
			l.Errorf("publishing: %v", err)
			return
		}
		l.published.Add(1)
	}
}

// start publishes some hundred messages a second until stop is called.
func (l *load) start() (stop func()) {
	ctx, cancel := context.WithCancel(l.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			l.publish(5)
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }
}

// depth returns the number of messages in the queue, visible or in flight.
func (l *load) depth() int {
	l.Helper()
	out, err := l.sqs.GetQueueAttributes(l.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &l.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	l.must(err)
	visible, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessages"])
	inFlight, _ := strconv.Atoi(out.Attributes["ApproximateNumberOfMessagesNotVisible"])
	return visible + inFlight
}

// drained waits until the queue has no messages, visible or in flight. Messages
// that were returned to it during an outage are visible again after a minute or
// more.
func (l *load) drained() {
	l.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		n := l.depth()
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			l.Fatalf("after 5 min, the queue has %d messages", n)
		}
	}
}

// counts returns how many of the published messages have no job in a Redis, and
// how many jobs there are besides the first of each message.
func (l *load) counts(server *env.RedisServer) (lost, doubled int) {
	l.Helper()
	jobs := map[string]int{}
	payloads, err := redis.Strings(server.Must("LRANGE", "queue:default", 0, -1), nil)
	l.must(err)
	for _, argument := range env.Arguments(payloads) {
		jobs[argument]++
	}
	for n := range l.published.Load() {
		id := strconv.FormatInt(n, 10)
		if jobs[id] == 0 {
			lost++
		}
		doubled += max(0, jobs[id]-1)
		delete(jobs, id)
	}
	for id := range jobs {
		l.Errorf("there is a job of a message that was not published: %s", id)
	}
	return lost, doubled
}

// mustBeOnce checks that each published message has become one job.
func (l *load) mustBeOnce(server *env.RedisServer) {
	l.Helper()
	lost, doubled := l.counts(server)
	if l.Logf("%d messages: %d lost, %d doubled", l.published.Load(), lost, doubled); lost > 0 || doubled > 0 {
		l.Error("messages must not be lost or doubled")
	}
}
