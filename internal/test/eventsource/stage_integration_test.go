//go:build integration

package eventsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
	"scout/internal/test/lambdaruntime"
)

// The timeouts of a stage. What fails is tried again maxReceives times: often
// enough for all the trouble of a test, which lasts for less than
// visibility * maxReceives.
const (
	functionTimeout = 2 * time.Second
	visibility      = 3 // seconds
	maxReceives     = 10
	swallowEvery    = 20 // answers of Redis, one is
)

// The types of function errors.
const (
	timedOut = "Sandbox.Timedout"
	exited   = "Runtime.ExitError"
	returned = "wrapError" // by Scout, as aws-lambda-go names it
)

// A stage is a queue with a dead-letter queue, event source mappings, the
// execution environments of a function, and a Redis.
type stage struct {
	t        *testing.T
	sqs      *sqs.Client
	queue    string // URL
	queueARN string
	dead     string // URL
	redis    *env.RedisServer
	env      []string // of the function

	swallowed atomic.Int64 // answers of Redis

	mu      sync.Mutex // guards what follows
	busy    map[*lambdaruntime.Function]bool
	batches map[int]int    // by size
	errors  map[string]int // of the function, by type
}

func newStage(t *testing.T, endpoint, name string) *stage {
	t.Helper()
	s := &stage{
		t: t, sqs: newSQS(endpoint), redis: env.Redis(t),
		busy: map[*lambdaruntime.Function]bool{}, batches: map[int]int{}, errors: map[string]int{},
	}
	base, suffix, fifo := strings.Cut(name, ".")
	attributes := map[string]string{}
	if fifo {
		suffix = "." + suffix
		attributes["FifoQueue"] = "true"
	}
	s.dead = s.createQueue(base+"_dead"+suffix, attributes)
	attributes["VisibilityTimeout"] = fmt.Sprint(visibility)
	attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, s.arn(s.dead), maxReceives)
	s.queue = s.createQueue(name, attributes)
	s.queueARN = s.arn(s.queue)

	var answers atomic.Int64
	proxy := env.NewProxy(t, s.redis.Addr, func() bool {
		if answers.Add(1)%swallowEvery > 0 {
			return false
		}
		s.swallowed.Add(1)
		return true
	})
	s.env = []string{"SCOUT_CONFIG=redis: {url: 'redis://" + proxy.Addr + "'}\nqueue: {name: app, topics: {orders: OrderWorker}}\n"}
	return s
}

func (s *stage) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) createQueue(name string, attributes map[string]string) (url string) {
	s.t.Helper()
	out, err := s.sqs.CreateQueue(s.t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	s.must(err)
	return *out.QueueUrl
}

func (s *stage) arn(url string) string {
	s.t.Helper()
	out, err := s.sqs.GetQueueAttributes(s.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	s.must(err)
	return out.Attributes["QueueArn"]
}

func (s *stage) setVisibility(seconds int) {
	s.t.Helper()
	_, err := s.sqs.SetQueueAttributes(s.t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: &s.queue, Attributes: map[string]string{"VisibilityTimeout": strconv.Itoa(seconds)},
	})
	s.must(err)
}

// startMapping starts an event source mapping with a concurrency of two, and
// execution environments for that. They end with the test.
func (s *stage) startMapping(batchSize int, window time.Duration) {
	s.t.Helper()
	const concurrency = 2
	idle := make(chan *lambdaruntime.Function, concurrency)
	for range concurrency {
		idle <- &lambdaruntime.Function{Path: bootstrap, Env: s.env, Timeout: functionTimeout}
	}
	mapping := &Mapping{
		SQS: s.sqs, QueueURL: s.queue, QueueARN: s.queueARN,
		BatchSize: batchSize, Window: window, Concurrency: concurrency,
		Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, event []byte) ([]byte, error) {
			f := <-idle
			defer func() { idle <- f }()
			return s.invoke(ctx, f, event)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { mapping.Run(ctx); close(ended) }()
	s.t.Cleanup(func() {
		cancel()
		<-ended
		for range concurrency {
			(<-idle).Close()
		}
	})
}

// invoke invokes the function and counts that.
func (s *stage) invoke(ctx context.Context, f *lambdaruntime.Function, event []byte) ([]byte, error) {
	s.mu.Lock()
	s.busy[f] = true
	s.batches[strings.Count(string(event), `"receiptHandle":`)]++
	s.mu.Unlock()
	response, err := f.Invoke(ctx, event)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, f)
	if failure, ok := errors.AsType[*lambdaruntime.InvocationError](err); ok {
		s.errors[failure.Type]++
	} else if err != nil {
		s.t.Errorf("invoking the function: %v", err)
	}
	return response, err
}

// failures returns how many function errors there were of a type.
func (s *stage) failures(errorType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors[errorType]
}

// signal sends a signal to a function as soon as one is at work.
func (s *stage) signal(signal os.Signal) {
	s.t.Helper()
	s.await("a function is at work", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for f := range s.busy {
			f.Signal(signal)
			return true
		}
		return false
	})
}

