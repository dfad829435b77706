package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// A logHandler writes JSON lines in the format that Lambda filters by level, with
// the request's id.
type logHandler struct{ slog.Handler }

// newLogHandler returns a handler with a minimum level, which has one of Lambda's
// names: TRACE, DEBUG, INFO, WARN, ERROR or FATAL. Any other means INFO.
func newLogHandler(w io.Writer, level string) slog.Handler {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = map[string]slog.Level{"TRACE": slog.LevelDebug, "FATAL": slog.LevelError}[level]
	}
	return logHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l, ReplaceAttr: lambdacontext.ReplaceAttr})}
}

func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("requestId", lc.AwsRequestID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}
