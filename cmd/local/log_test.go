package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/internal/test/env"
)

// startWithLog starts scout with the given standard error, which it closes here.
// Metrics are served at addr.
func startWithLog(t *testing.T, stderr *os.File, args ...string) (p *process, addr string) {
	t.Helper()
	addr = env.FreeAddr(t)
	p = &process{Cmd: exec.Command(os.Args[0], append(args, "--listen", addr)...), done: make(chan error, 1)}
	p.Env = append(os.Environ(), runScout+"=1")
	p.Cmd.Stderr = stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	go func() { p.done <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p, addr
}

// getFrom returns the status and body of a response, or 0 if there is none.
func getFrom(addr, path string) (status int, body string) {
	response, err := http.Get("http://" + addr + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text)
}

// metricFrom returns the value of an integer metric, or 0 if the metric is missing.
func metricFrom(addr, name string) (n int) {
	_, text := getFrom(addr, "/metrics")
	if m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\d+)$`).FindStringSubmatch(text); m != nil {
		n, _ = strconv.Atoi(m[1])
	}
	return n
}

func droppedLines(addr string) int { return metricFrom(addr, "scout_log_lines_dropped_total") }

// Standard error is a full pipe that nobody reads. Scout works on, and SIGTERM
// stops it in time.
func TestBlockedLog(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	redis := startTestRedis(t)
	log, stderr, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_ = stderr.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := stderr.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the pipe is not full: %v", err)
	}
	p, addr := startWithLog(t, stderr, "-c", e.config(t, redis, "1s"), "-l", "debug")
	e.publish(t, 0, 5)
	eventually(t, 20*time.Second, "all messages are jobs", func() bool { return len(jobs(t, redis)) == 5 && e.depth(t, "app") == 0 })
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := getFrom(addr, path); status != 200 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 6*time.Second); err != nil { // the shutdown_timeout
		t.Errorf("scout ended with %v", err)
	}
}

// The reader of standard error exits. Scout works on, counts the lines that it
// cannot write, and reports them to the next reader.
func TestLogWithoutReader(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	redis := startTestRedis(t)
	fifo := filepath.Join(t.TempDir(), "log")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(flag int) *os.File {
		t.Helper()
		f, err := os.OpenFile(fifo, flag, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	log := open(os.O_RDONLY | syscall.O_NONBLOCK) // does not wait for a writer
	p, addr := startWithLog(t, open(os.O_WRONLY), "-c", e.config(t, redis, "1s"), "-l", "debug")
	eventually(t, 20*time.Second, "ready", func() bool { status, _ := getFrom(addr, "/readyz"); return status == 200 })
	log.Close()
	e.publish(t, 0, 5)
	eventually(t, 20*time.Second, "all messages are jobs", func() bool { return len(jobs(t, redis)) == 5 })
	eventually(t, 10*time.Second, "dropped lines are counted", func() bool { return droppedLines(addr) > 0 })

	log = open(os.O_RDONLY | syscall.O_NONBLOCK)
	defer log.Close()
	var text syncBuffer
	read := make(chan error)
	go func() {
		_, err := io.Copy(&text, log)
		read <- err
	}()
	e.publish(t, 5, 10)
	eventually(t, 10*time.Second, "the log says what is missing", func() bool { return strings.Contains(text.String(), `msg="log lines dropped" count=`) })
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 6*time.Second); err != nil {
		t.Errorf("scout ended with %v", err)
	}
	if err := <-read; err != nil || !strings.Contains(text.String(), "msg=stopped") {
		t.Errorf("%v; the log does not go on to the end:\n%s", err, text.String())
	}
}

// A flood of warnings of one kind is counted instead of repeated.
func TestFloodOfWarnings(t *testing.T) {
	e := newEndpoint(t, 30, 5)
	p := startScout(t, "-c", e.config(t, startTestRedis(t), "1s"), "--listen", "0")
	for i := range 200 {
		e.publishTo(t, e.topic, fmt.Sprintf(`{"poison":1,"poison":%d}`, i))
	}
	eventually(t, 20*time.Second, "all messages are rejected", func() bool {
		return p.metric(t, `scout_messages_failed_total{queue="app",reason="unacceptable"}`) == "200"
	})
	p.signal(t, syscall.SIGTERM)
	if err := p.end(t, 10*time.Second); err != nil {
		t.Error(err)
	}
	if n := strings.Count(p.log(), `msg="message rejected"`); n != 11 || !strings.Contains(p.log(), "count=190") {
		t.Errorf("%d lines for 200 rejected messages, want 10 and the count of the others; log:\n%s", n, p.log())
	}
}
