//go:build torture

package torture

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/internal/test/env"
	"scout/internal/test/eventsource"
	"scout/internal/test/lambdaruntime"
)

const (
	standardQueue = "app"
	fifoQueue     = "app.fifo"
	maxReceives   = 1000

	functionTimeout = 5 * time.Second
)

// The routes of the two queues.
const (
	standardRoutes = `{name: app, wait_time: 1s, rejected: keep, topics: {orders: OrderWorker, noise: ignore}}`
	fifoRoutes     = `{name: app.fifo, wait_time: 1s, rejected: dead, topics: {steps.fifo: {by: attribute:lane, to: ` +
		`{steps: {class: StepWorker, queue: steps}, low: {class: StepWorker, queue: low}}}}}`
)

// A daemon is a scout process that is restarted when it ends.
type daemon struct {
	*run
	name     string
	redis    string // the section of the configuration
	config   string // file
	url      string // of the endpoint
	starts   int
	log      *os.File
	endpoint *endpoint

	scout   *instance
	cmd     *exec.Cmd
	done    chan struct{} // closed when the process has ended
	stopped atomic.Bool   // by SIGSTOP
}

// newDaemon starts a daemon with the section redis of its configuration.
func (r *run) newDaemon(name, redis string) *daemon {
	d := &daemon{run: r, name: name, redis: redis, config: filepath.Join(r.dir, name+".yml")}
	d.endpoint, d.url = r.sqs.startEndpoint(r)
	log, err := os.Create(filepath.Join(r.dir, name+".log"))
	r.must(err)
	d.log = log
	r.Cleanup(func() { d.kill(); log.Close() })
	d.start()
	return d
}

func (d *daemon) start() {
	d.starts++
	d.scout = newInstance(d.name, fmt.Sprint(d.name, "-", d.starts))
	d.endpoint.setInstance(d.scout)
	text := fmt.Sprintf(`
redis: %s
aws: {region: us-east-1, access_key: %s, secret_key: x, endpoint: %q}
queues: [%s, %s]
shutdown_timeout: 25s
`, d.redis, d.scout.key, d.url, standardRoutes, fifoRoutes)
	if err := os.WriteFile(d.config, []byte(text), 0o600); err != nil {
		panic(err)
	}
	cmd, done := exec.Command(scoutBinary, "run", "-j", "-c", d.config), make(chan struct{})
	cmd.Env, cmd.Stderr = []string{}, d.log
	env.DieWithTest(cmd)
	d.cmd, d.done = cmd, done
	if err := cmd.Start(); err != nil {
		panic(err) // the binary was just built
	}
	go func() { _ = cmd.Wait(); close(done) }()
}

func (d *daemon) signal(s syscall.Signal) { _ = d.cmd.Process.Signal(s) }

// kill kills the process, and returns when it has ended.
func (d *daemon) kill() {
	d.scout.mu.Lock()
	d.scout.killed = true
	d.scout.mu.Unlock()
	d.signal(syscall.SIGKILL)
	<-d.done
}

// ended reports whether the process has ended by itself, and restarts it. A process may
// end before its first poll if SQS or Redis fails.
func (d *daemon) ended() bool {
	select {
	case <-d.done:
	default:
		return false
	}
	d.scout.mu.Lock()
	receives := d.scout.receives
	d.scout.mu.Unlock()
	if d.cmd.ProcessState.ExitCode() == 1 && receives == 0 {
		d.faults.add("failed start of scout")
	} else {
		d.history.violate(ruleExit, -1, "%s ended by itself: %v", d.name, d.cmd.ProcessState)
	}
	d.start()
	return true
}

// polls reports whether the process has polled.
func (d *daemon) polls() bool {
	d.scout.mu.Lock()
	defer d.scout.mu.Unlock()
	return d.scout.receives > 0
}

