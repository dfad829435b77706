package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"scout/internal/logging"
)

// levels are the log levels by name, including those of Scout 1.x.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	"trace": slog.LevelDebug, "warning": slog.LevelWarn, "fatal": slog.LevelError, "panic": slog.LevelError,
}

// logCloseTimeout is how long a command waits at its end until the last lines are
// written. It waits only if a pipe is full and not read.
const logCloseTimeout = 150 * time.Millisecond

// A commandLog is the log of a long-running command. It never blocks the command,
// and replaces floods of warnings by their count.
type commandLog struct {
	*slog.Logger
	limiter *logging.Limiter
	writer  *logging.Writer
}

// openLog returns a log that writes text or, with --json, JSON lines to w. The
// standard library logs there, too.
func (o *options) openLog(w io.Writer) (*commandLog, error) {
	level, ok := levels[strings.ToLower(o.logLevel)]
	if !ok {
		return nil, &failedError{fmt.Errorf("--log-level %q: must be debug, info, warn or error", o.logLevel), exitUsage}
	}
	return newLog(w, func(w io.Writer) slog.Handler {
		if o.json {
			return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
		}
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}), nil
}

// newLog returns a log that writes to w with handlers that newHandler makes.
func newLog(w io.Writer, newHandler func(io.Writer) slog.Handler) *commandLog {
	writer := &logging.Writer{Out: w, Report: newHandler(w)}
	limiter := logging.NewLimiter(newHandler(writer))
	l := &commandLog{slog.New(limiter), limiter, writer}
	logging.Redirect(l.Logger)
	return l
}

// close writes the remaining lines.
func (l *commandLog) close() {
	l.limiter.Flush()
	_ = l.writer.Close(logCloseTimeout)
}
