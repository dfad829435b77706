package main

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A signal also stops the daemon if it arrives before main begins, while packages
// are being initialized.
func TestSignalBeforeMain(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	e := &endpoint{addr: silent.Addr().String()}
	file := e.config(t, startTestRedis(t), "1s")
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(os.Args[0], "run", "-c", file)
		cmd.Env = append(os.Environ(), runScout+"=1", "GODEBUG=inittrace=1")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// The runtime prints a line for each package that it has initialized.
		before := 0
		lines := bufio.NewScanner(stderr)
		for ; lines.Scan() && !strings.HasPrefix(lines.Text(), "init scout/internal/earlysignal "); before++ {
			if strings.HasPrefix(lines.Text(), "init net/http ") || strings.HasPrefix(lines.Text(), "init github.com/prometheus/") {
				t.Errorf("initialized before the signals are caught: %s", lines.Text())
			}
		}
		_ = cmd.Process.Signal(s)
		rest, _ := io.ReadAll(stderr)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v after %d packages: scout ended with %v; its log:\n%s", s, before, err, rest)
		}
	}
}

// The first signal ends a command that is not the daemon.
func TestSignalEndsOtherCommands(t *testing.T) {
	cmd := exec.Command(os.Args[0], "explain", "-")
	cmd.Env = append(os.Environ(), runScout+"=1", "SCOUT_CONFIG=redis: {url: redis://localhost}\nqueue: {topics: {a: W}}")
	stdin, err := cmd.StdinPipe() // it waits for its end
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	_ = cmd.Process.Signal(syscall.SIGINT)
	select {
	case err := <-ended:
		if err == nil || err.Error() != "signal: interrupt" {
			t.Errorf("explain ended with %v, want the signal", err)
		}
	case <-time.After(10 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("explain did not end")
	}
}
