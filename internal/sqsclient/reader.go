package sqsclient

import (
	"bytes"
	"strings"

	"scout/internal/jsonscan"
)

// A reader reads JSON in one pass. It fails at the first thing that it does not
// expect, and then reads no more. It does not expect null, because SQS omits
// absent values.
type reader struct {
	text    []byte
	pos     int
	failed  bool
	values  int
	scratch []byte          // the string being read
	strings strings.Builder // all short strings read so far, in one allocation
}

// maxShared is the maximum length in bytes of strings that share an allocation.
// A long string has its own, because memory is released only when all of an
// allocation is unused: a receipt handle would keep large bodies in memory.
const maxShared = 16 << 10

func newReader(text []byte) *reader {
	r := &reader{text: text, scratch: make([]byte, 0, 2<<10)}
	r.strings.Grow(min(len(text), 10*maxShared))
	return r
}

// done reports whether the text was a single value, as expected.
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

// next returns the next byte that is not white space, or 0 if there is none.
func (r *reader) next() byte {
	r.space()
	if r.failed || r.pos == len(r.text) {
		return 0
	}
	return r.text[r.pos]
}

// accept skips a byte if it is the next one, and reports whether it is.
func (r *reader) accept(c byte) bool {
	if r.next() != c {
		return false
	}
	r.pos++
	return true
}

func (r *reader) expect(c byte) {
	if !r.accept(c) {
		r.failed = true
	}
}

// countValue fails if the text has too many values.
func (r *reader) countValue() {
	if r.values++; r.values > maxValues {
		r.failed = true
	}
}

// object reads an object. It calls member for each key to read the value.
func (r *reader) object(member func(key string)) {
	r.expect('{')
	if r.accept('}') {
		return
	}
	for !r.failed {
		r.countValue()
		key := r.string()
		r.expect(':')
		member(key)
		if !r.accept(',') {
			break
		}
	}
	r.expect('}')
}

// array reads an array. It calls element to read each element.
func (r *reader) array(element func()) {
	r.expect('[')
	if r.accept(']') {
		return
	}
	for !r.failed {
		r.countValue()
		element()
		if !r.accept(',') {
			break
		}
	}
	r.expect(']')
}

// stringAt reads a string and returns a pointer to it: s, unless it is long.
func (r *reader) stringAt(s *string) *string {
	value := r.string()
	if len(value) > maxShared {
		s = new(string)
	}
	*s = value
	return s
}

func (r *reader) string() string {
	r.space()
	b, n, ok := jsonscan.AppendUnquoted(r.scratch[:0], r.text[r.pos:])
	if r.failed = r.failed || !ok; r.failed {
		return ""
	}
	r.pos, r.scratch = r.pos+n, b
	if len(b) > maxShared {
		return string(b)
	}
	start := r.strings.Len()
	r.strings.Write(b)
	return r.strings.String()[start:]
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

// literal skips a word if it comes next, and reports whether it does.
func (r *reader) literal(word string) bool {
	r.space()
	if !bytes.HasPrefix(r.text[r.pos:], []byte(word)) {
		return false
	}
	r.pos += len(word)
	return true
}
