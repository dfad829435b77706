package sidekiq

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

func TestClientOnMiniredis(t *testing.T) {
	testClient(t, func(t *testing.T) string {
		server, err := devstack.StartRedis("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		return server.Addr()
	})
}

// testClient tests what holds on every Redis, the real and the embedded one.
func testClient(t *testing.T, start func(t *testing.T) (addr string)) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, addr string)
	}{
		{"as Sidekiq's own client does", testSidekiqKeys},
		{"in order, many at a time", testOrder},
		{"pushed twice", testTwice},
		{"twice in one push", testTwiceInOnePush},
		{"without de-duplication", testNoDedup},
		{"namespace", testNamespace},
		{"a queue of another type", testWrongType},
		{"groups", testGroups},
		{"script flushed", testScriptFlushed},
		{"replies lost", testRepliesLost},
		{"few round trips", testRoundTrips},
		{"ready", testReady},
		{"usage", testUsage},
		{"contents", testContents},
		{"dead set", testDead},
		{"dead set, full or of another type", testDeadSetRefuses},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
}

func newTestClient(t *testing.T, addr string, configure func(*Options)) *Client {
	t.Helper()
	o := Options{URL: "redis://" + addr, DedupTTL: time.Hour}
	if configure != nil {
		configure(&o)
	}
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// do runs a command on a connection of its own.
func do(t *testing.T, addr, command string, args ...any) any {
	t.Helper()
	c, err := redis.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	reply, err := c.Do(command, args...)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return reply
}

func testJobs(queue string, n int) []Job {
	jobs := make([]Job, n)
	for i := range jobs {
		jobs[i] = Job{JID: fmt.Sprintf("%s%024x", queue, i), Queue: queue, Payload: fmt.Appendf(nil, `{"n":%d}`, i)}
	}
	return jobs
}

func payloads(jobs []Job) []string {
	s := make([]string, len(jobs))
	for i, job := range jobs {
		s[i] = string(job.Payload)
	}
	return s
}

func mustPush(t *testing.T, c *Client, jobs []Job) []Result {
	t.Helper()
	results, err := c.Push(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != len(jobs) {
		t.Fatalf("%d results for %d jobs", len(results), len(jobs))
	}
	return results
}

func count(results []Result, outcome Outcome) int {
	n := 0
	for _, r := range results {
		if r.Outcome == outcome {
			n++
		}
	}
	return n
}

func testSidekiqKeys(t *testing.T, addr string) {
	results := mustPush(t, newTestClient(t, addr, nil), append(testJobs("low", 2), testJobs("high", 1)...))
	if n := count(results, Enqueued); n != 3 {
		t.Errorf("%d enqueued, want 3: %v", n, results)
	}
	if got := env.Queued(t, addr, "queue:low"); !slices.Equal(got, []string{`{"n":0}`, `{"n":1}`}) {
		t.Errorf("queue:low = %v", got)
	}
	queues, _ := redis.Strings(do(t, addr, "SMEMBERS", "queues"), nil)
	slices.Sort(queues)
	if !slices.Equal(queues, []string{"high", "low"}) {
		t.Errorf("queues = %v", queues)
	}
	keys, _ := redis.Strings(do(t, addr, "KEYS", "*"), nil)
	slices.Sort(keys)
	want := []string{"queue:high", "queue:low", "queues", "scout:high" + strings.Repeat("0", 24), "scout:low" + strings.Repeat("0", 24), "scout:low" + strings.Repeat("0", 23) + "1"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys = %v, want %v", keys, want)
	}
	if ttl := do(t, addr, "PTTL", want[3]).(int64); ttl <= 3_500_000 || ttl > 3_600_000 {
		t.Errorf("the marker expires in %d ms, want an hour", ttl)
	}
}

func testOrder(t *testing.T, addr string) {
	jobs := testJobs("q", 2_345)
	jobs[1_000].Payload = fmt.Appendf(nil, "%q", strings.Repeat("x", chunkBytes+1))
	mustPush(t, newTestClient(t, addr, nil), jobs)
	if got := env.Queued(t, addr, "queue:q"); !slices.Equal(got, payloads(jobs)) {
		t.Errorf("%d jobs in the queue, want %d in the order of the push", len(got), len(jobs))
	}
}

func testTwice(t *testing.T, addr string) {
	jobs := testJobs("q", 3)
	c := newTestClient(t, addr, nil)
	mustPush(t, c, jobs[:2])
	results := mustPush(t, newTestClient(t, addr, nil), jobs)
	if count(results, Duplicate) != 2 || results[2].Outcome != Enqueued {
		t.Errorf("results = %v", results)
	}
	do(t, addr, "DEL", "queue:q") // as if Sidekiq had run the jobs
	if n := count(mustPush(t, c, jobs), Duplicate); n != 3 {
		t.Errorf("%d duplicates after the jobs ran, want 3", n)
	}
	if got := env.Queued(t, addr, "queue:q"); len(got) > 0 {
		t.Errorf("queue:q = %v, want nothing", got)
	}
}

func testTwiceInOnePush(t *testing.T, addr string) {
	jobs := testJobs("q", 2)
	results := mustPush(t, newTestClient(t, addr, nil), []Job{jobs[0], jobs[1], jobs[0]})
	if results[2].Outcome != Duplicate || len(env.Queued(t, addr, "queue:q")) != 2 {
		t.Errorf("results = %v", results)
	}
}

func testNoDedup(t *testing.T, addr string) {
	c := newTestClient(t, addr, func(o *Options) { o.DedupTTL = 0 })
	mustPush(t, c, testJobs("q", 2))
	if n := count(mustPush(t, c, testJobs("q", 2)), Enqueued); n != 2 {
		t.Errorf("%d enqueued the second time, want 2", n)
	}
	if keys := do(t, addr, "KEYS", "scout:*").([]any); len(keys) > 0 {
		t.Errorf("markers: %s", keys)
	}
}

func testNamespace(t *testing.T, addr string) {
	c := newTestClient(t, addr, func(o *Options) { o.Namespace = "my app" })
	mustPush(t, c, testJobs("q", 1))
	keys, _ := redis.Strings(do(t, addr, "KEYS", "*"), nil)
	slices.Sort(keys)
	if want := []string{"my app:queue:q", "my app:queues", "my app:scout:q" + strings.Repeat("0", 24)}; !slices.Equal(keys, want) {
		t.Errorf("keys = %v, want %v", keys, want)
	}
}

func testWrongType(t *testing.T, addr string) {
	do(t, addr, "SET", "queue:bad", "x")
	good, bad := testJobs("good", 3), testJobs("bad", 2)
	results := mustPush(t, newTestClient(t, addr, nil), []Job{good[0], bad[0], good[1], bad[1], good[2]})
	for i, want := range []Outcome{Enqueued, NotPushed, Enqueued, NotPushed, Enqueued} {
		if results[i].Outcome != want {
			t.Errorf("result %d = %v, want outcome %d", i, results[i], want)
		}
	}
	if err := results[1].Err; !errors.Is(err, ErrQueue) || !strings.Contains(err.Error(), "queue bad: WRONGTYPE") {
		t.Errorf("error = %v", err)
	}
	if got := env.Queued(t, addr, "queue:good"); !slices.Equal(got, payloads(good)) {
		t.Errorf("queue:good = %v", got)
	}
	do(t, addr, "DEL", "queue:bad") // as an operator would
	if r := mustPush(t, newTestClient(t, addr, nil), bad); count(r, Enqueued) != 2 {
		t.Errorf("after the repair: %v", r)
	}
}

// After a failure, no later job of its group is pushed, in the same chunk or in a
// later one. Other groups are not affected.
func testGroups(t *testing.T, addr string) {
	do(t, addr, "SET", "queue:bad", "x")
	jobs := testJobs("q", 3*chunkJobs)
	for i := range jobs {
		jobs[i].Group = []string{"a", "b"}[i%2]
	}
	jobs[50].Queue = "bad" // of group a
	results := mustPush(t, newTestClient(t, addr, nil), jobs)
	var want []string
	for i, job := range jobs {
		held := job.Group == "a" && i > 50
		if held != errors.Is(results[i].Err, ErrHeldBack) {
			t.Fatalf("result %d = %v, want held back = %t", i, results[i], held)
		}
		if !held && i != 50 {
			want = append(want, string(job.Payload))
		}
	}
	if results[50].Err == nil {
		t.Error("the job for the queue of another type has no error")
	}
	if got := env.Queued(t, addr, "queue:q"); !slices.Equal(got, want) {
		t.Errorf("%d jobs in the queue, want %d", len(got), len(want))
	}
}

func testScriptFlushed(t *testing.T, addr string) {
	c := newTestClient(t, addr, nil)
	jobs := testJobs("q", 3*chunkJobs)
	mustPush(t, c, jobs[:1])
	do(t, addr, "SCRIPT", "FLUSH")
	mustPush(t, c, jobs)
	if got := env.Queued(t, addr, "queue:q"); !slices.Equal(got, payloads(jobs)) {
		t.Errorf("%d jobs in the queue, want %d in order", len(got), len(jobs))
	}
}

// After a lost reply, only the markers tell whether the jobs were pushed.
func testRepliesLost(t *testing.T, addr string) {
	var replies atomic.Int64
	proxy := env.NewProxy(t, addr, func() bool { return replies.Add(1)%3 != 0 })
	c := newTestClient(t, proxy.Addr, nil)
	jobs := testJobs("q", 40)
	for i := range jobs {
		mustPush(t, c, jobs[i:i+1])
	}
	if got := env.Queued(t, addr, "queue:q"); !slices.Equal(got, payloads(jobs)) {
		t.Errorf("%d jobs in the queue, want %d, each once and in order", len(got), len(jobs))
	}
	if n := replies.Load(); n < 80 {
		t.Errorf("the proxy saw only %d replies, so it cannot have dropped one in three", n)
	}
}

func testRoundTrips(t *testing.T, addr string) {
	proxy := env.NewProxy(t, addr, nil)
	mustPush(t, newTestClient(t, proxy.Addr, nil), testJobs("q", 1_000))
	if n := proxy.RoundTrips.Load(); n < 1 || n > 12 {
		t.Errorf("%d round trips for 1,000 jobs, want at most 12", n)
	}
	if n := len(env.Queued(t, addr, "queue:q")); n != 1_000 {
		t.Errorf("%d jobs in the queue", n)
	}
}

func testReady(t *testing.T, addr string) {
	c := newTestClient(t, addr, nil)
	if err := c.Ready(t.Context(), "default"); err != nil {
		t.Error(err)
	}
	if keys, _ := redis.Strings(do(t, addr, "KEYS", "*"), nil); !slices.Equal(keys, []string{"scout:check"}) {
		t.Errorf("keys = %v, want only the key of the check", keys)
	}
}

func testUsage(t *testing.T, addr string) {
	c := newTestClient(t, addr, func(o *Options) { o.Namespace = "app" })
	ago := func(d time.Duration) float64 { return float64(time.Now().Add(-d).UnixMicro()) / 1e6 }
	for queue, payloads := range map[string][]string{ // the job that runs next is the last
		"seconds":      {`{"enqueued_at":1}`, fmt.Sprintf(`{"args":[{"enqueued_at":1}],"enqueued_at":%f}`, ago(time.Minute))},
		"milliseconds": {`{}`, `{}`, fmt.Sprintf(`{"enqueued_at":%d}`, time.Now().Add(-time.Hour).UnixMilli())},
		"future":       {fmt.Sprintf(`{"enqueued_at":%f}`, ago(-time.Minute))},
		"no time":      {`{"class":"X"}`},
		"a text":       {`{"enqueued_at":"yesterday"}`},
		"no job":       {`nonsense`},
		"no object":    {`[1]`},
	} {
		for _, payload := range payloads {
			do(t, addr, "RPUSH", "app:queue:"+queue, payload)
		}
	}
	do(t, addr, "SET", "app:queue:wrong", "x")
	usage, err := c.Usage(t.Context(), []string{"seconds", "milliseconds", "future", "no time", "a text", "no job", "no object", "wrong", "absent"})
	if err != nil {
		t.Fatal(err)
	}
	for queue, want := range map[string]QueueUsage{
		"seconds": {2, time.Minute}, "milliseconds": {3, time.Hour}, "future": {1, 0}, "no time": {1, 0},
		"a text": {1, 0}, "no job": {1, 0}, "no object": {1, 0}, "wrong": {0, 0}, "absent": {0, 0},
	} {
		got := usage.Queues[queue]
		if got.Length != want.Length || got.Latency < want.Latency || got.Latency > want.Latency+5*time.Second {
			t.Errorf("queue %s: %+v, want %+v", queue, got, want)
		}
	}
	if usage.MemoryUsed == 0 || usage.MemoryMax != 0 || usage.MemoryShare() != 0 {
		t.Errorf("memory %d of %d, share %f", usage.MemoryUsed, usage.MemoryMax, usage.MemoryShare())
	}
	mustPush(t, newTestClient(t, addr, nil), testJobs("after", 1))
	if _, err := c.Usage(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestUnreachable(t *testing.T) {
	server := miniredis.RunT(t)
	addr := server.Addr()
	server.Close()
	c := newTestClient(t, addr, func(o *Options) { o.RetryFor = 100 * time.Millisecond })
	results, err := c.Push(t.Context(), testJobs("q", 2))
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("error = %v, want one that names %s and says that it refused the connection", err, addr)
	}
	for i, r := range results {
		if r.Outcome != NotPushed || !errors.Is(r.Err, err) {
			t.Errorf("result %d = %v", i, r)
		}
	}
}

func TestRecovers(t *testing.T) {
	server := miniredis.RunT(t)
	c := newTestClient(t, server.Addr(), nil)
	mustPush(t, c, testJobs("q", 1))
	server.Close()
	time.AfterFunc(200*time.Millisecond, func() { _ = server.Restart() })
	mustPush(t, c, testJobs("q", 2)) // retries until the server is back
	if got := env.Queued(t, server.Addr(), "queue:q"); len(got) != 2 {
		t.Errorf("queue:q = %v, want 2 jobs", got)
	}
}

func TestWrongPassword(t *testing.T) {
	server := miniredis.RunT(t)
	server.RequireAuth("secret")
	c := newTestClient(t, server.Addr(), func(o *Options) { o.URL = "redis://:wr0ng@" + server.Addr() })
	start := time.Now()
	_, err := c.Push(t.Context(), testJobs("q", 1))
	if !errors.Is(err, ErrCredentials) || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("error = %v, want ErrCredentials without the password", err)
	}
	if time.Since(start) > 2*time.Second {
		t.Error("retried an error that cannot pass by itself")
	}
	if err := c.Ready(t.Context()); !errors.Is(err, ErrCredentials) {
		t.Errorf("Ready = %v, want ErrCredentials", err)
	}
}

func TestNewClientRejects(t *testing.T) {
	for name, c := range map[string]struct{ url, want string }{
		"other scheme":      {"http://u:s3cret@h", "must begin with redis://"},
		"no scheme":         {"localhost:6379", "must begin with redis://"},
		"empty":             {"", "must begin with redis://"},
		"unreadable":        {"redis://u:s3cret%@h", "must be a URL such as"},
		"no slashes":        {"redis:h", "must be a URL such as"},
		"no host":           {"redis:///0", "must have a host"},
		"port too large":    {"redis://u:s3cret@h:99999", "must have a port from 1 to 65535"},
		"query":             {"redis://u:s3cret@h/0?db=1", "nothing after a question mark"},
		"not a database":    {"redis://u:s3cret@h/x", "number of a database"},
		"unix with host":    {"unix://u:s3cret@run/redis", "path of a socket"},
		"unix, no database": {"unix:///run/redis?db=x", "must have a number as its database"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewClient(Options{URL: c.url})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3c") {
				t.Errorf("error = %v, want %q and no password", err, c.want)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		text  string
		retry bool
		is    error
	}{
		{"READONLY You can't write against a read only replica.", true, nil},
		{"READONLY You can't write against a read only replica. script: f1, on @user_script:20.", true, nil},
		{"@user_script: 16: -READONLY You can't write against a read only replica.", true, nil}, // Redis 6
		{"ERR Error running script (call to f_6b1bf4): @user_script:8: @user_script: 8: -READONLY You can't write against a read only replica.", true, nil},
		{"LOADING Redis is loading the dataset in memory", true, nil},
		{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", true, nil},
		{"NOREPLICAS Not enough good replicas to write.", true, nil},
		{"BUSY Redis is busy running a script.", true, nil},
		{"NOSCRIPT No matching script. Please use EVAL.", true, nil},
		{"ERR max number of clients reached", true, nil},
		{"MISCONF Redis is configured to save RDB snapshots", false, nil},
		{"OOM command not allowed when used memory > 'maxmemory'.", false, nil},
		{"WRONGTYPE Operation against a key holding the wrong kind of value", false, nil},
		{"NOAUTH Authentication required.", false, ErrCredentials},
		{"WRONGPASS invalid username-password pair or user is disabled.", false, ErrCredentials},
		{"ERR invalid password", false, ErrCredentials},
		{"ERR wrong number of arguments for 'auth' command", false, ErrCredentials},
		{"ERR AUTH <password> called without any password configured for the default user.", false, ErrCredentials},
		{"NOPERM this user has no permissions to run the 'lpush' command", false, ErrUnusable},
		{"ERR The user executing the script can't run this command or subcommand script: f1", false, ErrUnusable},
		{"@user_script: 16: The user executing the script can't run this command or subcommand", false, ErrUnusable}, // Redis 6
		{"CROSSSLOT Keys in request don't hash to the same slot", false, ErrUnusable},
		{"ERR SELECT is not allowed in cluster mode", false, ErrUnusable},
		{"ERR DB index is out of range", false, ErrUnusable},
		{"DENIED Redis is running in protected mode", false, ErrUnusable},
	} {
		got, err := new(server).explain(fmt.Errorf("wrapped: %w", redis.Error(c.text)))
		if got != c.retry || errors.Is(err, ErrCredentials) != (c.is == ErrCredentials) || errors.Is(err, ErrUnusable) != (c.is == ErrUnusable) {
			t.Errorf("%s: %v, %v; want %v, %v", c.text, got, err, c.retry, c.is)
		}
	}
	for _, err := range []error{io.EOF, syscall.ECONNREFUSED, os.ErrDeadlineExceeded} {
		if got, _ := new(server).explain(err); !got {
			t.Errorf("%v: not retried", err)
		}
	}
}
