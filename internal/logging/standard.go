package logging

import (
	"bytes"
	"log"
	"log/slog"
	"regexp"

	"scout/internal/printable"
)

// Redirect makes package log, which the standard library uses, write to l. Quoted
// text is left out, because it may be what a server sent, as in net/http.
func Redirect(l *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(libraryWriter{l})
}

// NewLibraryLogger returns a logger for a field such as http.Server.ErrorLog. It
// leaves quoted text out, as Redirect does.
func NewLibraryLogger(l *slog.Logger) *log.Logger {
	return log.New(libraryWriter{l}, "", 0)
}

const maxLibraryText = 200 // bytes

// A libraryWriter logs each line that is written to it as a warning.
type libraryWriter struct{ log *slog.Logger }

var quoted = regexp.MustCompile(`"(\\.|[^"\\])*("|$)`)

func (w libraryWriter) Write(line []byte) (int, error) {
	text := quoted.ReplaceAll(bytes.TrimSpace(line), []byte(`"…"`))
	w.log.Warn("library message", "text", printable.Text(string(text), maxLibraryText))
	return len(line), nil
}
