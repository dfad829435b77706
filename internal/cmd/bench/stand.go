package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A contender is a program that takes messages from SQS to Redis.
type contender struct {
	name string

	// command returns its command line on a stand. It is to serve its
	// metrics at the address, or returns false.
	command func(s *stand, metricsAddr string) (args []string, metrics bool, err error)
}

// scout is the daemon, with nothing configured but where things are.
func scout(path string) contender {
	return contender{path, func(s *stand, metricsAddr string) ([]string, bool, error) {
		config := filepath.Join(s.dir, "scout.yml")
		text := fmt.Sprintf(`
redis: {url: "unix://%s"}
aws: {region: us-east-1, access_key: x, secret_key: x, endpoint: %q}
queue: {url: %q, topics: {bench: BenchWorker}}
`, s.socket, s.sqs.url(), s.sqs.queueURL())
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, false, err
		}
		args := []string{path, "run", "-c", config, "-l", "warn"}
		help, err := exec.Command(path, "run", "--help").Output()
		if err != nil {
			return nil, false, fmt.Errorf("%s run --help: %w", path, err)
		}
		if !strings.Contains(string(help), "--listen") { // an older one
			return args, false, nil
		}
		return append(args, "--listen", metricsAddr), true, nil
	}}
}

// A stand is what a contender runs on: an SQS, a Redis, and itself as a
// process.
type stand struct {
	dir    string
	sqs    *stub
	socket string // of Redis
	*process
}

// on sets up a stand, measures on it as soon as messages are taken, and takes
// everything down.
func (c contender) on(ctx context.Context, q *queue, latency time.Duration, measure func(context.Context, *stand) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stand{}
	if s.dir, err = os.MkdirTemp("", "scout-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	if s.sqs, err = newStub(q, latency); err != nil {
		return err
	}
	defer s.sqs.close()
	stopRedis, err := s.startRedis(ctx)
	if err != nil {
		return err
	}
	defer stopRedis()
	metricsAddr, err := freeAddr()
	if err != nil {
		return err
	}
	args, metrics, err := c.command(s, metricsAddr)
	if err != nil {
		return err
	}
	if !metrics {
		metricsAddr = ""
	}
	if s.process, err = start(args, metricsAddr); err != nil {
		return err
	}
	defer s.process.kill()
	return measure(ctx, s)
}

// startRedis starts a redis-server and returns when it answers.
func (s *stand) startRedis(ctx context.Context) (stop func(), err error) {
	s.socket = filepath.Join(s.dir, "redis")
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", s.dir)
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("starting redis-server: %w", err)
	}
	stop = func() { _ = server.Process.Kill(); _ = server.Wait() }
	for range 200 {
		if err = s.redisDo("PING"); err == nil {
			return stop, nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			break
		}
	}
	stop()
	return nil, fmt.Errorf("redis-server did not start: %w", err)
}

// redisDo sends Redis a command.
func (s *stand) redisDo(command string, args ...any) error {
	conn, err := redis.Dial("unix", s.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do(command, args...)
	return err
}

// empty removes the jobs and what is remembered of them, again and again, so
// that Redis does not grow.
func (s *stand) empty(ctx context.Context) {
	for sleep(ctx, 100*time.Millisecond) == nil {
		_ = s.redisDo("FLUSHALL")
	}
}

// warmUp returns some time after the first message was deleted.
func (s *stand) warmUp(ctx context.Context) error {
	for range 100 {
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
		if _, _, deleted := s.sqs.queue.counts(); deleted > 0 {
			return sleep(ctx, 2*time.Second)
		}
	}
	return errors.New("no message was deleted within 10 s")
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// sleep returns an error if ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
