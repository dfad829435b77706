package jsonscan

import "iter"

// IsObject reports whether a JSON text is an object.
func IsObject(text []byte) bool { return first(text) == '{' }

// IsString reports whether a JSON text is a string.
func IsString(text []byte) bool { return first(text) == '"' }

func first(text []byte) byte {
	s := Scanner{text: text}
	return s.next()
}

// A Member is a key of an object and its value.
type Member struct {
	Key    []byte // decoded
	Value  []byte // as it stands in the text
	String []byte // decoded; nil if the value is no string
}

// Object judges a text like Check and returns the members of the object that
// it is, none if it is no object. They belong to the text and to the Scanner,
// and last until that is used again.
func (s *Scanner) Object(text []byte) ([]Member, Verdict) {
	if s.members == nil { // room for what most objects need
		s.members = make([]Member, 0, 12)
	}
	s.noting = true
	verdict := s.scan(text)
	if verdict.Syntax != nil {
		return nil, verdict
	}
	return s.members, verdict
}

// member is the outermost object's at whose value the scanner is, nil if it is
// not at the value itself but inside it, or if no members are noted.
func (s *Scanner) member() *Member {
	if len(s.open) != 1 || len(s.members) == 0 {
		return nil
	}
	return &s.members[len(s.members)-1]
}

// Members yields the keys of an object, decoded, with the texts of their
// values. The object must have passed Check, alone or as a part of a text;
// what it yields belongs to it.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		s := Scanner{text: object}
		s.next()
		for {
			s.pos++ // the '{' or a comma
			if s.next() != '"' {
				return // the '}' of an empty object
			}
			key := Unquote(s.skip())
			s.next()
			s.pos++ // the colon
			s.next()
			if !yield(key, s.skip()) {
				return
			}
			if s.next() != ',' {
				return
			}
		}
	}
}

// skip passes over a value of checked JSON and returns its text.
func (s *Scanner) skip() []byte {
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

// Unquote decodes a JSON string that has passed Check. Without escapes, what
// it returns is part of text.
func Unquote(text []byte) []byte {
	s := Scanner{text: text}
	s.next()
	value, _ := s.string()
	return value
}

// AppendUnquoted decodes the JSON string that text begins with, appends it to
// dst and returns the length of the string in text, quotes included. It reports
// false and leaves dst as it was if text does not begin with a whole string or
// if the string is not acceptable: invalid UTF-8 or half a surrogate pair.
func AppendUnquoted(dst, text []byte) (_ []byte, n int, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return dst, 0, false
	}
	s := Scanner{text: text, decoded: dst}
	value, err := s.string()
	switch {
	case err != nil || s.verdict.Refused != nil:
		return dst, 0, false
	case len(s.decoded) == len(dst): // no escapes
		return append(dst, value...), s.pos, true
	default:
		return s.decoded, s.pos, true
	}
}
