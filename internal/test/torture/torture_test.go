//go:build torture

package torture

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scout/internal/devstack"
	"scout/internal/test/env"
	"scout/internal/uuid"
)

// A run does at least as much as the flags say.
var (
	flagSeed       = flag.Uint64("seed", 0, "of the schedule of faults; 0 means a random one")
	flagMessages   = flag.Int("messages", 200_000, "minimum number of messages")
	flagKills      = flag.Int("kills", 500, "minimum number of kills of Scout")
	flagRedisKills = flag.Int("redis-kills", 100, "minimum number of kills of Redis")
	flagFailovers  = flag.Int("failovers", 20, "number of failovers")
	flagWait       = flag.Int("wait", 2, "redis.wait.replicas; with fewer than 2, messages are lost")
	flagFaults     = flag.String("faults", ".", "of Redis: only those that match this regular expression")
	flagKeep       = flag.String("keep", "", "directory for the history and the logs; empty: a new one, removed unless something is wrong")
)

var scoutBinary, bootstrapBinary string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		setDefaults(map[string]string{"messages": "6000", "kills": "40", "redis-kills": "8", "failovers": "4"})
	}
	os.Exit(buildAndRun(m))
}

// setDefaults sets the flags that are not on the command line.
func setDefaults(values map[string]string) {
	flag.Visit(func(f *flag.Flag) { delete(values, f.Name) })
	for name, value := range values {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scout-torture-bin")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	scoutBinary, bootstrapBinary = filepath.Join(dir, "scout"), filepath.Join(dir, "bootstrap")
	for file, pkg := range map[string]string{scoutBinary: "scout/cmd/local", bootstrapBinary: "scout/cmd/lambda"} {
		if output, err := exec.Command("go", "build", "-o", file, pkg).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building %s: %v\n%s", pkg, err, output)
			return 1
		}
	}
	return m.Run()
}

// A run is one run of the torture.
type run struct {
	*testing.T
	seed uint64
	rng  *rand.Rand // of the test's own goroutine
	dir  string

	messages, minKills, minRedisKills, failovers, wait int
	interval                                           time.Duration // maximum, between two faults of a Scout

	history  *history
	faults   *counts
	sqs      *hostileSQS
	redis    *env.Replication
	proxy    *env.Proxy
	daemons  []*daemon
	mappings []*mapping

	swallow, cut atomic.Int64 // permille of the replies, and of the requests
	progress     atomic.Int64 // permille of the faults of Redis that have happened
	kills        atomic.Int64 // of Scout
	over         atomic.Bool  // no more faults
	redisKills   int

	redisFaults sync.RWMutex // write: Redis fails; read: it must not
	scoutFaults sync.RWMutex // read: a Scout fails; write: none must; locked after redisFaults

	publishing   sync.Mutex // guards publisher
	publisher    *rand.Rand
	proxied      string // where the proxy leads to
	proxyAway    bool   // it leads to a replica
	longest      time.Duration
	longestAfter string
}

// TestTorture lets everything fail at once and judges what has become of each
// message. CONTRIBUTING.md says how to run it.
func TestTorture(t *testing.T) {
	r := newRun(t)
	r.logf("seed %d: at least %d messages, %d kills of Scout, %d of Redis, %d failovers", r.seed, r.messages, r.minKills, r.minRedisKills, r.failovers)
	r.startAll()
	var others sync.WaitGroup
	r.Cleanup(func() { r.over.Store(true); others.Wait() }) // nobody starts what other cleanups stop
	for _, d := range r.daemons {
		rng := r.newRand()
		others.Go(func() { r.tortureDaemon(d, rng) })
	}
	for _, m := range r.mappings {
		rng := r.newRand()
		others.Go(func() { r.tortureFunctions(m, rng) })
	}
	rng := r.newRand()
	others.Go(func() { r.tortureSQS(rng) })
	others.Go(r.publishAll)
	r.tortureRedis()
	r.await("enough kills and messages", 0, func() bool {
		return int(r.kills.Load()) >= r.minKills && r.history.published() >= r.messages
	})
	r.over.Store(true)
	others.Wait()
	r.finish()
	r.report()
}

