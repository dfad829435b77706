package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"scout/config"
	"scout/events"
	"scout/handler"
)

// runBootstrap makes the test binary be the function's bootstrap.
const runBootstrap = "SCOUT_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runBootstrap) != "" {
		main()
	}
	os.Exit(m.Run())
}

// A runtimeAPI is the part of the Lambda Runtime API that a function uses:
// GET next, POST response, POST error. See "Using the Lambda runtime API for
// custom runtimes" in the AWS Lambda Developer Guide.
type runtimeAPI struct {
	*httptest.Server
	events  chan []byte
	answers chan answer
}

// An answer is what the function made of an event.
type answer struct {
	kind string // "response" or "error"
	body []byte
}

func newRuntimeAPI(t *testing.T) *runtimeAPI {
	api := &runtimeAPI{events: make(chan []byte), answers: make(chan answer)}
	const prefix = "/2018-06-01/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix+"next", func(w http.ResponseWriter, r *http.Request) {
		select {
		case event := <-api.events:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "request-1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(3*time.Second).UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:scout")
			_, _ = w.Write(event)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST "+prefix+"{id}/{kind}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		api.answers <- answer{r.PathValue("kind"), body}
	})
	api.Server = httptest.NewServer(mux)
	t.Cleanup(func() { api.CloseClientConnections(); api.Close() })
	return api
}

// invoke hands an event to the function and returns its answer.
func (api *runtimeAPI) invoke(t *testing.T, event []byte) answer {
	t.Helper()
	select {
	case api.events <- event:
		return <-api.answers
	case <-time.After(10 * time.Second):
		t.Fatal("the function does not ask for events")
		return answer{}
	}
}

// startFunction starts the bootstrap as Lambda does.
func startFunction(t *testing.T, api *runtimeAPI, config string, env ...string) (output *bytes.Buffer, end func() error) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, runBootstrap+"=1", "SCOUT_CONFIG="+config, "AWS_LAMBDA_FUNCTION_NAME=shop-scout",
		"AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"))
	output = &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return output, func() error { _ = cmd.Process.Kill(); return cmd.Wait() }
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

// lines are the function's log lines, which have to be JSON.
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
	api := newRuntimeAPI(t)
	output, end := startFunction(t, api, sampleConfig(t, "redis://"+redis.Addr()))

	a := api.invoke(t, sample(t, "hundred.json"))
	if got := string(a.body); a.kind != "response" || got != `{"batchItemFailures":[]}` {
		t.Errorf("answer = %s %s", a.kind, got)
	}
	if jobs, _ := redis.List("queue:critical"); len(jobs) != 100 {
		t.Errorf("%d jobs, want 100", len(jobs))
	}

	a = api.invoke(t, sample(t, "poison.json"))
	var response lambdaevents.SQSEventResponse
	if err := json.Unmarshal(a.body, &response); err != nil || a.kind != "response" || len(response.BatchItemFailures) != 7 {
		t.Errorf("answer = %s %s, want 7 failures", a.kind, a.body)
	}

	redis.Close()
	a = api.invoke(t, sample(t, "one-topic.json"))
	if a.kind != "error" || !strings.Contains(string(a.body), "connection refused") {
		t.Errorf("with Redis down: answer = %s %s, want an error", a.kind, a.body)
	}

	_ = end()
	var metrics, refused int
	for _, line := range lines(t, output) {
		if line["requestId"] != "request-1" && !strings.Contains(fmt.Sprint(line["message"]), "errorMessage") { // aws-lambda-go's
			t.Errorf("a line without the request's id: %v", line)
		}
		if _, ok := line["_aws"]; ok {
			metrics++
		}
		if line["message"] == "message refused" && line["level"] == "WARN" {
			refused++
		}
	}
	if metrics != 3 || refused != 7 {
		t.Errorf("%d lines of metrics and %d of refused messages, want 3 and 7:\n%s", metrics, refused, output)
	}
}

func TestFunctionWithoutConfiguration(t *testing.T) {
	for config, want := range map[string]string{
		"":                           "no configuration: give --config, or set SCOUT_CONFIG",
		"redis: {url: x}\nqueue: {}": `"level":"ERROR","message":"Scout cannot start"`,
	} {
		api := newRuntimeAPI(t)
		cmd := exec.Command(os.Args[0])
		cmd.Env = []string{runBootstrap + "=1", "SCOUT_CONFIG=" + config, "AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://")}
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("SCOUT_CONFIG=%q: %v, %s; want %s", config, err, out, want)
		}
	}
}

// Parameters change: a rotated password is fetched at once, and a configuration
// that cannot be loaded leaves the last one in use.
func TestRefresh(t *testing.T) {
	redis := miniredis.RunT(t)
	redis.RequireAuth("old")
	url, loads, fails := "redis://:old@"+redis.Addr(), 0, false
	f := &function{log: slog.New(slog.NewTextHandler(t.Output(), nil)), load: func(ctx context.Context) (*config.Config, error) {
		if loads++; fails {
			return nil, errors.New("access denied")
		}
		return config.Loader{}.Load(ctx, sampleConfig(t, url))
	}}
	if err := f.init(); err != nil {
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
	handle("fresh", false, 1)
	first := f.client
	f.loaded = time.Now().Add(-refreshEvery)
	handle("after 5 minutes", false, 2)
	if f.client != first {
		t.Error("the connections were not kept, though nothing has changed")
	}

	redis.Close() // cuts the connections that are authenticated
	redis.RequireAuth("new")
	if err := redis.Restart(); err != nil {
		t.Fatal(err)
	}
	url = "redis://:new@" + redis.Addr()
	f.loaded = time.Now().Add(-refreshAtLeast)
	handle("after a rotation", false, 3)

	url = "redis://:wrong@" + redis.Addr()
	f.loaded, fails = time.Now().Add(-refreshEvery), true
	handle("Parameter Store is down", false, 4)
	handle("and is not asked again", false, 4)
}

func TestMetrics(t *testing.T) {
	var out bytes.Buffer
	e := &emf{w: &out, function: "shop-scout", level: "WARN"}
	ctx := lambdacontext.NewContext(context.Background(), &lambdacontext.LambdaContext{AwsRequestID: "r-1"})
	e.write(ctx, handler.Stats{
		Received: 10, Enqueued: 5, Duplicate: 2, Push: 1500 * time.Microsecond, Age: 2 * time.Second,
		Failed: map[handler.Reason]int{handler.NoRoute: 2, handler.NotEnvelope: 1},
	})
	line := lines(t, &out)[0]
	for name, want := range map[string]any{
		"FunctionName": "shop-scout", "level": "WARN", "requestId": "r-1", "Received": 10.0, "Enqueued": 5.0, "Duplicate": 2.0,
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
	if d.Namespace != "Scout" || d.Dimensions[0][0] != "FunctionName" || len(d.Metrics) != 8 || directives.AWS.Timestamp < 1e12 {
		t.Errorf("directive = %+v at %d", d, directives.AWS.Timestamp)
	}
	for _, m := range d.Metrics {
		if _, ok := line[m.Name].(float64); !ok {
			t.Errorf("the metric %s has no number", m.Name)
		}
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

// The function carries only what it needs.
func TestBinary(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, unwanted := range []string{"miniredis", "service/sqs", "service/sns", "aws-sdk-go-v2/config", "devstack", "cobra"} {
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
		t.Errorf("the binary has %d bytes, want 11 MB at most", info.Size())
	}
	t.Logf("%d bytes", info.Size())
}
