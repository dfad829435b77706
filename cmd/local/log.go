package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// levels are the log levels by name, including those of Scout 1.x.
var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	"trace": slog.LevelDebug, "warning": slog.LevelWarn, "fatal": slog.LevelError, "panic": slog.LevelError,
}

// logger returns a logger that writes text or, with --json, JSON lines.
func (o *options) logger(w io.Writer) (*slog.Logger, error) {
	level, ok := levels[strings.ToLower(o.logLevel)]
	if !ok {
		return nil, &failedError{fmt.Errorf("--log-level %q: must be debug, info, warn or error", o.logLevel), exitUsage}
	}
	options := &slog.HandlerOptions{Level: level}
	if o.json {
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return slog.New(slog.NewTextHandler(w, options)), nil
}
