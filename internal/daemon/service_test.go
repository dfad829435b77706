package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/handler"
	"scout/internal/budget"
	"scout/internal/devstack"
	"scout/internal/sqsclient"
)

// A world is SNS and SQS with the topics and queues that a test creates, and
// Redis, all in this process.
type world struct {
	*devstack.Server
	addr     string
	redis    *miniredis.Miniredis
	receives atomic.Int64 // calls of ReceiveMessage
	deny     atomic.Bool  // GetQueueAttributes
}

func newWorld(t *testing.T, queues ...string) *world {
	t.Helper()
	w := &world{Server: devstack.NewServer(), redis: startRedis(t)}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("X-Amz-Target") {
		case "AmazonSQS.ReceiveMessage":
			w.receives.Add(1)
		case "AmazonSQS.GetQueueAttributes":
			if w.deny.Load() {
				rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
				rw.WriteHeader(http.StatusForbidden)
				_, _ = rw.Write([]byte(`{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not authorized"}`))
				return
			}
		}
		w.ServeHTTP(rw, r)
	}))
	t.Cleanup(func() { w.Close(); server.CloseClientConnections(); server.Close() })
	w.addr = server.Listener.Addr().String()
	for _, queue := range queues {
		arn := must(w.CreateQueue(queue, nil))(t)
		must(w.Subscribe(must(w.CreateTopic(queue, nil))(t), arn, nil))(t)
	}
	return w
}

// must returns a function that returns v, and fails the test if there is an error.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func startRedis(t *testing.T) *miniredis.Miniredis {
	t.Helper()
	server := must(devstack.StartRedis("127.0.0.1:0"))(t)
	t.Cleanup(server.Close)
	return server
}

// publish publishes to the topic that the queue of the same name is subscribed to.
func (w *world) publish(t *testing.T, topic, message string) {
	t.Helper()
	must(w.Publish(devstack.TopicARN(topic), devstack.Notification{Message: message}))(t)
}

// config returns a configuration: what is given, and where SQS is.
func (w *world) config(t *testing.T, format string, args ...any) *config.Config {
	t.Helper()
	text := fmt.Sprintf(format, args...) + fmt.Sprintf("\naws: {region: us-east-1, access_key: x, secret_key: x, endpoint: \"http://%s\"}\n", w.addr)
	return must(config.Loader{NeedQueue: true}.Load(t.Context(), text))(t)
}

// appConfig returns a configuration of the queue app with one route.
func (w *world) appConfig(t *testing.T, redisAddr, class string) *config.Config {
	t.Helper()
	return w.config(t, "redis: {url: \"redis://%s\"}\nqueue: {name: app, wait_time: 1s, topics: {app: %s}}", redisAddr, class)
}

// A running is a Service that runs.
type running struct {
	*Service
	log    syncBuffer
	next   atomic.Pointer[config.Config] // what Load returns; nil: an error
	reload chan os.Signal
	stop   context.CancelFunc
	done   chan error
}

