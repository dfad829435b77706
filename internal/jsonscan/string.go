package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// string reads a string and returns what it says: a part of the text or, if
// it has escapes, of s.decoded. Half a surrogate pair says U+FFFD.
func (s *Scanner) string() ([]byte, error) {
	s.pos++
	from := len(s.decoded)
	run := s.pos // where what is not in s.decoded yet begins
	for {
		s.pos = plain(s.text, s.pos)
		if s.pos == len(s.text) {
			return nil, s.syntax("a string without an end")
		}
		switch c := s.text[s.pos]; {
		case c == '"':
			end := s.pos
			s.pos++
			if len(s.decoded) == from {
				return s.text[run:end], nil
			}
			s.decoded = append(s.decoded, s.text[run:end]...)
			return s.decoded[from:], nil
		case c == '\\':
			s.decoded = append(s.decoded, s.text[run:s.pos]...)
			if err := s.escape(); err != nil {
				return nil, err
			}
			run = s.pos
		case c < ' ':
			return nil, s.syntax("control character in a string")
		default:
			r, size := utf8.DecodeRune(s.text[s.pos:])
			if r == utf8.RuneError && size == 1 {
				s.refuse(s.pos, "invalid UTF-8")
			}
			s.pos += size
		}
	}
}

// plain returns the index, from i on, of the first byte that does not stand
// for itself in a string: a quote, a backslash, a control character, or part
// of a character beyond ASCII.
func plain(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		// A subtraction sets the top bit of a byte too small for it. It may
		// do so to bytes behind that one too, but only the first counts.
		if found := (w | (w - ones*' ') | (w ^ ones*'"' - ones) | (w ^ ones*'\\' - ones)) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return i
		}
	}
	return i
}

// escape reads an escape and appends what it says to s.decoded.
func (s *Scanner) escape() error {
	at := s.pos
	if s.pos++; s.pos == len(s.text) {
		return s.syntax("a string without an end")
	}
	c := s.text[s.pos]
	if says := escapes[c]; says != 0 {
		s.decoded = append(s.decoded, says)
		s.pos++
		return nil
	}
	if c != 'u' {
		return s.syntax("unknown escape")
	}
	unit, ok := hex4(s.text[at:])
	if !ok {
		return s.syntax(`\u without four hexadecimal digits`)
	}
	s.pos = at + len(`\uXXXX`)
	low, _ := hex4(s.text[s.pos:])
	if pair := utf16.DecodeRune(unit, low); pair != utf8.RuneError {
		s.pos += len(`\uXXXX`)
		unit = pair
	} else if utf16.IsSurrogate(unit) {
		s.refuse(at, "half a surrogate pair")
	}
	s.decoded = utf8.AppendRune(s.decoded, unit)
	return nil
}

// escapes is what a byte says behind a backslash: 0 for u, which needs more,
// and for what is no escape.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// hex4 decodes the \uXXXX that text begins with.
func hex4(text []byte) (unit rune, ok bool) {
	if len(text) < len(`\uXXXX`) || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	for _, c := range text[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}
