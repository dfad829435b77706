package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// readString reads a string and returns it decoded, as a part of the text or,
// if it has escapes, of s.decoded. A lone surrogate becomes U+FFFD.
func (s *Scanner) readString() ([]byte, error) {
	s.pos++
	from := len(s.decoded)
	run := s.pos // start of the bytes that are not in s.decoded yet
	for {
		s.pos = indexSpecial(s.text, s.pos)
		if s.pos == len(s.text) {
			return nil, s.syntaxError("unterminated string")
		}
		switch c := s.text[s.pos]; {
		case c == '"':
			end := s.pos
			s.pos++
			if len(s.decoded) == from { // no escape, or one at the beginning that run skips
				return s.text[run:end], nil
			}
			s.decoded = append(s.decoded, s.text[run:end]...)
			return s.decoded[from:], nil
		case c == '\\':
			s.decoded = append(s.decoded, s.text[run:s.pos]...)
			if next := s.pos + 1; next < len(s.text) && (s.text[next] == '"' || s.text[next] == '\\' || s.text[next] == '/') {
				run = next // the escaped character, which stands for itself
				s.pos += 2
				continue
			}
			if err := s.readEscape(); err != nil {
				return nil, err
			}
			run = s.pos
		case c < ' ':
			return nil, s.syntaxError("control character in a string")
		default:
			r, size := utf8.DecodeRune(s.text[s.pos:])
			if r == utf8.RuneError && size == 1 {
				s.refuse(s.pos, "invalid UTF-8", notWritable)
			}
			s.pos += size
		}
	}
}

// indexSpecial returns the index, from i on, of the first byte in a string that
// is not plain ASCII text: a quote, a backslash, a control character, or part
// of a character outside ASCII. It returns len(text) if there is none.
func indexSpecial(text []byte, i int) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		// A subtraction sets the top bit of each byte that is too small. A
		// borrow may also set that of later bytes, but only the first counts.
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

// readEscape reads an escape and appends its character to s.decoded.
func (s *Scanner) readEscape() error {
	at := s.pos
	if s.pos++; s.pos == len(s.text) {
		return s.syntaxError("unterminated string")
	}
	c := s.text[s.pos]
	if decoded := escapes[c]; decoded != 0 {
		s.decoded = append(s.decoded, decoded)
		s.pos++
		return nil
	}
	if c != 'u' {
		return s.syntaxError("invalid escape")
	}
	unit, ok := hex4(s.text[at:])
	if !ok {
		return s.syntaxError(`\u without four hexadecimal digits`)
	}
	s.pos = at + len(`\uXXXX`)
	low, _ := hex4(s.text[s.pos:])
	if pair := utf16.DecodeRune(unit, low); pair != utf8.RuneError {
		s.pos += len(`\uXXXX`)
		unit = pair
	} else if utf16.IsSurrogate(unit) {
		s.refuse(at, "a lone surrogate", ambiguous)
	}
	s.decoded = utf8.AppendRune(s.decoded, unit)
	return nil
}

// escapes maps the byte after a backslash to the character that it stands for, if
// the two differ. It is 0 for u, which needs more bytes, and for invalid escapes.
var escapes = [256]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

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