// terminate sends SIGTERM, waits until the process has ended, and checks its last
// messages and deletions. If calm, SQS does not fail meanwhile, and the caller ensures
// that Redis does not fail.
func (d *daemon) terminate(rng *rand.Rand, calm bool) {
	since := time.Now()
	if calm {
		d.scout.mu.Lock()
		d.scout.calm = true
		d.scout.mu.Unlock()
		since = time.Now()
		time.Sleep(time.Duration(rng.Int64N(int64(1500 * time.Millisecond))))
	}
	if d.ended() {
		return
	}
	polled, signalled := d.polls(), time.Now()
	d.signal(syscall.SIGTERM)
	select {
	case <-d.done:
	case <-time.After(2 * time.Minute):
		d.history.violate(ruleExit, -1, "%s still runs two minutes after SIGTERM", d.name)
		d.kill()
		return
	}
	// Before it polls, SIGTERM may kill it, and an attempt to find a queue may fail.
	if code := d.cmd.ProcessState.ExitCode(); code > 1 || code != 0 && polled {
		d.history.violate(ruleExit, -1, "%s ended after SIGTERM: %v", d.name, d.cmd.ProcessState)
	}
	if calm {
		d.history.add(d.scout.checkHeld(since, d.history.fate))
	}
	if time.Since(signalled) < 20*time.Second { // otherwise it had to give up
		d.history.add(d.scout.checkDeletes())
	}
}

// A mapping is an event source mapping with the execution environments of a
// function.
type mapping struct {
	*run
	scout     *instance
	functions []*lambdaruntime.Function

	mu   sync.Mutex // guards busy
	busy map[*lambdaruntime.Function]bool
	stop func() // returns when no function is busy
}

// newMapping starts a mapping for a queue.
func (r *run) newMapping(queue, routes, redis string, batch int, window time.Duration) *mapping {
	const concurrency = 2
	m := &mapping{run: r, scout: newInstance("the mapping of "+queue, "x"), busy: map[*lambdaruntime.Function]bool{}}
	m.scout.mapping = true
	e, url := r.sqs.startEndpoint(r)
	e.setInstance(m.scout)
	log, err := os.Create(filepath.Join(r.dir, "lambda-"+queue+".log"))
	if err != nil {
		r.Fatal(err)
	}
	idle := make(chan *lambdaruntime.Function, concurrency)
	for range concurrency {
		f := &lambdaruntime.Function{
			Path: bootstrapBinary, Timeout: functionTimeout, Log: log,
			Env: []string{"SCOUT_CONFIG=redis: " + redis + "\nqueue: " + routes + "\n"},
		}
		m.functions = append(m.functions, f)
		idle <- f
	}
	em := &eventsource.Mapping{
		SQS: newSQS(url), QueueURL: url + "/000000000000/" + queue, QueueARN: arn(queue),
		BatchSize: batch, Window: window, Concurrency: concurrency, Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, event []byte) ([]byte, error) {
			f := <-idle
			defer func() { idle <- f }()
			m.setBusy(f, true)
			defer m.setBusy(f, false)
			return f.Invoke(ctx, event)
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { em.Run(ctx); close(ended) }()
	m.stop = func() { cancel(); <-ended }
	r.Cleanup(func() {
		m.stop()
		for _, f := range m.functions {
			f.Close()
		}
		log.Close()
	})
	return m
}

func (m *mapping) setBusy(f *lambdaruntime.Function, busy bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.busy[f] = busy
}

// signal sends a signal to a busy function. It returns false if none is busy.
func (m *mapping) signal(s syscall.Signal) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for f, busy := range m.busy {
		if busy && f.Signal(s) {
			return true
		}
	}
	return false
}

func arn(queue string) string { return "arn:aws:sqs:us-east-1:000000000000:" + queue }

func newSQS(url string) *sqs.Client {
	return sqs.New(sqs.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(url),
		Credentials: credentials.NewStaticCredentialsProvider("x", "x", ""),
	})
}

// redisSection returns the section redis of a configuration. Half of the processes find
// the master through its sentinels, the others at an address that follows it.
func (r *run) redisSection(sentinels bool) string {
	wait := ""
	if r.wait > 0 {
		wait = fmt.Sprintf(", wait: {replicas: %d, timeout: 500ms}", r.wait)
	}
	if !sentinels {
		return fmt.Sprintf("{url: 'redis://%s'%s}", r.proxy.Addr, wait)
	}
	var addrs []string
	for _, a := range r.redis.SentinelAddrs() {
		addrs = append(addrs, "'"+a+"'")
	}
	return fmt.Sprintf("{url: '%s', sentinels: [%s]%s}", r.redis.URL(), strings.Join(addrs, ", "), wait)
}
