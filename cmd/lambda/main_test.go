package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"scout/config"
	"scout/events"
	"scout/handler"
	"scout/internal/test/lambdaruntime"
)

// runBootstrap is the environment variable that makes the test binary the
// function's bootstrap. Its value is the reload interval, or 1 for the real one.
const runBootstrap = "SCOUT_TEST_RUN"

func TestMain(m *testing.M) {
	if value := os.Getenv(runBootstrap); value != "" {
		if interval, err := time.ParseDuration(value); err == nil {
			reloadInterval = interval
		}
		main()
	}
	os.Exit(m.Run())
}

// newBootstrap returns the function as Lambda runs it, with its log.
func newBootstrap(t *testing.T, config string) (f *lambdaruntime.Function, log *bytes.Buffer) {
	t.Helper()
	log = &bytes.Buffer{}
	f = &lambdaruntime.Function{
		Path: os.Args[0],
		Env:  []string{runBootstrap + "=1", "SCOUT_CONFIG=" + config, "AWS_LAMBDA_FUNCTION_NAME=shop-scout"},
		Log:  log,
	}
	t.Cleanup(f.Close)
	return f, log
}

func sampleConfig(t *testing.T, redisURL string) string {
	t.Helper()
	return strings.Replace(string(sample(t, "scout.yml")), "redis://localhost:6379/0", redisURL, 1)
}

