package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"scout/internal/printable"
)

// A devLog is the readable log of scout dev. It has only warnings, errors and reloads,
// each in one line unless an error has several. It omits rejections, because each
// rejected message has a line on standard output.
type devLog struct {
	mu    *sync.Mutex
	w     io.Writer
	attrs []slog.Attr
}

func newDevLog(w io.Writer) slog.Handler { return &devLog{mu: new(sync.Mutex), w: w} }

// Messages of other packages that a devLog treats unlike others of their level.
const (
	rejectedLog = "message rejected"       // by package handler; the message has a line of its own
	reloadedLog = "configuration reloaded" // by package daemon
)

// maxLogged is the maximum length of a value in bytes.
const maxLogged = 2000

// Enabled implements slog.Handler.
func (l *devLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// WithAttrs implements slog.Handler.
func (l *devLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	all := append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)
	return &devLog{l.mu, l.w, all}
}

// WithGroup implements slog.Handler. Names of groups are left out.
func (l *devLog) WithGroup(string) slog.Handler { return l }

// Handle implements slog.Handler.
func (l *devLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == rejectedLog || r.Level < slog.LevelWarn && r.Message != reloadedLog {
		return nil
	}
	var b, long strings.Builder
	mark := "!"
	if r.Level < slog.LevelWarn {
		mark = "·"
	}
	fmt.Fprintf(&b, "%s %s %s", r.Time.Format("15:04:05"), mark, r.Message)
	add := func(a slog.Attr) bool {
		value := a.Value.Resolve().String()
		if lines := strings.Split(value, "\n"); len(lines) > 1 {
			for _, line := range lines {
				fmt.Fprintf(&long, "           %s\n", printable.Text(line, maxLogged))
			}
			return true
		}
		fmt.Fprintf(&b, "  %s: %s", a.Key, printable.Text(value, maxLogged))
		return true
	}
	if r.Level >= slog.LevelWarn {
		for _, a := range l.attrs {
			add(a)
		}
		r.Attrs(add)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := fmt.Fprintf(l.w, "%s\n%s", b.String(), long.String())
	return err
}
