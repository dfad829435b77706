package jsonscan

// A Reader reads a JSON text from front to back in one pass, for callers that
// know its keys. A method that expects a certain kind of value skips a value
// of any other kind and reports false. After a syntax error nothing more is
// read, and Close returns the error.
type Reader struct {
	scanner Scanner
	err     error
}

// NewReader returns a Reader at the beginning of text.
func NewReader(text []byte) *Reader {
	return &Reader{scanner: Scanner{text: text}}
}

// Close returns the first syntax error, which can also be that the text goes on
// after the value that was read.
func (r *Reader) Close() error {
	if r.scanner.skipSpace(); r.err == nil && r.scanner.pos < len(r.scanner.text) {
		r.err = r.scanner.syntaxError("data after the end of the value")
	}
	return r.err
}

// Object reads an object. It calls member for each key, and member must read
// the value with one call of another method. The key is valid until then.
func (r *Reader) Object(member func(key []byte)) bool {
	if !r.enter('{') {
		return false
	}
	for first := true; r.next(first, '}'); first = false {
		key, err := r.readKey()
		if r.err = err; err != nil {
			break
		}
		member(key)
	}
	return true
}

// Array reads an array. It calls element for each element, and element must
// read it with one call of another method.
func (r *Reader) Array(element func()) bool {
	if !r.enter('[') {
		return false
	}
	for first := true; r.next(first, ']'); first = false {
		element()
	}
	return true
}

// String reads a string and returns it decoded. The result is valid until the
// next call of a method. A lone surrogate becomes U+FFFD.
func (r *Reader) String() (value []byte, ok bool) {
	if r.err != nil || r.scanner.skipSpace() != '"' {
		r.Skip()
		return nil, false
	}
	r.scanner.decoded = r.scanner.decoded[:0]
	value, r.err = r.scanner.readString()
	return value, r.err == nil
}

// Text reads a string like String, and a number, true or false as its JSON text.
func (r *Reader) Text() (value []byte, ok bool) {
	switch c := r.scanner.skipSpace(); {
	case r.err != nil || c == '{' || c == '[' || c == 'n':
		r.Skip()
		return nil, false
	case c == '"':
		return r.String()
	default:
		start := r.scanner.pos
		r.err = r.scanner.readValue()
		return r.scanner.text[start:r.scanner.pos], r.err == nil
	}
}

// Skip reads a value of any kind.
func (r *Reader) Skip() {
	if r.err == nil {
		r.scanner.decoded = r.scanner.decoded[:0]
		r.err = r.scanner.readWhole()
	}
}

// enter reads an opening bracket, or skips a value that begins otherwise.
func (r *Reader) enter(bracket byte) bool {
	if r.err != nil || r.scanner.skipSpace() != bracket {
		r.Skip()
		return false
	}
	r.scanner.pos++
	return true
}

// next reads the comma before another element, which the first one lacks, or
// the closing bracket, and reports whether an element follows.
func (r *Reader) next(first bool, closing byte) bool {
	if r.err != nil {
		return false
	}
	switch c := r.scanner.skipSpace(); {
	case c == closing:
		r.scanner.pos++
		return false
	case first:
		return true
	case c == ',':
		r.scanner.pos++
		return true
	default:
		r.err = r.scanner.syntaxError("expected a comma or a closing bracket")
		return false
	}
}

func (r *Reader) readKey() ([]byte, error) {
	s := &r.scanner
	if s.skipSpace() != '"' {
		return nil, s.syntaxError("expected a key")
	}
	s.decoded = s.decoded[:0]
	key, err := s.readString()
	if err != nil {
		return nil, err
	}
	if s.skipSpace() != ':' {
		return nil, s.syntaxError("expected a colon")
	}
	s.pos++
	return key, nil
}
