package lambdaruntime

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"time"
)

// A process is a running bootstrap with its Runtime API.
type process struct {
	cmd    *exec.Cmd
	server *http.Server

	ready     chan struct{} // closed when it asks for its first event
	readyOnce sync.Once
	initError chan error       // what it reported instead
	next      chan *invocation // received from when it asks for an event
	ended     chan struct{}    // closed when it has exited and the log has all its output

	mu      sync.Mutex             // guards current
	current map[string]*invocation // by id: those that were taken and not answered yet
}

// startProcess starts a bootstrap with the environment variables that Lambda sets.
func startProcess(path string, env []string, log io.Writer) (*process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:       exec.Command(path),
		ready:     make(chan struct{}),
		initError: make(chan error, 1),
		next:      make(chan *invocation),
		ended:     make(chan struct{}),
		current:   map[string]*invocation{},
	}
	p.server = &http.Server{Handler: p.api(), ReadHeaderTimeout: 5 * time.Second}
	p.cmd.Env = append([]string{"AWS_LAMBDA_FUNCTION_NAME=" + functionName, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_REGION=us-east-1", "TZ=:UTC"}, env...)
	p.cmd.Env = append(p.cmd.Env, "AWS_LAMBDA_RUNTIME_API="+listener.Addr().String())
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		listener.Close()
		return nil, err
	}
	go func() { _ = p.server.Serve(listener) }()
	go func() {
		_ = p.cmd.Wait()
		p.server.Close()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// exitError returns the error for a process that has exited.
func (p *process) exitError(prefix string) error {
	if p.cmd.ProcessState.Success() {
		return &InvocationError{"Runtime.ExitError", prefix + "Error: Runtime exited without providing a reason"}
	}
	return &InvocationError{"Runtime.ExitError", prefix + "Error: Runtime exited with error: " + p.cmd.ProcessState.String()}
}

func (p *process) awaitInit(ctx context.Context) error {
	select {
	case <-p.ready:
		return nil
	case err := <-p.initError:
		return err
	case <-p.ended:
		select {
		case err := <-p.initError: // reported before it exited
			return err
		default:
			return p.exitError("")
		}
	case <-time.After(initTimeout):
		return &InvocationError{"Sandbox.Timedout", fmt.Sprintf("Error: Init timed out after %.2f seconds", initTimeout.Seconds())}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// invoke returns taken = false if the process exited without taking the
// invocation.
func (p *process) invoke(ctx context.Context, i *invocation) (response []byte, taken bool, err error) {
	timeout := time.After(i.timeout)
	for next := p.next; ; {
		select {
		case next <- i:
			next, taken = nil, true
		case a := <-i.answer:
			return a.response, true, a.err
		case <-p.ended:
			select {
			case a := <-i.answer: // sent before it exited
				return a.response, true, a.err
			default:
				return nil, taken, p.exitError("RequestId: " + i.id + " ")
			}
		case <-timeout:
			p.kill()
			return nil, true, i.timedOut()
		case <-ctx.Done():
			p.kill()
			return nil, true, ctx.Err()
		}
	}
}
