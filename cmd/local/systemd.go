package main

import (
	"context"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd, if it has started this process and wants to know.
// Where it has not, there is nobody to tell.
func notify(state string) { _, _ = systemd.SdNotify(false, state) }

// watchdog tells systemd that all is alive, as often as its WatchdogSec= asks
// for, until ctx ends. What hangs is not told of, and systemd starts it again.
func watchdog(ctx context.Context, alive func() bool) {
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
				notify(systemd.SdNotifyWatchdog)
			}
		}
	}
}
