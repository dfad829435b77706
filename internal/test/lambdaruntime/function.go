// Package lambdaruntime runs the bootstrap of a Lambda function as Lambda does,
// with a Runtime API of its own. Start at [Function].
package lambdaruntime

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

const (
	defaultTimeout = 3 * time.Second  // Lambda's own
	initTimeout    = 10 * time.Second // of the init phase
)

// A Function is a function in one execution environment: a process that
// handles one event at a time, or several. Set the fields, Invoke, and Close.
//
// Unlike in Lambda, the process is not frozen between invocations, and a failed
// init phase is only repeated by the next invocation.
type Function struct {
	Path    string        // of the bootstrap
	Env     []string      // of the process, in addition to what Lambda sets; nothing is inherited
	Timeout time.Duration // of an invocation; 0 means 3 s

	// Concurrency is the maximum number of invocations at a time
	// (AWS_LAMBDA_MAX_CONCURRENCY); 0 means 1.
	Concurrency int

	// Log gets what the process writes to standard output and error. It has
	// everything when Close returns. nil discards it.
	Log io.Writer

	slotsOnce sync.Once
	slots     chan struct{} // full while the function is busy

	mu      sync.Mutex // guards process
	process *process   // the latest
}

// An InvocationError is a function error as Lambda reports it.
type InvocationError struct {
	Type    string `json:"errorType"`
	Message string `json:"errorMessage"`
}

func (e *InvocationError) Error() string { return e.Type + ": " + e.Message }

// Init starts the process unless it is running, and returns when the process asks
// for its first event. An *InvocationError means that the process exited before
// that, reported an init error, or took longer than 10 s.
func (f *Function) Init(ctx context.Context) error {
	defer f.take()()
	_, err := f.warm(ctx)
	return err
}

// Invoke invokes the function with an event and returns its response. It waits
// while the function is busy, and starts it if it is not running; see Init.
//
// An *InvocationError means that the function reported an error, that its process
// exited before it responded (Runtime.ExitError), or that it took longer than
// Timeout and was killed (Sandbox.Timedout). The next Invoke starts a new process
// if necessary. If ctx ends, the process is killed, too.
func (f *Function) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	defer f.take()()
	for {
		p, err := f.warm(ctx)
		if err != nil {
			return nil, err
		}
		i := newInvocation(event, cmp.Or(f.Timeout, defaultTimeout))
		if response, taken, err := p.invoke(ctx, i); taken {
			return response, err
		}
		// The process exited after the last invocation.
	}
}

// take waits until the function is not busy, and makes it busier until free is
// called.
func (f *Function) take() (free func()) {
	f.slotsOnce.Do(func() { f.slots = make(chan struct{}, cmp.Or(f.Concurrency, 1)) })
	f.slots <- struct{}{}
	return func() { <-f.slots }
}

// warm returns a process that has finished its init phase.
func (f *Function) warm(ctx context.Context) (*process, error) {
	p, err := f.running()
	if err != nil {
		return nil, err
	}
	if err := p.awaitInit(ctx); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func (f *Function) running() (*process, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil && !f.process.hasEnded() {
		return f.process, nil
	}
	env := f.Env
	if f.Concurrency > 1 {
		env = append([]string{fmt.Sprintf("AWS_LAMBDA_MAX_CONCURRENCY=%d", f.Concurrency)}, env...)
	}
	p, err := startProcess(f.Path, env, f.Log)
	if err != nil {
		return nil, fmt.Errorf("starting the function: %w", err)
	}
	f.process = p
	return p, nil
}

// Signal sends a signal to the process, and reports whether it is running. os.Kill
// is what Lambda sends to a process that is out of memory.
func (f *Function) Signal(s os.Signal) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.process != nil && f.process.cmd.Process.Signal(s) == nil
}

// Close kills the process and returns when it has exited.
func (f *Function) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.process != nil {
		f.process.kill()
	}
}
