//go:build torture

package torture

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

// The minimum amounts of a run.
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

const replicas = 2 // of Redis

var scoutBinary, bootstrapBinary string

func TestMain(m *testing.M) {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "docs/reliability.md says how to run the torture.") }
	flag.Parse()
	if testing.Short() {
		setDefaults(map[string]string{"messages": "6000", "kills": "40", "redis-kills": "8", "failovers": "4"})
	}
	if err := checkFlags(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(buildAndRun(m))
}

// checkFlags returns what is wrong with the flags, by the variables of make torture.
func checkFlags() error {
	for variable, value := range map[string]int{
		"MESSAGES": *flagMessages, "KILLS": *flagKills, "REDIS_KILLS": *flagRedisKills, "FAILOVERS": *flagFailovers, "WAIT": *flagWait,
	} {
		if value < 0 {
			return fmt.Errorf("%s is %d; use 0 or more", variable, value)
		}
	}
	if *flagWait > replicas {
		return fmt.Errorf("WAIT is %d; use %d or less, because Redis has %d replicas", *flagWait, replicas, replicas)
	}
	faults, err := regexp.Compile(*flagFaults)
	if err != nil {
		return fmt.Errorf("FAULTS is not a regular expression: %w", err)
	}
	var names []string
	for _, f := range allFaults() {
		names = append(names, f.name)
	}
	if !slices.ContainsFunc(names, faults.MatchString) {
		return fmt.Errorf("FAULTS matches no fault of Redis; they are: %s", strings.Join(names, ", "))
	}
	return nil
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

// A run is one run of the torture test.
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
	failedOver   int

	redisFaults sync.RWMutex // write: Redis fails; read: it must not
	scoutFaults sync.RWMutex // read: a Scout fails; write: none must; locked after redisFaults

	publishing   sync.Mutex // guards publisher
	publisher    *rand.Rand
	proxied      string // the server that the proxy forwards to
	proxyAway    bool   // whether that is a replica
	longest      time.Duration
	longestAfter string
}

// TestTorture injects faults into Redis, SQS and Scout at once, and checks the outcome
// of each message. CONTRIBUTING.md describes how to run it.
func TestTorture(t *testing.T) {
	r := newRun(t)
	r.logf("seed %d: at least %d messages, %d kills of Scout, %d of Redis, %d failovers",
		r.seed, r.messages, r.minKills, r.minRedisKills, r.failovers)
	r.startAll()
	var others sync.WaitGroup
	r.Cleanup(func() { r.over.Store(true); others.Wait() }) // no process starts after other cleanups have stopped it
	for _, d := range r.daemons {
		rng := r.newRand()
		others.Go(func() { r.injectDaemonFaults(d, rng) })
	}
	for _, m := range r.mappings {
		rng := r.newRand()
		others.Go(func() { r.injectFunctionFaults(m, rng) })
	}
	rng := r.newRand()
	others.Go(func() { r.injectSQSFaults(rng) })
	others.Go(r.publishAll)
	r.injectRedisFaults()
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
	topics := map[string]string{"orders": standardQueue, "noise": standardQueue, "unheard": standardQueue, "steps.fifo": fifoQueue}
	for topic, queue := range topics {
		attributes := map[string]string{}
		if queue == fifoQueue {
			attributes["FifoTopic"] = "true"
		}
		topicARN, err := server.CreateTopic(topic, attributes)
		r.must(err)
		_, err = server.Subscribe(topicARN, arn(queue), nil)
		r.must(err)
	}
	r.redis = env.NewReplication(r, replicas, env.ReplicationOptions{Durable: true})
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

// await returns when a condition holds. A limit of 0 means no limit.
func (r *run) await(what string, limit time.Duration, holds func() bool) bool {
	for start := time.Now(); !holds(); time.Sleep(100 * time.Millisecond) {
		if r.Failed() || limit > 0 && time.Since(start) > limit {
			r.logf("not reached: %s", what)
			return false
		}
	}
	return true
}
