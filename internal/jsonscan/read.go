package jsonscan

import (
	"bytes"
	"iter"
	"unicode/utf16"
	"unicode/utf8"
)

// IsObject reports whether a JSON text is an object.
func IsObject(text []byte) bool { return first(text) == '{' }

// IsString reports whether a JSON text is a string.
func IsString(text []byte) bool { return first(text) == '"' }

func first(text []byte) byte {
	s := scanner{text: text}
	s.space()
	return s.peek()
}

// Members yields the keys of an object, decoded, with the texts of their
// values. The object must have passed Check; what it yields belongs to it.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		s := scanner{text: object}
		s.space()
		for {
			s.pos++ // the '{' or a comma
			s.space()
			if s.peek() != '"' {
				return // the '}' of an empty object
			}
			key := Unquote(s.skip())
			s.space()
			s.pos++ // the colon
			s.space()
			if !yield(key, s.skip()) {
				return
			}
			s.space()
			if s.peek() != ',' {
				return
			}
		}
	}
}

// skip passes over a value of checked JSON and returns its text.
func (s *scanner) skip() []byte {
	at, depth := s.pos, 0
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case '"':
			s.skipString()
			if depth == 0 {
				return s.text[at:s.pos]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // of the object around a number or literal
				return s.text[at:s.pos]
			}
			if depth--; depth == 0 {
				s.pos++
				return s.text[at:s.pos]
			}
		case ',', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.text[at:s.pos]
			}
		}
		s.pos++
	}
	return s.text[at:s.pos]
}

func (s *scanner) skipString() {
	text, i := s.text, s.pos+1
	for ; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	s.pos = i + 1
}

// Unquote decodes a JSON string that has passed Check. Without escapes, what
// it returns is part of text.
func Unquote(text []byte) []byte {
	text = bytes.TrimSpace(text)
	text = text[1 : len(text)-1]
	if bytes.IndexByte(text, '\\') < 0 {
		return text
	}
	return appendUnquoted(make([]byte, 0, len(text)), text)
}

// appendUnquoted decodes what stands between a string's quotes. Half a
// surrogate pair, which Check refuses, becomes U+FFFD.
func appendUnquoted(b, text []byte) []byte {
	for len(text) > 0 {
		plain := bytes.IndexByte(text, '\\')
		if plain < 0 {
			return append(b, text...)
		}
		b = append(b, text[:plain]...)
		text = text[plain:]
		if text[1] != 'u' {
			b = append(b, unescaped(text[1]))
			text = text[2:]
			continue
		}
		unit, _ := hex4(text)
		text = text[len(`\uXXXX`):]
		if low, ok := hex4(text); ok && isHigh(unit) && isLow(low) {
			b = utf8.AppendRune(b, utf16.DecodeRune(unit, low))
			text = text[len(`\uXXXX`):]
			continue
		}
		b = utf8.AppendRune(b, unit)
	}
	return b
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	default:
		return c
	}
}

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

func isHigh(unit rune) bool { return 0xD800 <= unit && unit < 0xDC00 }
func isLow(unit rune) bool  { return 0xDC00 <= unit && unit < 0xE000 }
