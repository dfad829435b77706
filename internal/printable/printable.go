// Package printable makes text that others wrote safe to show in a log line
// or on a terminal. Start at [Text].
package printable

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s with everything escaped that a reader cannot see or that
// changes how other text is displayed: control characters, line separators,
// bidirectional and zero-width characters, and bytes that are not UTF-8. The
// escapes are those of JSON (\u001b), so JSON stays JSON.
//
// A text of more than max bytes is cut off, and an ellipsis stands for the
// rest. A max of 0 is no limit.
func Text(s string, max int) string {
	if isPlain(s) && (max == 0 || len(s) <= max) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		start := b.Len()
		appendRune(&b, r)
		if max > 0 && b.Len() > max {
			return b.String()[:start] + "…"
		}
	}
	return b.String()
}

func isPlain(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func appendRune(b *strings.Builder, r rune) {
	switch {
	case unicode.IsPrint(r) && r != utf8.RuneError:
		b.WriteRune(r)
	case r <= 0xffff: // invalid bytes are U+FFFD here
		appendEscape(b, r)
	default:
		high, low := utf16.EncodeRune(r)
		appendEscape(b, high)
		appendEscape(b, low)
	}
}

func appendEscape(b *strings.Builder, r rune) {
	const hex = "0123456789abcdef"
	b.WriteString(`\u`)
	for shift := 12; shift >= 0; shift -= 4 {
		b.WriteByte(hex[r>>shift&0xf])
	}
}