// send sends messages in requests of up to ten over about the given time.
func (s *stage) send(rng *rand.Rand, bodies []body, over time.Duration) (sent chan struct{}) {
	rng = rand.New(rand.NewPCG(rng.Uint64(), 0)) // the caller goes on with its own
	start, pace := time.Now(), over/time.Duration(len(bodies))
	sent = make(chan struct{})
	s.t.Cleanup(func() { <-sent })
	go func() {
		defer close(sent)
		for n := 0; n < len(bodies); {
			some := bodies[n:min(n+1+rng.IntN(receiveMax), len(bodies))]
			in := &sqs.SendMessageBatchInput{QueueUrl: &s.queue}
			for i, b := range some {
				in.Entries = append(in.Entries, b.entry(n+i))
			}
			out, err := s.sqs.SendMessageBatch(s.t.Context(), in)
			if err != nil || len(out.Failed) > 0 {
				s.t.Errorf("sending messages: %v, %+v", err, out)
				return
			}
			n += len(some)
			time.Sleep(time.Until(start.Add(time.Duration(n) * pace)))
		}
	}()
	return sent
}

// entry is the n-th message to be sent.
func (b body) entry(n int) types.SendMessageBatchRequestEntry {
	id := strconv.Itoa(n)
	entry := types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &b.text}
	if b.group != "" {
		entry.MessageGroupId, entry.MessageDeduplicationId = &b.group, &id
	}
	return entry
}

// jobs returns the argument of each job in Redis, the first one first.
func (s *stage) jobs() (args []string) {
	s.t.Helper()
	for _, payload := range env.Queued(s.t, s.redis.Addr, "queue:default") {
		var job struct{ Args []json.RawMessage }
		s.must(json.Unmarshal([]byte(payload), &job))
		args = append(args, string(job.Args[0]))
	}
	return args
}

// awaitJobs returns when there are n jobs or more.
func (s *stage) awaitJobs(n int) {
	s.t.Helper()
	conn, err := redis.Dial("tcp", s.redis.Addr)
	s.must(err)
	defer conn.Close()
	s.await("all jobs are there", func() bool {
		length, err := redis.Int(conn.Do("LLEN", "queue:default"))
		s.must(err)
		return length >= n
	})
}

// awaitEmpty returns when the queue has no message, visible or not.
func (s *stage) awaitEmpty() {
	s.t.Helper()
	s.await("the queue is empty", func() bool { return depth(s.t, s.sqs, s.queue) == 0 })
}

func (s *stage) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.report()
			s.t.Fatalf("not within a minute: %s; %d jobs, %d messages left", what, len(s.jobs()), depth(s.t, s.sqs, s.queue))
		}
	}
}

// deadLetters empties the dead-letter queue and returns the bodies.
func (s *stage) deadLetters() (bodies []string) {
	s.t.Helper()
	for {
		out, err := s.sqs.ReceiveMessage(s.t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &s.dead, MaxNumberOfMessages: receiveMax})
		s.must(err)
		if len(out.Messages) == 0 {
			return bodies
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
			_, err := s.sqs.DeleteMessage(s.t.Context(), &sqs.DeleteMessageInput{QueueUrl: &s.dead, ReceiptHandle: m.ReceiptHandle})
			s.must(err)
		}
	}
}

// report logs what has happened.
func (s *stage) report() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	batches, messages := 0, 0
	for size, n := range s.batches {
		batches += n
		messages += n * size
	}
	s.t.Logf("%d batches of %d sizes with %d messages, redelivered ones among them; function errors: %v; answers swallowed: %d",
		batches, len(s.batches), messages, s.errors, s.swallowed.Load())
}
