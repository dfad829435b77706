package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"
)

// A devWriter writes to out, which may block, as a pipe to a pager does. Once ctx has
// ended, it waits at most logCloseTimeout and drops the rest. A signal therefore ends
// the command. It is not safe for concurrent use.
type devWriter struct {
	ctx   context.Context
	out   io.Writer
	stuck bool // a Write of out has not returned
}

var errStuck = errors.New("nothing reads the output")

// Write implements io.Writer.
func (w *devWriter) Write(text []byte) (int, error) {
	if w.stuck {
		return 0, errStuck
	}
	written := make(chan error, 1)
	text = bytes.Clone(text) // the caller may change it once Write has returned
	go func() {
		_, err := w.out.Write(text)
		written <- err
	}()
	select {
	case err := <-written:
		return len(text), err
	case <-w.ctx.Done():
	}
	select {
	case err := <-written:
		return len(text), err
	case <-time.After(logCloseTimeout):
		w.stuck = true
		return 0, errStuck
	}
}
