// Package earlysignal catches SIGTERM and SIGINT as soon as a Go program can.
//
// SIGTERM kills a program until it calls signal.Notify, and initializing Scout's
// packages takes 10 ms and more before main begins. Go always initializes the
// package whose path sorts first among those whose imports are initialized. This
// package imports little, so it is initialized long before those that take time.
// Only the start of the Go runtime itself, about 2 ms, is not covered.
//
// A program that imports this package must call [Until] or [Restore]. Until then,
// the signals have no effect.
package earlysignal

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// caught holds the first signal.
var caught = make(chan os.Signal, 1)

func init() { catch() }

func catch() { signal.Notify(caught, syscall.SIGTERM, os.Interrupt) }

// Until returns a context that ends at the first signal, including one from before
// the call, or when cancel is called. Later signals have their default effect: they
// end the process at once.
func Until(parent context.Context) (ctx context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(parent)
	catch() // again, if Restore was called before
	go func() {
		select {
		case <-caught:
			cancel()
		case <-ctx.Done():
		}
		Restore()
	}()
	return ctx, cancel
}

// Restore gives the signals back their default effect. If a signal has been caught,
// that ends the process.
func Restore() {
	signal.Reset(syscall.SIGTERM, os.Interrupt)
	select {
	case s := <-caught:
		_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
	default:
	}
}
