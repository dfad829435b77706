// Package earlysignal catches SIGTERM and SIGINT as soon as a Go program can.
//
// Until a program calls signal.Notify, SIGTERM kills it, and the packages of
// Scout need 10 ms and more to initialize before main begins. Go initializes the
// package whose path sorts first among those whose imports are initialized, so
// this one, which imports next to nothing, comes long before those that take
// time. What remains is the time until the Go runtime itself has started, about
// 2 ms.
//
// A program that imports this package must call Until or Restore; the signals have
// no effect before it does.
package earlysignal

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// caught has the first signal.
var caught = make(chan os.Signal, 1)

func init() { catch() }

func catch() { signal.Notify(caught, syscall.SIGTERM, os.Interrupt) }

// Until returns a context that ends at the first signal, also if that came
// before the call. Later signals have their default effect, which ends the process
// at once, and so do all signals after a call of cancel, which ends the context, too.
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

// Restore gives the signals their default effect. If one was caught, that ends the
// process.
func Restore() {
	signal.Reset(syscall.SIGTERM, os.Interrupt)
	select {
	case s := <-caught:
		_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
	default:
	}
}