func sample(t *testing.T, name string) []byte {
	t.Helper()
	text, err := events.Files.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// lines returns the function's log lines, which must be JSON.
func lines(t *testing.T, output *bytes.Buffer) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for text := range strings.Lines(output.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("a line that is not JSON: %s", text)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestFunction(t *testing.T) {
	redis := miniredis.RunT(t)
	f, log := newBootstrap(t, sampleConfig(t, "redis://"+redis.Addr()))

	response, err := f.Invoke(t.Context(), sample(t, "hundred.json"))
	if got := string(response); err != nil || got != `{"batchItemFailures":[]}` {
		t.Errorf("response = %s, %v", got, err)
	}
	if jobs, _ := redis.List("queue:critical"); len(jobs) != 100 {
		t.Errorf("%d jobs, want 100", len(jobs))
	}

	response, err = f.Invoke(t.Context(), sample(t, "poison.json"))
	var partial lambdaevents.SQSEventResponse
	if err != nil || json.Unmarshal(response, &partial) != nil || len(partial.BatchItemFailures) != 11 {
		t.Errorf("response = %s, %v; want 11 failures", response, err)
	}

	redis.Close()
	response, err = f.Invoke(t.Context(), sample(t, "one-topic.json"))
	if _, ok := errors.AsType[*lambdaruntime.InvocationError](err); !ok || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("with Redis down: response = %s, %v; want a function error", response, err)
	}

	f.Close()
	checkLog(t, log)
}

// Whatever one record contains, the others become jobs. A payload that is not an
// SQS event is an error that says so.
func TestOddEvents(t *testing.T) {
	redis := miniredis.RunT(t)
	f, _ := newBootstrap(t, sampleConfig(t, "redis://"+redis.Addr()))
	good := func(id string) string {
		envelope := fmt.Sprintf(`{"Type":"Notification","MessageId":%q,"TopicArn":"arn:aws:sns:us-east-1:123456789012:orders","Message":"1"}`, id)
		return fmt.Sprintf(`"messageId":%q,"body":%q`, id, envelope)
	}
	for name, c := range map[string]struct {
		odd    string // members of the second of three records
		failed bool
	}{
		"binary value that is not base64":     {good("odd-1") + `,"messageAttributes":{"a":{"dataType":"Binary","binaryValue":"base64Str","stringListValues":[]}}`, false},
		"message attributes that are numbers": {good("odd-2") + `,"messageAttributes":{"a":1}`, false},
		"attribute that is a number":          {good("odd-3") + `,"attributes":{"ApproximateReceiveCount":1}`, false},
		"body that is an object":              {`"messageId":"odd-4","body":{"a":1}`, true},
		"body that is missing":                {`"messageId":"odd-5"`, true},
	} {
		t.Run(name, func(t *testing.T) {
			before, _ := redis.List("queue:critical")
			id := strings.ReplaceAll(name, " ", "-")
			response, err := f.Invoke(t.Context(), []byte(fmt.Sprintf(`{"Records":[{%s},{%s},{%s}]}`, good("first-"+id), c.odd, good("last-"+id))))
			want, jobs := `{"batchItemFailures":[]}`, 3
			if c.failed {
				want, jobs = `{"batchItemFailures":[{"itemIdentifier":"`+c.odd[len(`"messageId":"`):len(`"messageId":"odd-1`)]+`"}]}`, 2
			}
			after, _ := redis.List("queue:critical")
			if err != nil || string(response) != want || len(after)-len(before) != jobs {
				t.Errorf("response = %s, %v with %d jobs; want %s with %d", response, err, len(after)-len(before), want, jobs)
			}
		})
	}
	for name, payload := range map[string]string{
		"API Gateway": `{"version":"2.0","routeKey":"$default","body":"x"}`,
		"S3":          `{"Records":[{"eventSource":"aws:s3","s3":{}}]}`,
		"text":        `"go"`,
	} {
		if _, err := f.Invoke(t.Context(), []byte(payload)); err == nil || !strings.Contains(err.Error(), "not an SQS event") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

// TestSources invokes the bootstrap with messages of all sources. The attributes of
// plain messages choose among their routes.
func TestSources(t *testing.T) {
	redis := miniredis.RunT(t)
	f, log := newBootstrap(t, `
redis: {url: "redis://`+redis.Addr()+`"}
queue:
  topics: {orders: {by: "attribute:type", to: {created: SNSWorker}}}
  eventbridge: {"shop.*/*": EventWorker}
  s3: {uploads: S3Worker}
  plain: {by: "attribute:type", to: {"import*": PlainWorker, noise: ignore}}
  rejected: dead
`)
	if err := f.Init(t.Context()); err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	var records []map[string]any
	for _, c := range []struct{ body, attribute string }{
		{`{"Type":"Notification","MessageId":"1","TopicArn":"arn:aws:sns:us-east-1:123456789012:orders","Message":"1","MessageAttributes":{"type":{"Type":"String","Value":"created"}}}`, ""},
		{`{"source":"shop.billing","detail-type":"Invoice Paid","detail":{}}`, ""},
		{`{"Records":[{"eventSource":"aws:s3","s3":{"bucket":{"name":"uploads"},"object":{"key":"a"}}}]}`, ""},
		{`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"uploads"}`, ""},
		{`text`, "import/users"},
		{`text`, "noise"},
		{`text`, "other"},
	} {
		record := map[string]any{"messageId": fmt.Sprint("m", len(records)), "body": c.body, "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:app"}
		if c.attribute != "" {
			record["messageAttributes"] = map[string]any{"type": map[string]any{"stringValue": c.attribute, "dataType": "String"}}
		}
		records = append(records, record)
	}
	payload, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time, all are duplicates
		if response, err := f.Invoke(t.Context(), payload); err != nil || string(response) != `{"batchItemFailures":[]}` {
			t.Fatalf("response = %s, %v: %s", response, err, log)
		}
	}
	jobs, _ := redis.List("queue:default")
	for i, class := range []string{"PlainWorker", "S3Worker", "EventWorker", "SNSWorker"} {
		if len(jobs) != 4 || !strings.Contains(jobs[i], `"class":"`+class+`"`) {
			t.Fatalf("jobs = %s", jobs)
		}
	}
	if entries, _ := redis.ZMembers("dead"); len(entries) != 1 || !strings.Contains(entries[0], `no_route: the route \"plain\" chooses by attribute:type, and that of the message fits no key`) {
		t.Errorf("dead set: %s", entries)
	}
	f.Close()
	for i, line := range lines(t, log) {
		if line["_aws"] != nil && (line["Received"] != 7.0 || line["Ignored"] != 2.0 || line["Failed"] != 0.0 || line["Dead"] == line["Duplicate"]) {
			t.Errorf("line %d: %v", i, line)
		}
	}
}

// checkLog checks the log of TestFunction.
func checkLog(t *testing.T, log *bytes.Buffer) {
	t.Helper()
	requests := map[any]bool{} // that have metrics
	var metrics, rejected int
	for _, line := range lines(t, log) {
		id, _ := line["requestId"].(string)
		if id == "" && !strings.Contains(fmt.Sprint(line["message"]), "errorMessage") { // aws-lambda-go's
			t.Errorf("a line without the request's id: %v", line)
		}
		if _, ok := line["_aws"]; ok {
			metrics++
			requests[id] = true
		}
		if line["message"] == "message rejected" && line["level"] == "WARN" {
			rejected++
		}
	}
	if metrics != 3 || len(requests) != 3 || rejected != 11 {
		t.Errorf("%d lines of metrics of %d requests, and %d of rejected messages; want 3, 3 and 11:\n%s", metrics, len(requests), rejected, log)
	}
}

func TestFunctionWithoutConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"":                           "no configuration: give --config, or set SCOUT_CONFIG",
		"redis: {url: x}\nqueue: {}": `"level":"ERROR","message":"start failed"`,
		"redis: {url: redis://localhost}\nqueues:\n- {name: a, topics: {t: W}}\n- {name: b, topics: {t: W}}": "the configuration has 2 queues, and a Lambda function takes one",
	} {
		f, log := newBootstrap(t, config)
		err := f.Init(t.Context())
		f.Close()
		if err == nil || !strings.Contains(log.String(), want) {
			t.Errorf("SCOUT_CONFIG=%q: %v, %s; want %s", config, err, log, want)
		}
	}
}

