package jsonscan

import "iter"

// IsObject reports whether a JSON text is an object.
func IsObject(text []byte) bool { return firstByte(text) == '{' }

// IsArray reports whether a JSON text is an array.
func IsArray(text []byte) bool { return firstByte(text) == '[' }

// IsNumber reports whether a JSON text is a number.
func IsNumber(text []byte) bool {
	c := firstByte(text)
	return c == '-' || '0' <= c && c <= '9'
}

// IsString reports whether a JSON text is a string.
func IsString(text []byte) bool { return firstByte(text) == '"' }

func firstByte(text []byte) byte {
	s := Scanner{text: text}
	return s.skipSpace()
}

// A Member is a key of an object with its value.
type Member struct {
	Key    []byte // decoded
	Value  []byte // as in the text
	String []byte // the value decoded; nil if it is not a string
}

// Object judges a text like Check. If the text is an object, it also returns
// the object's members. They share memory with the text and the Scanner and
// are valid until the Scanner's next use.
func (s *Scanner) Object(text []byte) ([]Member, Verdict) {
	if s.members == nil { // enough for most objects
		s.members = make([]Member, 0, 12)
	}
	s.collecting = true
	verdict := s.scan(text)
	if verdict.Syntax != nil {
		return nil, verdict
	}
	return s.members, verdict
}

// currentMember returns the member of the outermost object whose value the
// scanner is reading. It returns nil inside that value, and if the scanner
// does not collect members.
func (s *Scanner) currentMember() *Member {
	if len(s.open) != 1 || len(s.members) == 0 {
		return nil
	}
	return &s.members[len(s.members)-1]
}

// Members yields the decoded keys of an object with the texts of their values.
// Check must have accepted the object or a text that contains it. Values, and
// keys without escapes, share memory with the object.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		s := Scanner{text: object}
		s.skipSpace()
		for {
			s.pos++ // the '{' or a comma
			if s.skipSpace() != '"' {
				return // the '}' of an empty object
			}
			key := Unquote(s.skipValue())
			s.skipSpace()
			s.pos++ // the colon
			s.skipSpace()
			if !yield(key, s.skipValue()) {
				return
			}
			if s.skipSpace() != ',' {
				return
			}
		}
	}
}

// Elements yields the texts of an array's elements, under the same conditions as
// Members.
func Elements(array []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		s := Scanner{text: array}
		s.skipSpace()
		for {
			s.pos++ // the '[' or a comma
			if s.skipSpace() == ']' || !yield(s.skipValue()) || s.skipSpace() != ',' {
				return
			}
		}
	}
}

// skipValue skips a value of JSON that Check has accepted and returns its text.
func (s *Scanner) skipValue() []byte {
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

func (s *Scanner) skipString() {
	text, i := s.text, s.pos+1
	for ; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	s.pos = i + 1
}

// Unquote decodes a JSON string that Check has accepted. The result of a string
// without escapes shares memory with text.
func Unquote(text []byte) []byte {
	s := Scanner{text: text}
	s.skipSpace()
	value, _ := s.readString()
	return value
}

// AppendUnquoted decodes the JSON string that text begins with, appends it to
// dst and returns the length of the string in text, quotes included. It reports
// false and leaves dst as it was if text does not begin with a whole string or
// if the string is not acceptable: invalid UTF-8 or a lone surrogate.
func AppendUnquoted(dst, text []byte) (_ []byte, n int, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return dst, 0, false
	}
	s := Scanner{text: text, decoded: dst}
	value, err := s.readString()
	switch {
	case err != nil || s.verdict.Refused != nil:
		return dst, 0, false
	case len(s.decoded) == len(dst): // no escapes
		return append(dst, value...), s.pos, true
	default:
		return s.decoded, s.pos, true
	}
}