func newRun(t *testing.T) *run {
	r := &run{
		T: t, seed: *flagSeed, messages: *flagMessages, minKills: *flagKills, minRedisKills: *flagRedisKills,
		failovers: *flagFailovers, wait: *flagWait, interval: 4 * time.Second, dir: *flagKeep,
		history: newHistory(), faults: newCounts(),
	}
	if r.seed == 0 {
		r.seed = rand.Uint64N(1_000_000) + 1
	}
	r.rng = rand.New(rand.NewPCG(r.seed, 0))
	r.publisher = r.newRand()
	if r.dir != "" {
		r.must(os.MkdirAll(r.dir, 0o700))
	} else {
		dir, err := os.MkdirTemp("", "scout-torture")
		r.must(err)
		r.dir = dir
		t.Cleanup(func() {
			if !t.Failed() {
				os.RemoveAll(dir)
			}
		})
	}
	return r
}

func (r *run) newRand() *rand.Rand { return rand.New(rand.NewPCG(r.rng.Uint64(), 0)) }

func (r *run) isOver() bool { return r.over.Load() || r.Failed() }

func (r *run) logf(format string, args ...any) {
	fmt.Printf("%8.1f s  %s\n", time.Since(r.history.start).Seconds(), fmt.Sprintf(format, args...))
}

// startAll starts SNS, SQS, Redis, three daemons and two functions.
func (r *run) startAll() {
	server := devstack.NewServer()
	r.Cleanup(server.Close)
	r.sqs = &hostileSQS{server: server, history: r.history, faults: r.faults, rng: r.newRand()}
	for _, queue := range []string{standardQueue, fifoQueue} {
		r.createQueue(queue)
	}
	for topic, queue := range map[string]string{"orders": standardQueue, "noise": standardQueue, "unheard": standardQueue, "steps.fifo": fifoQueue} {
		attributes := map[string]string{}
		if queue == fifoQueue {
			attributes["FifoTopic"] = "true"
		}
		topicARN, err := server.CreateTopic(topic, attributes)
		r.must(err)
		_, err = server.Subscribe(topicARN, arn(queue), nil)
		r.must(err)
	}
	r.redis = env.NewReplication(r, 2, env.ReplicationOptions{Durable: true})
	random := func(permille *atomic.Int64) func() bool {
		return func() bool { return rand.Int64N(1000) < permille.Load() }
	}
	r.proxied = r.redis.Master().Addr
	r.proxy = env.NewProxy(r, r.proxied, random(&r.swallow))
	r.proxy.Cut = random(&r.cut)
	for i, sentinels := range []bool{true, false, true} {
		r.daemons = append(r.daemons, r.newDaemon(fmt.Sprint("daemon", i+1), r.redisSection(sentinels)))
	}
	r.mappings = append(r.mappings,
		r.newMapping(standardQueue, standardRoutes, r.redisSection(false), 50, time.Second),
		r.newMapping(fifoQueue, fifoRoutes, r.redisSection(true), 10, 0))
}

// createQueue creates a queue with a dead-letter queue.
func (r *run) createQueue(name string) {
	attributes := map[string]string{}
	if strings.HasSuffix(name, ".fifo") {
		attributes["FifoQueue"] = "true"
	}
	_, err := r.sqs.server.CreateQueue("dead-"+name, attributes)
	r.must(err)
	attributes["VisibilityTimeout"], attributes["RedrivePolicy"] = fmt.Sprint(visibility), redrivePolicy(name, maxReceives)
	_, err = r.sqs.server.CreateQueue(name, attributes)
	r.must(err)
}

func redrivePolicy(queue string, receives int) string {
	return fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn("dead-"+queue), receives)
}

func (r *run) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// await returns when something holds. 0 means no limit.
func (r *run) await(what string, limit time.Duration, holds func() bool) bool {
	for start := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if r.Failed() || limit > 0 && time.Since(start) > limit {
			r.logf("not reached: %s", what)
			return false
		}
	}
	return true
}

