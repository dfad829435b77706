// Package daemon is Scout as a long-running process: it polls the configured
// SQS queues and pushes jobs until it is stopped. Start at [Service].
package daemon

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"scout/config"
	"scout/handler"
	"scout/internal/backpressure"
	"scout/internal/budget"
	"scout/internal/monitor"
	"scout/internal/redislink"
	"scout/internal/sqsclient"
)

// A Service is the daemon: a consumer for each SQS queue and the Redis that they
// share. Set the fields and call Run, once.
type Service struct {
	// Config is the configuration to start with.
	Config *config.Config

	// Load loads the configuration again, for a reload and when Redis rejects the
	// credentials. A configuration that it has returned must not be changed.
	Load func(context.Context) (*config.Config, error)

	// Reload makes the Service reload its configuration at each value; nil: never.
	Reload <-chan os.Signal

	Interval time.Duration // between polls of an idle queue, see poller.Poller

	// Listener, if not nil, is where Run serves /metrics, /healthz, /readyz and
	// /status. Run closes it.
	Listener net.Listener

	Version string // for /status and /metrics
	Log     *slog.Logger

	// LimitMemory, if not nil, is called with a soft memory limit that suits
	// max_bytes. It may be debug.SetMemoryLimit.
	LimitMemory func(bytes int64) int64

	// Observe, if not nil, is called with the Stats of each batch, which have
	// Results if Detailed is set.
	Observe  func(handler.Stats)
	Detailed bool

	// DroppedLogLines, if not nil, returns the number of log lines that could not be
	// written so far.
	DroppedLogLines func() int64

	budget  *budget.Budget
	link    *redislink.Link
	watcher *backpressure.Watcher
	monitor *monitor.Monitor
	started time.Time
	polling sync.WaitGroup // of consumers and the watcher

	mu        sync.Mutex // guards what follows
	config    *config.Config
	consumers map[string]*consumer // by queueKey
	reloads   monitor.Config
}

// Run polls until ctx ends. It returns when the messages that it has received are
// handled and every goroutine that it has started has ended. An error means that
// it could not start because the configuration cannot take effect.
func (s *Service) Run(ctx context.Context) error {
	s.init(ctx)
	if s.Listener != nil {
		defer s.Listener.Close()
	}
	if err := s.takeOver(ctx, s.Config); err != nil {
		return err
	}
	defer s.link.Close()
	// background ends after the consumers have drained.
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	if s.Listener != nil {
		s.Log.Info("listening", "address", s.Listener.Addr().String())
		wg.Go(func() { s.monitor.Serve(background, s.Listener) })
	}
	wg.Go(func() { runWatchdog(background, func() bool { return ctx.Err() != nil || s.alive() }) })
	s.polling.Go(func() { s.watcher.Run(ctx) })
	notifySystemd(systemd.SdNotifyReady)
	s.reloadUntil(ctx)
	notifySystemd(systemd.SdNotifyStopping)
	s.Log.Info("stopping", "timeout", s.stopTimeout().String(), "hint", "a second signal stops at once")
	s.polling.Wait()
	s.Log.Info("stopped")
	return nil
}

// init creates what does not change with the configuration.
func (s *Service) init(ctx context.Context) {
	s.started = time.Now()
	s.budget = budget.New(budget.Default)
	s.link = &redislink.Link{Log: s.Log, AWS: sqsclient.AWSConfig, Load: func(ctx context.Context) (config.Redis, error) {
		c, err := s.Load(ctx)
		if err != nil {
			return config.Redis{}, err
		}
		return c.Redis, nil
	}}
	s.watcher = &backpressure.Watcher{Measure: s.link.Usage, Watched: s.Listener != nil, Log: s.Log}
	s.monitor = monitor.New(func() monitor.Status { return s.status(ctx) })
	s.monitor.Log = s.Log
}

// stopTimeout returns the maximum time that the consumers take to stop.
func (s *Service) stopTimeout() (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.consumers {
		longest = max(longest, c.stopTimeout)
	}
	return longest
}

// reloadUntil reloads the configuration for each value of s.Reload, until ctx ends.
func (s *Service) reloadUntil(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.Reload:
			notifySystemd(systemd.SdNotifyReloading)
			s.reload(ctx)
			notifySystemd(systemd.SdNotifyReady)
		}
	}
}