// run runs a Service, which starts with c.
func run(t *testing.T, c *config.Config, options ...func(*Service)) *running {
	t.Helper()
	r := &running{reload: make(chan os.Signal, 1), done: make(chan error, 1)}
	r.next.Store(c)
	r.Service = &Service{
		Config: c,
		Load: func(context.Context) (*config.Config, error) {
			if c := r.next.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("no such file")
		},
		Reload: r.reload,
		Log:    slog.New(slog.NewTextHandler(&r.log, nil)),
	}
	for _, option := range options {
		option(r.Service)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() { r.done <- r.Run(ctx) }()
	t.Cleanup(stop)
	return r
}

// end stops the Service and waits for the end of Run.
func (r *running) end(t *testing.T) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.done:
		if err != nil {
			t.Errorf("Run: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("Run does not return; log:\n%s", r.log.String())
	}
}

// reloadWith makes the Service reload, which gives it c; nil: an error. It waits
// for the end of that, which is logged as want.
func (r *running) reloadWith(t *testing.T, c *config.Config, want string) {
	t.Helper()
	r.next.Store(c)
	before := strings.Count(r.log.String(), want)
	r.reload <- syscall.SIGHUP
	eventually(t, want, func() bool { return strings.Count(r.log.String(), want) > before })
}

// A syncBuffer can be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// eventuallyJobs waits until Redis holds jobs of these classes, in any order.
func eventuallyJobs(t *testing.T, redis *miniredis.Miniredis, want ...string) {
	t.Helper()
	var got []string
	slices.Sort(want)
	defer func() {
		if t.Failed() {
			t.Logf("jobs of the classes %v, want %v", got, want)
		}
	}()
	eventually(t, "the jobs are there", func() bool {
		got = nil
		payloads, _ := redis.List("queue:default") // an error while there is none
		for _, payload := range payloads {
			_, rest, _ := strings.Cut(payload, `"class":"`)
			class, _, _ := strings.Cut(rest, `"`)
			got = append(got, class)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

func TestRun(t *testing.T) {
	w := newWorld(t, "app")
	w.publish(t, "app", "1")
	var handled atomic.Int64
	var pushed syncBuffer
	r := run(t, w.appConfig(t, w.redis.Addr(), "Worker"), func(s *Service) {
		s.Detailed = true
		s.Observe = func(stats handler.Stats) {
			for _, r := range stats.Results {
				_, _ = pushed.Write(r.Translation.Jobs[0].Payload)
			}
			handled.Add(int64(stats.Received))
		}
	})
	eventuallyJobs(t, w.redis, "Worker")
	eventually(t, "the batch is observed", func() bool { return handled.Load() == 1 })
	if !strings.Contains(pushed.String(), `"class":"Worker"`) {
		t.Errorf("pushed %s", pushed.String())
	}
	r.end(t)
}

// Run stops receiving when its context ends, and returns when what was received
// is a job and deleted.
func TestRunDrains(t *testing.T) {
	w := newWorld(t, "app")
	c := w.config(t, "redis: {url: \"redis://%s\"}\nqueue: {name: app, wait_time: 20s, topics: {app: Worker}}", w.redis.Addr())
	r := run(t, c)
	eventually(t, "a long poll waits", func() bool { return w.receives.Load() == 1 })
	r.stop()
	w.publish(t, "app", "1")
	r.end(t)
	eventuallyJobs(t, w.redis, "Worker")
	if n := w.receives.Load(); n != 1 {
		t.Errorf("%d receives, want none after the end of the context", n)
	}
	client := must(sqsclient.New(t.Context(), c.AWS, r.Log))(t)
	left := must(client.QueueAttributes(t.Context(), devstack.QueueURL(w.addr, "app"),
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible))(t)
	for name, n := range left {
		if n > 0 {
			t.Errorf("%s is %d, want 0", name, n)
		}
	}
	if n := w.redis.CurrentConnectionCount(); n > 0 {
		t.Errorf("%d connections to Redis are left open", n)
	}
}

// A problem at the start ends Run with an error.
func TestRunFails(t *testing.T) {
	w := newWorld(t, "app")
	w.redis.RequireAuth("right")
	for name, c := range map[string]struct {
		config *config.Config
		want   string
	}{
		"no queue at the URL": {w.config(t, "redis: {url: \"redis://:right@%s\"}\nqueue: {url: \"http://%s/000000000000/missing\", topics: {app: W}}", w.redis.Addr(), w.addr), `the SQS queue missing: operation error SQS: GetQueueAttributes, the queue does not exist in region us-east-1`},
		"no such queue":       {w.config(t, "redis: {url: \"redis://:right@%s\"}\nqueue: {name: missing, topics: {app: W}}", w.redis.Addr()), `there is no SQS queue "missing"`},
		"wrong password":      {w.appConfig(t, ":wr0ng@"+w.redis.Addr(), "W"), "wrong Redis credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
			r := run(t, c.config, func(s *Service) { s.Listener = listener })
			var err error
			select {
			case err = <-r.done:
			case <-time.After(20 * time.Second):
				t.Fatal("Run does not return")
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "wr0ng") {
				t.Errorf("error = %v, want %q", err, c.want)
			}
			if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the listener was not closed: %v", err)
			}
		})
	}
	if n := w.receives.Load(); n > 0 {
		t.Errorf("%d receives", n)
	}
}

// A reload changes everything: routes, queues and Redis.
func TestReload(t *testing.T) {
	w := newWorld(t, "app", "users")
	second := startRedis(t)
	r := run(t, w.appConfig(t, w.redis.Addr(), "OldWorker"))
	w.publish(t, "app", "1")
	eventuallyJobs(t, w.redis, "OldWorker")

	r.reloadWith(t, w.appConfig(t, w.redis.Addr(), "NewWorker"), "configuration reloaded")
	w.publish(t, "app", "2")
	eventuallyJobs(t, w.redis, "OldWorker", "NewWorker")

	r.reloadWith(t, w.config(t, "redis: {url: \"redis://%s\"}\nqueues:\n- {name: app, wait_time: 1s, topics: {app: AppWorker}}\n- {name: users, wait_time: 1s, topics: {users: UserWorker}}", second.Addr()), "configuration reloaded")
	w.publish(t, "app", "3")
	w.publish(t, "users", "4")
	eventuallyJobs(t, second, "AppWorker", "UserWorker")
	eventuallyJobs(t, w.redis, "OldWorker", "NewWorker")
	eventually(t, "the former Redis has no connections", func() bool { return w.redis.CurrentConnectionCount() == 0 })
	if s := r.status(t.Context()); s.Config.Reloads != 2 || s.Config.Failures != 0 || s.Redis.Address != second.Addr() || len(s.Queues) != 2 {
		t.Errorf("status = %+v", s)
	}
	r.end(t)
}

// The app's manifest takes effect with the configuration, whose warnings are logged.
func TestWorkers(t *testing.T) {
	w := newWorld(t, "app")
	workers := func(queue string) *config.Config {
		return w.config(t, `redis: {url: "redis://%s"}
workers: '{"version":1,"queues":["served"],"classes":{"Worker":{"kind":"sidekiq","options":{"queue":"%s"},"args":[1,1]}}}'
queue: {name: app, wait_time: 1s, topics: {app: Worker}}`, w.redis.Addr(), queue)
	}
	r := run(t, workers("served"))
	w.publish(t, "app", "0")
	eventually(t, "a job in the served queue", func() bool { jobs, _ := w.redis.List("queue:served"); return len(jobs) == 1 })
	const warning = `level=WARN msg="configuration warning" warning="--config:3: queue.topics.app: no process of the app serves the Sidekiq queue other`
	if strings.Contains(r.log.String(), "configuration warning") {
		t.Errorf("log:\n%s", r.log.String())
	}
	r.reloadWith(t, workers("other"), warning)
	w.publish(t, "app", "1")
	eventually(t, "a job in the class's queue", func() bool { jobs, _ := w.redis.List("queue:other"); return len(jobs) == 1 })
	r.end(t)
}

// max_bytes bounds the bytes in flight of all queues together, and the memory limit follows it.
func TestMaxBytes(t *testing.T) {
	w := newWorld(t, "app")
	var limit atomic.Int64
	r := run(t, w.appConfig(t, w.redis.Addr(), "Worker"), func(s *Service) {
		s.LimitMemory = func(bytes int64) int64 { return limit.Swap(bytes) }
	})
	eventually(t, "a memory limit", func() bool { return limit.Load() == budget.MemoryLimit(64<<20) })
	large := strings.Repeat("x", 200<<10)
	for range 20 {
		w.publish(t, "app", large)
	}
	eventuallyJobs(t, w.redis, slices.Repeat([]string{"Worker"}, 20)...)
	r.reloadWith(t, w.config(t, "redis: {url: \"redis://%s\"}\nmax_bytes: 1MiB\nqueue: {name: app, wait_time: 1s, topics: {app: Worker}}", w.redis.Addr()), "configuration reloaded")
	if got, want := limit.Load(), budget.MemoryLimit(1<<20); got != want {
		t.Errorf("the memory limit is %d, want %d", got, want)
	}
	for range 20 {
		w.publish(t, "app", large)
	}
	eventuallyJobs(t, w.redis, slices.Repeat([]string{"Worker"}, 40)...)
	r.end(t)
	if n := r.budget.InFlight(); n != 0 {
		t.Errorf("%d bytes are in flight at the end", n)
	}
}

// A reload that fails changes nothing, and the status says why it failed.
func TestReloadFails(t *testing.T) {
	w := newWorld(t, "app")
	w.redis.RequireAuth("right")
	good := ":right@" + w.redis.Addr()
	r := run(t, w.appConfig(t, good, "Worker"))
	w.publish(t, "app", "0")
	want := []string{"Worker"}
	eventuallyJobs(t, w.redis, want...)
	for i, c := range []struct {
		name   string
		config *config.Config
		reason string
	}{
		{"cannot be loaded", nil, "no such file"},
		{"no such queue", w.config(t, "redis: {url: \"redis://%s\"}\nqueues:\n- {name: app, topics: {app: LostWorker}}\n- {name: missing, topics: {app: LostWorker}}", good), `there is no SQS queue "missing"`},
		{"wrong password", w.appConfig(t, ":wr0ng@"+w.redis.Addr(), "LostWorker"), "wrong Redis credentials"},
	} {
		r.reloadWith(t, c.config, "reload failed; keeping the previous configuration")
		if s := r.status(t.Context()).Config; s.Failures != i+1 || s.Reloads != 0 || !strings.Contains(s.LastError, c.reason) {
			t.Errorf("%s: status = %+v, want the reason %q", c.name, s, c.reason)
		}
		w.publish(t, "app", fmt.Sprint(i+1))
		want = append(want, "Worker")
		eventuallyJobs(t, w.redis, want...)
	}
	if strings.Contains(r.log.String(), "wr0ng") {
		t.Errorf("the password is in the log:\n%s", r.log.String())
	}
	r.reloadWith(t, w.appConfig(t, good, "Worker"), "configuration reloaded")
	if s := r.status(t.Context()).Config; s.LastError != "" || s.Reloads != 1 {
		t.Errorf("after a good reload: status = %+v", s)
	}
	r.end(t)
}

// A reload that is interrupted because the Service stops has not failed.
func TestStopDuringReload(t *testing.T) {
	w := newWorld(t, "app")
	loading := make(chan struct{})
	r := run(t, w.appConfig(t, w.redis.Addr(), "Worker"), func(s *Service) {
		s.Load = func(ctx context.Context) (*config.Config, error) {
			close(loading)
			<-ctx.Done()
			return nil, ctx.Err()
		}
	})
	r.reload <- syscall.SIGHUP
	<-loading
	r.end(t)
	if strings.Contains(r.log.String(), "reload failed") {
		t.Errorf("log:\n%s", r.log.String())
	}
}

// What a reload brings is checked as a whole: a Redis that fails while the one in
// use works is rejected, and so is a queue that is not there.
func TestReloadIsChecked(t *testing.T) {
	w := newWorld(t, "app", "users")
	away := startRedis(t)
	awayAddr := away.Addr()
	away.Close()
	silent := must(net.Listen("tcp", "127.0.0.1:0"))(t) // accepts, and never answers
	t.Cleanup(func() { silent.Close() })
	untrusted := miniredis.NewMiniRedis()
	tlsServer := httptest.NewTLSServer(nil)
	t.Cleanup(tlsServer.Close)
	if err := untrusted.StartTLS(tlsServer.TLS); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(untrusted.Close)
	full := startRedis(t)
	full.SetError("OOM command not allowed when used memory > 'maxmemory'.")

	const queue = "redis: {url: \"%s\"}\nqueue: {name: users, wait_time: 1s, topics: {users: LostWorker}}"
	good := "redis://" + w.redis.Addr()
	for name, c := range map[string]struct {
		config       *config.Config
		reason, code string
	}{
		"unreachable Redis":     {w.config(t, queue, "redis://"+awayAddr), "connection refused", "redis"},
		"silent Redis":          {w.config(t, queue, "redis://"+silent.Addr().String()), "Redis at " + silent.Addr().String(), "redis"},
		"full Redis":            {w.config(t, queue, "redis://"+full.Addr()), "OOM", "redis"},
		"untrusted certificate": {w.config(t, queue, "rediss://"+untrusted.Addr()), "this Redis cannot be used", "redis"},
		"unreadable authority":  {w.config(t, "redis: {url: \"rediss://%s\", tls: {ca: /nonexistent.pem}}\nqueue: {name: users, topics: {users: LostWorker}}", untrusted.Addr()), "reading the certificates for Redis: open /nonexistent.pem", "redis"},
		"no such queue":         {w.config(t, "redis: {url: \"%s\"}\nqueue: {name: missing, topics: {users: LostWorker}}", good), `there is no SQS queue "missing"`, "queue"},
		"no queue at the URL":   {w.config(t, "redis: {url: \"%s\"}\nqueue: {url: \"http://%s/000000000000/missing\", topics: {users: LostWorker}}", good, w.addr), "the queue does not exist in region us-east-1", "queue"},
		"cannot be loaded":      {nil, "no such file", "config"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := startRedis(t)
			own := newWorld(t, "app")
			r := run(t, own.appConfig(t, redis.Addr(), "Worker"))
			own.publish(t, "app", "1")
			eventuallyJobs(t, redis, "Worker")
			r.reloadWith(t, c.config, "reload failed; keeping the previous configuration")
			if s := r.status(t.Context()).Config; s.Failures != 1 || !strings.Contains(s.LastError, c.reason) || s.LastErrorReason != c.code {
				t.Errorf("status = %+v, want the reason %q, %s", s, c.reason, c.code)
			}
			own.publish(t, "app", "2")
			eventuallyJobs(t, redis, "Worker", "Worker")
			r.end(t)
		})
	}
}

// A warning says that a certificate is not verified.
func TestUnverifiedCertificate(t *testing.T) {
	w := newWorld(t, "app")
	selfSigned := miniredis.NewMiniRedis()
	server := httptest.NewTLSServer(nil)
	t.Cleanup(server.Close)
	if err := selfSigned.StartTLS(server.TLS); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(selfSigned.Close)
	r := run(t, w.config(t, "redis: {url: \"rediss://%s\", tls: {verify: false}}\nqueue: {name: app, wait_time: 1s, topics: {app: Worker}}", selfSigned.Addr()))
	w.publish(t, "app", "1")
	eventuallyJobs(t, selfSigned, "Worker")
	if log := r.log.String(); !strings.Contains(log, `level=WARN msg="Redis certificate not verified"`) {
		t.Errorf("no warning in the log:\n%s", log)
	}
	r.end(t)
}

// If neither the Redis in use nor the new one takes jobs, the new configuration is
// as good as the previous one.
func TestReloadWithoutAnyRedis(t *testing.T) {
	w := newWorld(t, "app")
	second := startRedis(t)
	r := run(t, w.appConfig(t, w.redis.Addr(), "OldWorker"))
	eventually(t, "a poll", func() bool { return w.receives.Load() > 0 })
	c := w.appConfig(t, second.Addr(), "NewWorker")
	w.redis.Close()
	second.Close()
	r.reloadWith(t, c, "configuration reloaded")
	if err := second.Restart(); err != nil {
		t.Fatal(err)
	}
	w.publish(t, "app", "1")
	eventuallyJobs(t, second, "NewWorker")
	r.end(t)
}

// A reload that does not change Redis succeeds while Redis is down.
func TestReloadWhileRedisIsDown(t *testing.T) {
	w := newWorld(t, "app")
	r := run(t, w.appConfig(t, w.redis.Addr(), "OldWorker"))
	eventually(t, "a poll", func() bool { return w.receives.Load() > 0 })
	c := w.appConfig(t, w.redis.Addr(), "NewWorker")
	w.redis.Close()
	r.reloadWith(t, c, "configuration reloaded")
	if err := w.redis.Restart(); err != nil {
		t.Fatal(err)
	}
	w.publish(t, "app", "1")
	eventuallyJobs(t, w.redis, "NewWorker")
	r.end(t)
}

// Without permission to read a queue's attributes, Scout works all the same.
func TestQueueAttributesDenied(t *testing.T) {
	w := newWorld(t, "app")
	w.deny.Store(true)
	r := run(t, w.config(t, "redis: {url: \"redis://%s\"}\nqueue: {url: \"http://%s/000000000000/app\", wait_time: 1s, topics: {app: Worker}}", w.redis.Addr(), w.addr))
	w.publish(t, "app", "1")
	eventuallyJobs(t, w.redis, "Worker")
	r.end(t)
}

// What the log says of a message includes how often it can be received.
func TestMaxReceiveCount(t *testing.T) {
	w := newWorld(t, "dead")
	arn := must(w.CreateQueue("app", map[string]string{"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":7}`}))(t)
	must(w.Subscribe(must(w.CreateTopic("app", nil))(t), arn, nil))(t)
	w.publish(t, "app", `{"poison":1,"poison":2}`)
	r := run(t, w.appConfig(t, w.redis.Addr(), "Worker"))
	eventually(t, "the message is rejected", func() bool { return strings.Contains(r.log.String(), "message rejected") })
	r.end(t)
	if !strings.Contains(r.log.String(), "receive_count=1 max_receive_count=7") {
		t.Errorf("log:\n%s", r.log.String())
	}
}

// A configuration is a value: the Service does not change it.
func TestConfigIsNotChanged(t *testing.T) {
	w := newWorld(t, "app")
	c := w.appConfig(t, w.redis.Addr(), "Worker")
	before := c.String()
	r := run(t, c)
	eventually(t, "a poll", func() bool { return w.receives.Load() > 0 })
	r.reloadWith(t, c, "configuration reloaded")
	r.end(t)
	if c.String() != before {
		t.Errorf("the configuration was changed:\n%s\nbefore:\n%s", c, before)
	}
}
