package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/sqsclient"
)

// A daemon is the command that polls until a signal.
type daemon struct {
	*options
	frequency int
	listen    string
}

func (d *daemon) flags(cmd *cobra.Command) {
	cmd.Flags().IntVarP(&d.frequency, "freq", "f", 100, "poll an idle queue again after `N` milliseconds")
	cmd.Flags().StringVar(&d.listen, "listen", "", "answer /metrics, /healthz, /readyz and /status at `ADDRESS`, on 127.0.0.1 if it is a port alone")
}

func (d *daemon) run(cmd *cobra.Command, _ []string) error {
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	defer signal.Stop(reload)
	ctx, stop := untilSignal(cmd.Context())
	defer stop()
	log, err := d.logger(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if d.frequency < 1 {
		return &failedError{errors.New("--freq: at least 1 ms"), exitUsage}
	}
	err = d.serve(ctx, reload, log)
	if ctx.Err() != nil {
		return nil // whatever the signal interrupted
	}
	return err
}

func (d *daemon) serve(ctx context.Context, reload <-chan os.Signal, log *slog.Logger) error {
	if os.Getenv("GOGC") == "" {
		// The heap is small, and nearly all of it is garbage soon: 6 MB more
		// save a tenth of the work.
		debug.SetGCPercent(200)
	}
	listener, err := d.listener()
	if err != nil {
		return err
	}
	s := &service{
		load: func(ctx context.Context) (*config.Config, error) {
			return d.load(ctx, config.Loader{AWS: sqsclient.AWSConfig, NeedQueue: true})
		},
		interval: time.Duration(d.frequency) * time.Millisecond,
		watched:  listener != nil,
		version:  versionOf(debug.ReadBuildInfo()),
		log:      log,
	}
	c, err := s.load(ctx)
	if err != nil {
		return err
	}
	p, err := s.prepare(ctx, c)
	if err != nil {
		return err
	}
	s.serve(ctx, p, listener, reload)
	return nil
}

// listener listens for who asks how Scout is doing, if that is wanted.
func (d *daemon) listener() (net.Listener, error) {
	if d.listen == "" {
		return nil, nil
	}
	address := d.listen
	if _, err := strconv.Atoi(address); err == nil {
		address = ":" + address
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &failedError{errors.New("--listen: a port, such as 9464, or host:port"), exitUsage}
	}
	return net.Listen("tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
}
