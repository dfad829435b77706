package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/test/env"
)

// A contender is a program that moves messages from SQS to Redis.
type contender struct {
	name string

	// command returns the command line for a stand, and whether the program
	// will serve its metrics at metricsAddr.
	command func(s *stand, metricsAddr string) (args []string, metrics bool, err error)

	link link
}

// A link is how a contender reaches Redis, and SQS.
type link int

const (
	overSocket link = iota // Redis through a unix socket, SQS over http
	overTCP                // Redis over redis, SQS over http
	overTLS                // Redis over rediss, SQS over https
)

// scoutCommand returns the command of the daemon with a minimal configuration,
// which says only where SQS and Redis are.
func scoutCommand(path string) func(s *stand, metricsAddr string) ([]string, bool, error) {
	return func(s *stand, metricsAddr string) ([]string, bool, error) {
		config := filepath.Join(s.dir, "scout.yml")
		text := fmt.Sprintf(`
redis: {url: %q}
aws: {region: us-east-1, access_key: x, secret_key: x, endpoint: %q}
queue: {url: %q, topics: {bench: BenchWorker}}
`, s.redisURL, s.sqs.url(), s.sqs.queueURL())
		if s.maxBytes != "" { // an older build does not know the key
			text += "max_bytes: " + s.maxBytes + "\n"
		}
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			return nil, false, err
		}
		args := []string{path, "run", "-c", config, "-l", "warn"}
		help, err := exec.Command(path, "run", "--help").Output()
		if err != nil {
			return nil, false, fmt.Errorf("%s run --help: %w", path, err)
		}
		if !strings.Contains(string(help), "--listen") { // an older build
			return args, false, nil
		}
		return append(args, "--listen", metricsAddr), true, nil
	}
}

// A stand is where a contender is measured: an SQS, a Redis, and the process of
// the contender.
type stand struct {
	dir      string
	sqs      *stub
	redisURL string      // for the contender
	socket   string      // of Redis
	pair     env.KeyPair // of both servers with overTLS

	maxBytes string // of the configuration of Scout; may be empty
	*process
}

// measureOn sets up a stand, starts the contender on it, calls measure, and tears
// everything down.
func (c contender) measureOn(ctx context.Context, q *queue, o options, measure func(context.Context, *stand) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &stand{maxBytes: o.maxBytes}
	if s.dir, err = os.MkdirTemp("", "scout-bench"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	config, err := s.tlsConfig(c.link)
	if err != nil {
		return err
	}
	if s.sqs, err = newStub(q, o.latency, o.size, config); err != nil {
		return err
	}
	defer s.sqs.close()
	stopRedis, err := s.startRedis(ctx, c.link)
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
	if s.process, err = start(args, s.pair.Cert, metricsAddr); err != nil {
		return err
	}
	defer s.process.kill()
	return measure(ctx, s)
}

// tlsConfig makes a certificate for the servers with overTLS, and returns the
// configuration that the SQS needs.
func (s *stand) tlsConfig(l link) (*tls.Config, error) {
	if l != overTLS {
		return nil, nil
	}
	s.pair = env.SelfSignedIn(s.dir)
	certificate, err := tls.LoadX509KeyPair(s.pair.Cert, s.pair.Key)
	return &tls.Config{Certificates: []tls.Certificate{certificate}}, err
}

// startRedis starts a redis-server and returns when it replies.
func (s *stand) startRedis(ctx context.Context, l link) (stop func(), err error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	s.socket = filepath.Join(s.dir, "redis")
	args := []string{"--unixsocket", s.socket, "--save", "", "--appendonly", "no", "--dir", s.dir}
	switch l {
	case overSocket:
		s.redisURL = "unix://" + s.socket
		args = append(args, "--port", "0")
	case overTCP:
		s.redisURL = "redis://" + addr
		args = append(args, "--port", port)
	case overTLS:
		s.redisURL = "rediss://" + addr
		args = append(args, "--port", "0", "--tls-port", port, "--tls-cert-file", s.pair.Cert, "--tls-key-file", s.pair.Key, "--tls-auth-clients", "no")
	}
	server := exec.Command("redis-server", args...)
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

// redisDo runs a command on a new connection.
func (s *stand) redisDo(command string, args ...any) error {
	conn, err := redis.Dial("unix", s.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do(command, args...)
	return err
}

// keepRedisEmpty removes the jobs and markers again and again, so that Redis does
// not grow.
func (s *stand) keepRedisEmpty(ctx context.Context) {
	for sleep(ctx, 100*time.Millisecond) == nil {
		_ = s.redisDo("FLUSHALL")
	}
}

// warmUp returns two seconds after the first message was deleted.
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

// sleep returns an error if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