// A rotated password is loaded at once, and a configuration that cannot be
// loaded leaves the previous one in use.
func TestReload(t *testing.T) {
	redis := miniredis.RunT(t)
	redis.RequireAuth("old")
	url, loads, fails := "redis://:old@"+redis.Addr(), 0, false
	observed := 0
	load := func(ctx context.Context) (*config.Config, error) {
		if loads++; fails {
			return nil, errors.New("access denied")
		}
		return config.Loader{}.Load(ctx, sampleConfig(t, url))
	}
	f, err := newFunction(load, func(context.Context, handler.Stats) { observed++ }, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	var event lambdaevents.SQSEvent
	if err := json.Unmarshal(sample(t, "one-topic.json"), &event); err != nil {
		t.Fatal(err)
	}
	handle := func(step string, wantErr bool, wantLoads int) {
		t.Helper()
		if _, err := f.Handle(t.Context(), event); (err != nil) != wantErr || loads != wantLoads {
			t.Errorf("%s: %v after %d loads, want an error: %t, after %d", step, err, loads, wantErr, wantLoads)
		}
	}
	handle("at first", false, 1)
	connections := redis.TotalConnectionCount()
	f.loadedAt = time.Now().Add(-reloadInterval)
	handle("after 5 minutes", false, 2)
	if redis.TotalConnectionCount() != connections {
		t.Error("the connections were not kept although nothing has changed")
	}

	redis.Close() // cuts the authenticated connections
	redis.RequireAuth("new")
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	url = "redis://:new@" + redis.Addr()
	handle("after a rotation", false, 3)

	url = "redis://:wrong@" + redis.Addr()
	f.loadedAt, fails = time.Now().Add(-reloadInterval), true
	handle("Parameter Store is down", false, 4)
	handle("and is not asked again", false, 4)
	if observed != 5 {
		t.Errorf("%d lines of metrics for 5 invocations", observed)
	}
}

// TestConfigurationWarnings checks that warnings are logged once.
func TestConfigurationWarnings(t *testing.T) {
	load := func(ctx context.Context) (*config.Config, error) {
		return config.Loader{}.Load(ctx, `redis: {url: redis://localhost}
workers: '{"version":1,"queues":["default"],"classes":{"W":{"kind":"sidekiq","options":{"queue":"other"},"args":[1,1]}}}'
queue: {topics: {t: W}}`)
	}
	var log bytes.Buffer
	f, err := newFunction(load, nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err == nil {
		err = f.update(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "no process of the app serves the Sidekiq queue other"); n != 1 {
		t.Errorf("%d warnings, want 1:\n%s", n, log.String())
	}
}

// Concurrent invocations succeed while the configuration, and with it the client
// for Redis, keeps changing.
func TestConcurrentInvocations(t *testing.T) {
	const concurrency, each = 8, 40
	redis := miniredis.RunT(t)
	// The first pushes wait for each other: each has a connection of its own.
	var first sync.WaitGroup
	first.Add(concurrency)
	var pushes atomic.Int32
	redis.Server().SetPreHook(func(_ *server.Peer, command string, _ ...string) bool {
		if strings.HasPrefix(command, "EVAL") && pushes.Add(1) <= concurrency {
			first.Done()
			first.Wait()
		}
		return false
	})
	file := filepath.Join(t.TempDir(), "scout.yml")
	write := func(i int) {
		text := strings.Replace(sampleConfig(t, "redis://"+redis.Addr()), "redis:\n", fmt.Sprintf("redis:\n  dedup_ttl: %ds\n", 3600+i), 1)
		if os.WriteFile(file+".new", []byte(text), 0o600) != nil || os.Rename(file+".new", file) != nil {
			t.Error("the configuration could not be written")
		}
	}
	write(0)
	f, log := newBootstrap(t, file)
	f.Env = append(f.Env, runBootstrap+"=1ms")
	f.Concurrency, f.Timeout = concurrency, time.Minute
	if err := f.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writer, wg sync.WaitGroup
	writer.Go(func() {
		for i := 1; ctx.Err() == nil; i++ {
			write(i)
			time.Sleep(time.Millisecond)
		}
	})
	for range concurrency {
		wg.Go(func() {
			for range each {
				if response, err := f.Invoke(t.Context(), sample(t, "one-topic.json")); err != nil || string(response) != `{"batchItemFailures":[]}` {
					t.Errorf("response = %s, %v", response, err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	writer.Wait()
	if n := redis.TotalConnectionCount(); n < 5*concurrency {
		t.Errorf("%d connections to Redis in all: the client was not swapped while it was used", n)
	}
	for deadline := time.Now().Add(10 * time.Second); redis.CurrentConnectionCount() > concurrency+1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections to Redis are open, want those of one client", redis.CurrentConnectionCount())
		}
	}
	f.Close()
	metrics := 0
	for _, line := range lines(t, log) {
		if line["level"] == "ERROR" {
			t.Errorf("log: %v", line)
		}
		if _, ok := line["_aws"]; ok {
			metrics++
		}
	}
	if metrics != concurrency*each {
		t.Errorf("%d lines of metrics, want %d", metrics, concurrency*each)
	}
}

func TestMetrics(t *testing.T) {
	var out bytes.Buffer
	e := &emf{w: &out, function: "shop-scout", level: "WARN"}
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: "r-1"})
	e.write(ctx, handler.Stats{
		Received: 13, Enqueued: 5, Duplicate: 2, Ignored: 1, Dead: 2, Push: 1500 * time.Microsecond, Age: 2 * time.Second,
		Failed: map[handler.Reason]int{handler.ReasonNoRoute: 2, handler.ReasonNotEnvelope: 1},
	})
	line := lines(t, &out)[0]
	for name, want := range map[string]any{
		"FunctionName": "shop-scout", "level": "WARN", "requestId": "r-1", "Received": 13.0, "Enqueued": 5.0, "Duplicate": 2.0, "Ignored": 1.0, "Dead": 2.0,
		"Failed": 3.0, "FailedNoRoute": 2.0, "FailedNotEnvelope": 1.0, "PushLatency": 1.5, "MessageAge": 2000.0,
	} {
		if line[name] != want {
			t.Errorf("%s = %v, want %v", name, line[name], want)
		}
	}
	var directives struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []emfDirective
		} `json:"_aws"`
	}
	if err := json.Unmarshal(out.Bytes(), &directives); err != nil {
		t.Fatal(err)
	}
	d := directives.AWS.CloudWatchMetrics[0]
	if d.Namespace != "Scout" || d.Dimensions[0][0] != "FunctionName" || len(d.Metrics) != 10 || directives.AWS.Timestamp < 1e12 {
		t.Errorf("directive = %+v at %d", d, directives.AWS.Timestamp)
	}
	for _, m := range d.Metrics {
		if _, ok := line[m.Name].(float64); !ok {
			t.Errorf("the metric %s has no number", m.Name)
		}
	}
}

// The configuration for sam local invoke is valid.
func TestSAMLocal(t *testing.T) {
	text, err := os.ReadFile("../../deploy/sam-local.json")
	if err != nil {
		t.Fatal(err)
	}
	var env struct{ ScoutFunction map[string]string }
	if err := json.Unmarshal(text, &env); err != nil {
		t.Fatal(err)
	}
	if _, err := (config.Loader{}).Load(t.Context(), env.ScoutFunction["SCOUT_CONFIG"]); err != nil {
		t.Error(err)
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]slog.Level{
		"": slog.LevelInfo, "TRACE": slog.LevelDebug, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo,
		"WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError, "odd": slog.LevelInfo,
	} {
		h := newLogHandler(io.Discard, level)
		if !h.Enabled(t.Context(), want) || h.Enabled(t.Context(), want-1) {
			t.Errorf("%q is not %v", level, want)
		}
	}
}

// The function links only what it needs.
func TestBinary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, unwanted := range []string{"miniredis", "service/sqs", "service/sns", "aws-sdk-go-v2/config", "devstack", "devpage", "cobra"} {
		if bytes.Contains(out, []byte(unwanted)) {
			t.Errorf("the function links %s", unwanted)
		}
	}
	binary := t.TempDir() + "/bootstrap"
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > 11_000_000 {
		t.Errorf("the binary has %d bytes, want at most 11 MB", info.Size())
	}
	t.Logf("%d bytes", info.Size())
}
