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

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/test/env"
	"scout/internal/test/lambdaruntime"
)

const (
	functionTimeout = 2 * time.Second
	visibility      = 3   // seconds
	maxReceives     = 200 // far more than any message needs, however slow the machine
	swallowEvery    = 20  // one in so many replies of Redis is lost
)

// The types of function errors.
const (
	timedOut = "Sandbox.Timedout"
	exited   = "Runtime.ExitError"
	returned = "wrapError" // by Scout, as aws-lambda-go names it
)

// A stage is a queue with a dead-letter queue, event source mappings, the
// execution environments of a function, and a Redis server.
type stage struct {
	t        *testing.T
	sqs      *sqs.Client
	queue    string // URL
	queueARN string
	dead     string // URL
	redis    *env.RedisServer
	redisURL string   // of a proxy that loses replies of Redis
	env      []string // of the function

	swallowed atomic.Int64 // replies of Redis

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
	attributes["RedrivePolicy"] = s.redrivePolicy(maxReceives)
	s.queue = s.createQueue(name, attributes)
	s.queueARN = s.arn(s.queue)

	var replies atomic.Int64
	proxy := env.NewProxy(t, s.redis.Addr, func() bool {
		if replies.Add(1)%swallowEvery > 0 {
			return false
		}
		s.swallowed.Add(1)
		return true
	})
	s.redisURL = "redis://" + proxy.Addr
	s.env = []string{"SCOUT_CONFIG=redis: {url: '" + s.redisURL + "'}\nqueue: {name: app, topics: {orders: OrderWorker}}\n"}
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

func (s *stage) redrivePolicy(maxReceives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, s.arn(s.dead), maxReceives)
}

// redrive moves what is left in the queue to the dead-letter queue.
func (s *stage) redrive() {
	s.t.Helper()
	_, err := s.sqs.SetQueueAttributes(s.t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: &s.queue, Attributes: map[string]string{"RedrivePolicy": s.redrivePolicy(1)},
	})
	s.must(err)
	s.await("the queue is empty", func() bool { return depth(s.t, s.sqs, s.queue) == 0 })
}

// startMapping starts an event source mapping with a concurrency of two, and as
// many execution environments. They end with the test.
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

// invoke invokes the function, and counts batches and function errors.
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

// failures returns the number of function errors of a type so far.
func (s *stage) failures(errorType string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors[errorType]
}

// signal sends a signal to a busy function, and waits until there is one.
func (s *stage) signal(signal os.Signal) {
	s.t.Helper()
	s.await("a function is busy", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for f := range s.busy {
			f.Signal(signal)
			return true
		}
		return false
	})
}

// send sends messages in requests of up to ten, at a rate per second, until
// there were n or more and stop is closed.
func (s *stage) send(rng *rand.Rand, rate, n int, next func() body, stop chan struct{}) (sent chan struct{}) {
	rng = rand.New(rand.NewPCG(rng.Uint64(), 0)) // the caller goes on using its own
	start, pace := time.Now(), time.Second/time.Duration(rate)
	sent = make(chan struct{})
	stopped := func() bool {
		select {
		case <-stop:
			return true
		default:
			return false
		}
	}
	go func() {
		defer close(sent)
		for i := 0; i < n || !stopped(); {
			in := &sqs.SendMessageBatchInput{QueueUrl: &s.queue}
			for range 1 + rng.IntN(receiveMax) {
				in.Entries = append(in.Entries, next().entry(i))
				i++
			}
			out, err := s.sqs.SendMessageBatch(context.Background(), in)
			if err != nil || len(out.Failed) > 0 {
				s.t.Errorf("sending messages: %v, %+v", err, out)
				return
			}
			time.Sleep(time.Until(start.Add(time.Duration(i) * pace)))
		}
	}()
	return sent
}

// entry returns the request for the n-th message.
func (b body) entry(n int) types.SendMessageBatchRequestEntry {
	id := strconv.Itoa(n)
	entry := types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &b.text}
	if b.group != "" {
		entry.MessageGroupId, entry.MessageDeduplicationId = &b.group, &id
	}
	if b.attributes != nil {
		entry.MessageAttributes = map[string]types.MessageAttributeValue{}
	}
	for name, value := range b.attributes {
		entry.MessageAttributes[name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
	}
	return entry
}

// jobs returns the argument of each job in Redis, in the order of the queue.
func (s *stage) jobs() (args []string) {
	s.t.Helper()
	for _, payload := range env.Queued(s.t, s.redis.Addr, "queue:default") {
		var job struct{ Args []json.RawMessage }
		s.must(json.Unmarshal([]byte(payload), &job))
		args = append(args, string(job.Args[0]))
	}
	return args
}

// awaitHandled returns when only n messages are left, which are poison, and
// every other message is a job and deleted.
func (s *stage) awaitHandled(poison int) {
	s.t.Helper()
	s.await(fmt.Sprintf("only the poison is left, %d messages", poison), func() bool { return depth(s.t, s.sqs, s.queue) <= poison })
}

// await returns when something holds. Its limit is only for what will never hold.
func (s *stage) await(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.report()
			s.t.Fatalf("still waiting after 5 minutes: %s; %d jobs, %d messages left", what, len(s.jobs()), depth(s.t, s.sqs, s.queue))
		}
	}
}

// deadLetters empties the dead-letter queue and returns the bodies of its messages.
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

// report logs what the function and Redis did.
func (s *stage) report() {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	batches, messages := 0, 0
	for size, n := range s.batches {
		batches += n
		messages += n * size
	}
	s.t.Logf("%d batches of %d sizes with %d messages, including redelivered ones; function errors: %v; lost replies: %d",
		batches, len(s.batches), messages, s.errors, s.swallowed.Load())
}
