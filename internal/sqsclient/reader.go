package sqsclient

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A reader reads JSON in one pass. At the first thing that it does not expect
// it has failed, and reads no more. It does not expect null, for SQS leaves
// out what is not there.
type reader struct {
	text    []byte
	pos     int
	failed  bool
	scratch []byte          // the string that is being read
	strings strings.Builder // all that were read; it never grows, so that they can be parts of it
}

func newReader(text []byte) *reader {
	r := &reader{text: text, failed: !utf8.Valid(text), scratch: make([]byte, 0, 2<<10)}
	r.strings.Grow(len(text))
	return r
}

// done reports whether the text was one value, and understood.
func (r *reader) done() bool {
	r.space()
	return !r.failed && r.pos == len(r.text)
}

func (r *reader) space() {
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// next returns the next byte that is no space, or 0.
func (r *reader) next() byte {
	r.space()
	if r.failed || r.pos == len(r.text) {
		return 0
	}
	return r.text[r.pos]
}

// take passes over a byte if it is the next one.
func (r *reader) take(c byte) bool {
	if r.next() != c {
		return false
	}
	r.pos++
	return true
}

func (r *reader) expect(c byte) {
	if !r.take(c) {
		r.failed = true
	}
}

// object calls member for each key. It has to read the value.
func (r *reader) object(member func(key string)) {
	r.expect('{')
	if r.take('}') {
		return
	}
	for !r.failed {
		key := r.string()
		r.expect(':')
		member(key)
		if !r.take(',') {
			break
		}
	}
	r.expect('}')
}

// array calls element for each one. It has to read the value.
func (r *reader) array(element func()) {
	r.expect('[')
	if r.take(']') {
		return
	}
	for !r.failed {
		element()
		if !r.take(',') {
			break
		}
	}
	r.expect(']')
}

func (r *reader) stringAt(s *string) *string {
	*s = r.string()
	return s
}

func (r *reader) string() string {
	r.expect('"')
	b := r.scratch[:0]
	for !r.failed && !r.end() {
		b = r.plain(b)
		if r.pos < len(r.text) && r.text[r.pos] == '\\' {
			b = r.escape(b)
		}
	}
	r.scratch = b
	start := r.strings.Len()
	r.strings.Write(b)
	return r.strings.String()[start:]
}

// end passes over the quote at the end of a string.
func (r *reader) end() bool {
	if r.pos == len(r.text) || r.text[r.pos] < ' ' {
		r.failed = true
		return true
	}
	if r.text[r.pos] != '"' {
		return false
	}
	r.pos++
	return true
}

// plain appends what means itself in a string.
func (r *reader) plain(b []byte) []byte {
	text, i := r.text, r.pos
	for i < len(text) && text[i] >= ' ' && text[i] != '"' && text[i] != '\\' {
		i++
	}
	b = append(b, text[r.pos:i]...)
	r.pos = i
	return b
}

// escape appends what an escape means.
func (r *reader) escape(b []byte) []byte {
	if r.pos+1 == len(r.text) {
		r.failed = true
		return b
	}
	c := r.text[r.pos+1]
	r.pos += 2
	switch c {
	case '"', '\\', '/':
		return append(b, c)
	case 'b':
		return append(b, '\b')
	case 'f':
		return append(b, '\f')
	case 'n':
		return append(b, '\n')
	case 'r':
		return append(b, '\r')
	case 't':
		return append(b, '\t')
	case 'u':
		return utf8.AppendRune(b, r.unicode())
	default:
		r.failed = true
		return b
	}
}

// unicode reads what follows \u. Half a surrogate pair is a failure.
func (r *reader) unicode() rune {
	c := r.hex4()
	if !utf16.IsSurrogate(c) {
		return c
	}
	if !bytes.HasPrefix(r.text[r.pos:], []byte(`\u`)) {
		r.failed = true
		return 0
	}
	r.pos += 2
	c = utf16.DecodeRune(c, r.hex4())
	if c == utf8.RuneError {
		r.failed = true
	}
	return c
}

func (r *reader) hex4() (c rune) {
	if r.pos+4 > len(r.text) {
		r.failed = true
		return 0
	}
	for _, d := range r.text[r.pos : r.pos+4] {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d && d <= 'f':
			d -= 'a' - 10
		case 'A' <= d && d <= 'F':
			d -= 'A' - 10
		default:
			r.failed = true
		}
		c = c<<4 | rune(d)
	}
	r.pos += 4
	return c
}

func (r *reader) bool() bool {
	switch {
	case r.literal("true"):
		return true
	case !r.literal("false"):
		r.failed = true
	}
	return false
}

func (r *reader) literal(word string) bool {
	r.space()
	if !bytes.HasPrefix(r.text[r.pos:], []byte(word)) {
		return false
	}
	r.pos += len(word)
	return true
}
