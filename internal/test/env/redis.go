package env

import (
	"net"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// A RedisServer is a redis-server process whose data is in a directory of the test.
type RedisServer struct {
	Addr   string // host:port, the same after a restart
	Socket string // the path of its unix socket

	t    testing.TB
	args []string
	cmd  *exec.Cmd
}

// Redis starts a redis-server with extra arguments. It writes every change to
// disk, so the data survives Kill. It is stopped when the test ends.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		need(t, "redis-server", "Debian's redis-server or Homebrew's redis")
	}
	addr := FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	s := &RedisServer{Addr: addr, Socket: filepath.Join(dir, "sock"), t: t}
	s.args = append([]string{
		"--bind", "127.0.0.1", "--port", port, "--unixsocket", s.Socket, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always",
	}, args...)
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// URL returns the server's address as a Redis URL.
func (s *RedisServer) URL() string { return "redis://" + s.Addr }

// Start starts the process and returns when it accepts connections.
func (s *RedisServer) Start() {
	s.t.Helper()
	s.cmd = exec.Command("redis-server", s.args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("starting redis-server: %v", err)
	}
	waitFor(s.t, "redis-server", func() bool {
		c, err := redis.Dial("tcp", s.Addr)
		if err != nil {
			return false
		}
		defer c.Close()
		_, err = c.Do("PING")
		return err == nil || !isLoading(err)
	})
}

func isLoading(err error) bool {
	_, ok := err.(redis.Error)
	return ok && len(err.Error()) >= 7 && err.Error()[:7] == "LOADING"
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

// FreeAddr returns a loopback address that is not in use.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
