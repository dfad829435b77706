package daemon

import (
	"context"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd tells systemd about a change of state, unless NOTIFY_SOCKET is
// unset.
func notifySystemd(state string) { _, _ = systemd.SdNotify(false, state) }

// runWatchdog tells systemd that the process is alive, three times in each
// WatchdogSec= of its unit, until ctx ends. While alive returns false it stays
// silent, so systemd restarts the process.
func runWatchdog(ctx context.Context, alive func() bool) {
	limit, err := systemd.SdWatchdogEnabled(false)
	if err != nil || limit == 0 {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(limit / 3):
			if alive() {
				notifySystemd(systemd.SdNotifyWatchdog)
			}
		}
	}
}
