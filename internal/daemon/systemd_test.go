package daemon

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"scout/internal/poller"
)

// A loop that hangs is not reported as alive.
func TestWatchdog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "30000")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	runWatchdog(ctx, func() bool { return false })
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 100)); err == nil {
		t.Errorf("systemd was told something, %d bytes", n)
	}
}

// alive reports a consumer whose loop does not run.
func TestAlive(t *testing.T) {
	s := &Service{consumers: map[string]*consumer{"app": {poller: &poller.Poller{}}}}
	if s.alive() {
		t.Error("a loop that never ran is alive")
	}
	s.consumers = nil
	if !s.alive() {
		t.Error("without consumers, it is not alive")
	}
}
