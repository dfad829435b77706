package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/daemon"
	"scout/internal/sqsclient"
)

// A runCommand is scout run, the daemon.
type runCommand struct {
	*options
	frequency int
	listen    string
}

func (r *runCommand) addFlags(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&r.frequency, "freq", "f", 100, "poll an idle queue every `N` milliseconds")
	cmd.Flags().StringVar(&r.listen, "listen", "", "serve /metrics, /healthz, /readyz and /status at `ADDRESS`; a port alone is on 127.0.0.1")
}

func (r *runCommand) run(ctx context.Context, cmd *cobra.Command) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	// If the reader of standard error goes away, the daemon must go on.
	signal.Ignore(syscall.SIGPIPE)
	log, err := r.openLog(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer log.close()
	if r.frequency < 1 {
		return &failedError{errors.New("--freq: must be at least 1 ms"), exitUsage}
	}
	return r.serve(ctx, reload, log)
}

func (r *runCommand) serve(ctx context.Context, reload <-chan os.Signal, log *commandLog) error {
	if os.Getenv("GOGC") == "" {
		// The heap is small, and nearly all of it soon becomes garbage. 6 MB more
		// of it save a tenth of the CPU time.
		debug.SetGCPercent(200)
	}
	load := func(ctx context.Context) (*config.Config, error) {
		return r.load(ctx, config.Loader{AWS: sqsclient.AWSConfig, NeedQueue: true})
	}
	c, err := load(ctx)
	if err != nil {
		return err
	}
	listener, err := listen(r.listen)
	if err != nil {
		return err
	}
	service := &daemon.Service{
		Config:   c,
		Load:     load,
		Reload:   reload,
		Interval: time.Duration(r.frequency) * time.Millisecond,
		Listener: listener,
		Version:  versionOf(debug.ReadBuildInfo()),
		Log:      log.Logger,

		DroppedLogLines: log.writer.Dropped,
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		service.LimitMemory = debug.SetMemoryLimit
	}
	return service.Run(ctx)
}

// listen listens at the address that --listen gives. It returns nil if that is "".
func listen(address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	address, err := listenAddress("listen", 9464, address)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w; choose another address", err)
	}
	return listener, nil
}

// listenAddress returns the value of a flag as host:port. A port alone, such as the
// example, is on 127.0.0.1.
func listenAddress(flag string, example int, value string) (string, error) {
	if _, err := strconv.Atoi(value); err == nil {
		value = ":" + value
	}
	host, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", &failedError{fmt.Errorf("--%s: must be a port, such as %d, or host:port; the maximum is 65535", flag, example), exitUsage}
	}
	return net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port), nil
}
