package lambdaruntime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// bootstrap is the variable that makes the test binary a bootstrap: one that
// handles events ("handle") or one that does not start ("exit").
const bootstrap = "SCOUT_TEST_BOOTSTRAP"

// together is waited for by as many invocations as there can be at a time.
var together sync.WaitGroup

func TestMain(m *testing.M) {
	switch os.Getenv(bootstrap) {
	case "":
		os.Exit(m.Run())
	case "handle":
		fmt.Println("starting")
		together.Add(lambdacontext.MaxConcurrency())
		lambda.Start(handle)
	case "exit":
		fmt.Println("no configuration")
		os.Exit(3)
	}
}

// handle obeys its event, and returns how it was invoked.
func handle(ctx context.Context, order string) (map[string]any, error) {
	switch order {
	case "fail":
		return nil, errors.New("failed")
	case "panic":
		panic("panicked")
	case "exit":
		os.Exit(7)
	case "leave":
		os.Exit(0)
	case "hang":
		time.Sleep(time.Minute)
	case "together":
		together.Done()
		together.Wait()
	case "exit later":
		time.AfterFunc(20*time.Millisecond, func() { os.Exit(0) })
	}
	deadline, _ := ctx.Deadline()
	lc, _ := lambdacontext.FromContext(ctx)
	return map[string]any{
		"order": order, "id": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "pid": os.Getpid(),
		"trace": os.Getenv("_X_AMZN_TRACE_ID"), "seconds": time.Until(deadline).Round(time.Second).Seconds(),
	}, nil
}

func newFunction(t *testing.T, mode string) (f *Function, log *bytes.Buffer) {
	t.Helper()
	log = &bytes.Buffer{}
	f = &Function{Path: os.Args[0], Log: log, Env: []string{
		bootstrap + "=" + mode,
		"GORACE=atexit_sleep_ms=0",  // the race detector sleeps for a second at exit
		"GOCOVERDIR=" + t.TempDir(), // without it, a binary built with -cover warns in the log
	}}
	t.Cleanup(f.Close)
	return f, log
}

func TestInvoke(t *testing.T) {
	f, log := newFunction(t, "handle")
	ids := map[string]bool{}
	for range 3 {
		response, err := f.Invoke(t.Context(), []byte(`"go"`))
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`^{"arn":"arn:aws:lambda:us-east-1:123456789012:function:function","id":"([0-9a-f-]{36})","order":"go","pid":\d+,"seconds":3,"trace":"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0"}$`).FindSubmatch(response)
		if m == nil {
			t.Fatalf("response = %s", response)
		}
		ids[string(m[1])] = true
	}
	if len(ids) != 3 {
		t.Errorf("the request ids are %v, want a different one for each", ids)
	}
	f.Close()
	if log.String() != "starting\n" {
		t.Errorf("log = %q, want one start", log)
	}
}

// TestFailures checks that however an invocation ends, the next one succeeds, in a
// new process if the old one has exited.
func TestFailures(t *testing.T) {
	for order, want := range map[string]struct {
		err  string // a regular expression
		cold bool
	}{
		"fail":  {`^errorString: failed$`, false},
		"panic": {`^string: panicked$`, true},
		"exit":  {`^Runtime.ExitError: RequestId: [0-9a-f-]{36} Error: Runtime exited with error: exit status 7$`, true},
		"leave": {`^Runtime.ExitError: RequestId: [0-9a-f-]{36} Error: Runtime exited without providing a reason$`, true},
		"hang":  {`^Sandbox.Timedout: RequestId: [0-9a-f-]{36} Error: Task timed out after 0.50 seconds$`, true},
	} {
		t.Run(order, func(t *testing.T) {
			f, log := newFunction(t, "handle")
			f.Timeout = 500 * time.Millisecond
			_, err := f.Invoke(t.Context(), []byte(`"`+order+`"`))
			if _, ok := errors.AsType[*InvocationError](err); !ok || !regexp.MustCompile(want.err).MatchString(err.Error()) {
				t.Errorf("error = %v, want %s", err, want.err)
			}
			if _, err := f.Invoke(t.Context(), []byte(`"go"`)); err != nil {
				t.Error(err)
			}
			f.Close()
			if cold := strings.Count(log.String(), "starting\n") == 2; cold != want.cold {
				t.Errorf("a cold start: %t, want %t; log:\n%s", cold, want.cold, log)
			}
		})
	}
}

func TestEndsBetweenInvocations(t *testing.T) {
	f, _ := newFunction(t, "handle")
	if _, err := f.Invoke(t.Context(), []byte(`"exit later"`)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if _, err := f.Invoke(t.Context(), []byte(`"go"`)); err != nil {
		t.Error(err)
	}
}

func TestSignal(t *testing.T) {
	f, _ := newFunction(t, "handle")
	f.Signal(os.Kill) // not running
	if err := f.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { f.Signal(os.Kill) })
	_, err := f.Invoke(t.Context(), []byte(`"hang"`))
	if err == nil || !strings.HasSuffix(err.Error(), "signal: killed") {
		t.Errorf("killed while busy: %v", err)
	}

	f.Timeout = 200 * time.Millisecond
	if err := f.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.Signal(syscall.SIGSTOP)
	time.Sleep(100 * time.Millisecond) // a thread on another processor may still run for a moment
	if _, err = f.Invoke(t.Context(), []byte(`"go"`)); err == nil || !strings.Contains(err.Error(), "timed out after 0.20 seconds") {
		t.Errorf("stopped before it gets the event: %v", err)
	}
}

func TestContextEnds(t *testing.T) {
	f, _ := newFunction(t, "handle")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := f.Invoke(ctx, []byte(`"hang"`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
	if _, err := f.Invoke(t.Context(), []byte(`"go"`)); err != nil {
		t.Error(err)
	}
}

func TestInitFails(t *testing.T) {
	f, log := newFunction(t, "exit")
	for range 2 {
		_, err := f.Invoke(t.Context(), []byte(`"go"`))
		if err == nil || err.Error() != "Runtime.ExitError: Error: Runtime exited with error: exit status 3" {
			t.Errorf("error = %v", err)
		}
	}
	if log.String() != "no configuration\nno configuration\n" {
		t.Errorf("log = %q, want two starts", log)
	}

	f.Path = "/no/such/bootstrap"
	if err := f.Init(t.Context()); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("error = %v", err)
	}
}

// As many events as Concurrency says are handled at a time, by one process.
func TestConcurrency(t *testing.T) {
	const concurrency = 4
	f, log := newFunction(t, "handle")
	f.Concurrency = concurrency
	var wg sync.WaitGroup
	var pids sync.Map
	for range concurrency {
		wg.Go(func() {
			// Each waits for the others, so it would time out if they came in turn.
			response, err := f.Invoke(t.Context(), []byte(`"together"`))
			if err != nil {
				t.Error(err)
				return
			}
			pids.Store(string(regexp.MustCompile(`"pid":\d+`).Find(response)), true)
		})
	}
	wg.Wait()
	n := 0
	pids.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
	f.Close()
	if log.String() != "starting\n" {
		t.Errorf("log = %q, want one start", log)
	}
}
