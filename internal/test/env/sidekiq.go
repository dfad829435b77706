package env

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A SidekiqServer is a Sidekiq process with the workers of
// testdata/sidekiq/app.rb.
type SidekiqServer struct {
	t          testing.TB
	executions string // the path of the file that the workers write to
	cmd        *exec.Cmd
	output     bytes.Buffer
	ended      chan struct{} // closed when the process has exited
}

// An Execution is one call of a worker's perform method.
type Execution struct {
	Class     string
	JID       string
	JobID     string `json:"job_id"` // of an ActiveJob
	Queue     string
	Arguments []json.RawMessage // of perform, as Ruby writes them
	Job       json.RawMessage   // as Sidekiq's server middleware got it
}

// A SidekiqRelease is Sidekiq with its Ruby and ActiveJob. The zero value is that of
// the machine.
type SidekiqRelease struct {
	Suite     string // of Debian, into .deps/debian, unless empty
	Namespace string // of redis-namespace, unless empty
}

// Sidekiq starts a process of the machine's Sidekiq; see SidekiqRelease.Start.
func Sidekiq(t testing.TB, redisURL string, queues ...string) *SidekiqServer {
	t.Helper()
	return SidekiqRelease{}.Start(t, redisURL, queues...)
}

// Start starts a Sidekiq process that runs one job at a time, taking jobs from
// the first queue that has any. It is stopped when the test ends.
func (r SidekiqRelease) Start(t testing.TB, redisURL string, queues ...string) *SidekiqServer {
	t.Helper()
	s := &SidekiqServer{t: t, executions: filepath.Join(t.TempDir(), "executions"), ended: make(chan struct{})}
	if err := os.WriteFile(s.executions, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--require", script(t, "app.rb"), "--concurrency", "1", "--timeout", "1"}
	for _, queue := range queues {
		args = append(args, "--queue", queue)
	}
	s.cmd = r.command(t, redisURL, "sidekiq", args...)
	s.cmd.Env = append(s.cmd.Env, "EXECUTIONS="+s.executions)
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		t.Fatalf("starting sidekiq: %v", err)
	}
	go func() {
		_ = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(s.Stop)
	return s
}

// Stop stops the process after the job that it is running, if that ends within a second.
func (s *SidekiqServer) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(10 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	if s.t.Failed() {
		output := s.output.Bytes()
		s.t.Logf("the end of what sidekiq wrote:\n%s", output[max(0, len(output)-4096):])
	}
}

// Executed returns the executions so far, in order.
func (s *SidekiqServer) Executed() []Execution {
	s.t.Helper()
	text, err := os.ReadFile(s.executions)
	if err != nil {
		s.t.Fatal(err)
	}
	var executions []Execution
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // the worker is still writing it
		}
		var e Execution
		if err := json.Unmarshal(line, &e); err != nil {
			s.t.Fatalf("reading the output of a worker: %v", err)
		}
		executions = append(executions, e)
	}
	return executions
}

// Wait waits for n executions, and returns all.
func (s *SidekiqServer) Wait(n int) []Execution {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		executions := s.Executed()
		if len(executions) >= n {
			return executions
		}
		select {
		case <-s.ended:
			s.t.Fatalf("sidekiq exited after %d executions", len(executions))
		default:
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("sidekiq executed %d jobs of %d within 2 min", len(executions), n)
		}
	}
}

// SidekiqScript runs a Ruby script with the machine's Sidekiq; see
// SidekiqRelease.Script.
func SidekiqScript(t testing.TB, redisURL, name string, input, output any) {
	t.Helper()
	SidekiqRelease{}.Script(t, redisURL, name, input, output)
}

// Script runs a Ruby script of testdata/sidekiq. The script reads input as
// JSON, and the JSON that it prints is decoded into output; either may be nil.
func (r SidekiqRelease) Script(t testing.TB, redisURL, name string, input, output any) {
	t.Helper()
	stdin, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := r.command(t, redisURL, "ruby", script(t, name))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	printed, err := cmd.Output()
	if err == nil && output != nil {
		err = json.Unmarshal(printed, output)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, &stderr)
	}
}

// script returns the absolute path of a file in testdata/sidekiq.
func script(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(projectRoot(t), "internal", "test", "env", "testdata", "sidekiq", name)
}

// command returns the command for a program in the environment of a Rails app.
func (r SidekiqRelease) command(t testing.TB, redisURL, program string, args ...string) *exec.Cmd {
	t.Helper()
	if r.Suite != "" {
		args = append(debian(t, r.Suite, program), args...)
		program, args = args[0], args[1:]
	} else {
		for _, name := range []string{"sidekiq", program} {
			Program(t, name, "Debian's ruby-sidekiq and ruby-activejob, or those gems")
		}
	}
	cmd := exec.Command(program, args...)
	DieWithTest(cmd)
	cmd.Dir = t.TempDir() // has no config/sidekiq.yml
	// Rails treats all text as UTF-8. Without Rails, the locale decides.
	cmd.Env = append(os.Environ(), "REDIS_URL="+redisURL, "NAMESPACE="+r.Namespace, "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	return cmd
}
