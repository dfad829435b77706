package config

import (
	"fmt"
	"io"
)

// A Secret is a text that shows itself only to who asks for it with Reveal.
// Printed, logged or marshalled it is "[redacted]", or "" if it is empty.
type Secret string

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

// String tells only whether there is a secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "[redacted]"
}

// Format redacts under every verb of package fmt: with String alone, %x and %d
// would get past it.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText redacts in JSON, YAML and log/slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
