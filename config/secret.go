package config

import (
	"fmt"
	"io"
)

// A Secret is text that only Reveal returns. Printed, logged or marshalled, it is
// "[redacted]", or "" if it is empty.
type Secret string

// Reveal returns the secret text.
func (s Secret) Reveal() string { return string(s) }

// String returns "[redacted]", or "" if s is empty.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// Format redacts s for every verb of package fmt. String alone would not do for %x
// and %d.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText redacts s in JSON, YAML and log/slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