// publishAll publishes as much as the progress of the faults calls for, and always
// something to do.
func (r *run) publishAll() {
	for !r.isOver() {
		visible, _, err := r.sqs.depth(standardQueue)
		if err != nil {
			r.Errorf("the depth of the queue: %v", err)
			return
		}
		target := int(r.progress.Load()+10) * r.messages / 1000
		if visible == 0 || r.history.published() < target {
			r.publish(5)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// publish publishes n messages, of all kinds.
func (r *run) publish(n int) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	for range n {
		if r.publisher.IntN(3) == 0 {
			r.publishStep()
		} else {
			r.publishOrder()
		}
	}
}

// publishOrder publishes a message for the standard queue, at times twice.
func (r *run) publishOrder() {
	topic, f, list, extra := "orders", becomesJob, "queue:default", ""
	twice := false
	switch k := r.publisher.IntN(200); {
	case k < 4:
		topic, f, list = "noise", becomesNothing, ""
	case k < 5:
		topic, f, list = "unheard", becomesDeadLetter, ""
	case k < 6:
		f, list, extra = becomesDeadLetter, "", `,"x":1e999`
	case k < 10:
		twice = true
	}
	n := r.history.publish(f, list, "")
	text := r.text(n, extra)
	if !twice {
		_, err := r.sqs.server.Publish(devstack.TopicARN(topic), devstack.Notification{Message: text})
		r.checkPublished(n, err)
		return
	}
	// SNS repeats a delivery whose answer it has not got.
	envelope, _ := json.Marshal(map[string]string{
		"Type": "Notification", "MessageId": uuid.New(), "TopicArn": devstack.TopicARN(topic), "Message": text,
	})
	for range 2 {
		r.checkPublished(n, r.sqs.call("SendMessage", map[string]any{"QueueUrl": standardQueue, "MessageBody": string(envelope)}, nil))
	}
}

// publishStep publishes a message for the FIFO queue.
func (r *run) publishStep() {
	lane, group := "steps", fmt.Sprint("group-", r.publisher.IntN(100))
	if r.publisher.IntN(4) == 0 {
		lane = "low"
	}
	f, list, extra := becomesJob, "queue:"+lane, ""
	if r.publisher.IntN(100) == 0 {
		f, list, extra = becomesDeadEntry, "", `,"x":1e999`
	}
	n := r.history.publish(f, list, group)
	_, err := r.sqs.server.Publish(devstack.TopicARN("steps.fifo"), devstack.Notification{
		Message: r.text(n, extra), GroupID: group, DeduplicationID: fmt.Sprint(n),
		Attributes: map[string]devstack.Attribute{"lane": {DataType: "String", StringValue: lane}},
	})
	r.checkPublished(n, err)
}

func (r *run) text(n int, extra string) string {
	return fmt.Sprintf(`{"n":%d,"pad":%q%s}`, n, strings.Repeat("x", r.publisher.IntN(500)), extra)
}

func (r *run) checkPublished(n int, err error) {
	if err != nil {
		r.Errorf("publishing message %d: %v", n, err)
	}
}

// finish waits until all messages are handled, stops everything, and collects what
// is left.
func (r *run) finish() {
	r.logf("no more faults; waiting until everything is handled")
	rejected := 0
	for n := range r.history.published() {
		if r.history.fate(n) == becomesDeadLetter {
			rejected++
		}
	}
	left := func(queue string) int {
		_, all, err := r.sqs.depth(queue)
		r.must(err)
		return all
	}
	var logged time.Time
	handled := func() bool {
		standard, fifo := left(standardQueue), left(fifoQueue)
		if time.Since(logged) > 30*time.Second {
			logged = time.Now()
			r.logf("%d messages left in %s, of which %d are rejected, and %d in %s", standard, standardQueue, rejected, fifo, fifoQueue)
		}
		return standard <= rejected && fifo == 0
	}
	if !r.await("all messages are handled", 20*time.Minute, handled) {
		r.history.violate(ruleUnhandled, -1, "%d messages are left in %s, want %d; %d in %s", left(standardQueue), standardQueue, rejected, left(fifoQueue), fifoQueue)
	}
	rng := r.newRand()
	for _, d := range r.daemons {
		d.terminate(rng, true)
	}
	for _, m := range r.mappings {
		m.stop()
	}
	r.drain("")
	r.collectDeadSet()
	for _, queue := range []string{standardQueue, fifoQueue} {
		r.collectDeadLetters(queue)
	}
}

// collectDeadLetters moves what is left in a queue to its dead-letter queue, and
// records what is there and why Scout has rejected it. It does not wait until Scout
// would see the messages again, which can take 15 minutes.
func (r *run) collectDeadLetters(queue string) {
	r.must(r.sqs.call("SetQueueAttributes", map[string]any{"QueueUrl": queue, "Attributes": map[string]string{"RedrivePolicy": redrivePolicy(queue, 1)}}, nil))
	if queue == standardQueue {
		for _, handle := range r.history.handles() {
			in := map[string]any{"QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": 0}
			_ = r.sqs.call("ChangeMessageVisibility", in, nil) // fails if it is visible
		}
	}
	r.await("the queue is empty", 5*time.Minute, func() bool {
		_ = r.receive(queue)
		_, all, err := r.sqs.depth(queue)
		r.must(err)
		return all == 0
	})
	var bodies []string
	for messages := r.receive("dead-" + queue); len(messages) > 0; messages = r.receive("dead-" + queue) {
		for _, m := range messages {
			bodies = append(bodies, m.Body)
			r.must(r.sqs.call("DeleteMessage", map[string]any{"QueueUrl": "dead-" + queue, "ReceiptHandle": m.ReceiptHandle}, nil))
		}
	}
	for i, reason := range r.explain(queue, bodies) {
		n := -1
		if found := numberInBody.FindStringSubmatch(bodies[i]); found != nil {
			_, _ = fmt.Sscan(found[1], &n)
		}
		r.history.update(n, "dead letter: "+reason, func(m *message) { m.deadLetters = append(m.deadLetters, reason) })
	}
}

type sqsMessage struct{ ReceiptHandle, Body string }

func (r *run) receive(queue string) []sqsMessage {
	var out struct{ Messages []sqsMessage }
	r.must(r.sqs.call("ReceiveMessage", map[string]any{"QueueUrl": queue, "MaxNumberOfMessages": 10}, &out))
	return out.Messages
}

// explain returns why Scout rejects each message of a queue, "" if it does not.
func (r *run) explain(queue string, bodies []string) []string {
	if len(bodies) == 0 {
		return nil
	}
	type record map[string]string
	records := []record{}
	for i, body := range bodies {
		records = append(records, record{"messageId": fmt.Sprint(i), "body": body, "eventSource": "aws:sqs", "eventSourceARN": arn(queue)})
	}
	event, err := json.Marshal(map[string]any{"Records": records})
	r.must(err)
	cmd := exec.Command(scoutBinary, "explain", "-c", r.daemons[0].config, "-")
	cmd.Env, cmd.Stdin = []string{}, bytes.NewReader(event)
	output, err := cmd.CombinedOutput()
	if err != nil {
		r.Fatalf("scout explain: %v\n%s", err, output)
	}
	reasons := make([]string, len(bodies))
	i := -1
	for line := range strings.Lines(string(output)) {
		if strings.HasPrefix(line, "message ") {
			i++
		} else if reason, ok := strings.CutPrefix(line, "  rejected "); ok && i >= 0 && i < len(reasons) {
			reasons[i] = strings.TrimSpace(reason)
		}
	}
	return reasons
}

// report judges the history and prints what has happened.
func (r *run) report() {
	violations := r.history.judge()
	n := r.history.published()
	fmt.Printf("\nfaults:\n%v\n\n", r.faults)
	fmt.Printf("seed %d, %v: %d messages, %d kills of Scout, %d kills of Redis, %d failovers\n",
		r.seed, time.Since(r.history.start).Round(time.Second), n, r.kills.Load(), r.redisKills, r.failovers)
	fmt.Printf("%d lost, %d doubled, %d order violations, %d other violations\n",
		count(violations, ruleLost), count(violations, ruleDoubled), count(violations, ruleOrder),
		len(violations)-count(violations, ruleLost)-count(violations, ruleDoubled)-count(violations, ruleOrder))
	fmt.Printf("longest recovery %v (%s); a message was received at most %d times\n",
		r.longest.Round(time.Millisecond), r.longestAfter, r.history.mostReceives())
	if len(violations) == 0 {
		return
	}
	for i, v := range violations {
		if before := count(violations[:i], v.rule); before < 10 {
			fmt.Printf("violation: %v\n", v)
		} else if before == 10 {
			fmt.Printf("violations of the rule %s: %d in all\n", v.rule, count(violations, v.rule))
		}
	}
	file := filepath.Join(r.dir, "history.txt")
	r.must(r.history.write(file, violations))
	r.Errorf("%d violations; their history is in %s, beside the logs. To repeat the schedule: make torture SEED=%d MESSAGES=%d KILLS=%d REDIS_KILLS=%d FAILOVERS=%d",
		len(violations), file, r.seed, r.messages, r.minKills, r.minRedisKills, r.failovers)
}
