package daemon

import (
	"context"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd tells systemd about a change of state, if systemd has started
// this process and wants to know.
func notifySystemd(state string) { _, _ = systemd.SdNotify(false, state) }

// runWatchdog tells systemd that the process is alive, as often as WatchdogSec=
// of its unit asks for, until ctx ends. While alive returns false it stays
// silent, and systemd restarts the process.
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
