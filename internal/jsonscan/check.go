// Package jsonscan reads JSON as a Sidekiq process would, in one pass over
// the text. Start at Check.
package jsonscan

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// MaxDepth is how deeply arrays and objects may be nested. Ruby's JSON.parse
// gives up at 100, and the job around an argument takes some levels itself.
const MaxDepth = 90

// A Verdict is what Check found. The zero value is JSON without a fault.
type Verdict struct {
	// Syntax is set when the text is not JSON (RFC 8259); nothing else is set then.
	Syntax error

	// Refused is set when the text is JSON that Ruby's json could not parse
	// or, once parsed, not generate again: nesting over MaxDepth, a number
	// beyond the range of a double, invalid UTF-8, half a surrogate pair, or
	// a key that stands twice in its object. Sidekiq would bury such a job,
	// or lose it when it fails.
	Refused error

	// ActiveJob is set when a key begins with "_aj_". ActiveJob takes such
	// keys for its own and would load records or instantiate objects.
	ActiveJob error
}

// Check judges a JSON text. Its errors tell the kind of fault and the offset
// in bytes, and show nothing of the text.
func Check(text []byte) Verdict {
	s := scanner{text: text, open: make([]byte, 0, 16), objects: make([]object, 0, 16), names: make([][]byte, 0, 32)}
	if err := s.document(); err != nil {
		return Verdict{Syntax: err}
	}
	return s.verdict
}

// A scanner walks over a text without recursion, so that no nesting, however
// deep, can exhaust the stack.
type scanner struct {
	text    []byte
	pos     int
	open    []byte   // the '{' and '[' around pos
	objects []object // one for each '{' in open
	names   [][]byte // the keys of those objects, the innermost last
	verdict Verdict
}

func (s *scanner) syntax(what string) error {
	return fmt.Errorf("not JSON: %s at byte %d", what, s.pos)
}

// refuse keeps the first fault.
func (s *scanner) refuse(at int, what string) {
	if s.verdict.Refused == nil {
		s.verdict.Refused = fmt.Errorf("%s at byte %d", what, at)
	}
}

func (s *scanner) document() error {
	for {
		if err := s.value(); err != nil {
			return err
		}
		more, err := s.afterValue()
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if s.pos < len(s.text) {
		return s.syntax("more after the end of the value")
	}
	return nil
}

// value reads up to the end of a scalar or of an empty array or object, or
// to where the first value inside an array or object begins.
func (s *scanner) value() error {
	for {
		s.space()
		switch c := s.peek(); c {
		case '{', '[':
			s.push(c)
			s.space()
			if s.peek() == c+2 { // in ASCII, ']' and '}' are two behind their partners
				return nil
			}
			if c == '{' {
				if err := s.key(); err != nil {
					return err
				}
			}
		case '"':
			_, err := s.string()
			return err
		case 't':
			return s.literal("true")
		case 'f':
			return s.literal("false")
		case 'n':
			return s.literal("null")
		default:
			return s.number()
		}
	}
}

// afterValue closes what ends here and reports whether another value follows.
func (s *scanner) afterValue() (more bool, err error) {
	for {
		s.space()
		if len(s.open) == 0 {
			return false, nil
		}
		last := s.open[len(s.open)-1]
		switch s.peek() {
		case ',':
			s.pos++
			if last == '{' {
				s.space()
				err = s.key()
			}
			return true, err
		case last + 2:
			s.pop()
		default:
			return false, s.syntax("expected a comma or a closing bracket")
		}
	}
}

func (s *scanner) push(c byte) {
	s.open = append(s.open, c)
	if len(s.open) == MaxDepth+1 {
		s.refuse(s.pos, "nesting deeper than "+strconv.Itoa(MaxDepth)+" levels")
	}
	if c == '{' {
		s.objects = append(s.objects, object{start: len(s.names)})
	}
	s.pos++
}

func (s *scanner) pop() {
	if s.open[len(s.open)-1] == '{' {
		last := len(s.objects) - 1
		s.names = s.names[:s.objects[last].start]
		s.objects = s.objects[:last]
	}
	s.open = s.open[:len(s.open)-1]
	s.pos++
}

// key reads an object's key and the colon behind it.
func (s *scanner) key() error {
	at := s.pos
	if s.peek() != '"' {
		return s.syntax("expected a key")
	}
	escaped, err := s.string()
	if err != nil {
		return err
	}
	name := s.text[at+1 : s.pos-1]
	if escaped {
		name = appendUnquoted(nil, name)
	}
	if bytes.HasPrefix(name, []byte("_aj_")) && s.verdict.ActiveJob == nil {
		s.verdict.ActiveJob = fmt.Errorf("a key that begins with _aj_ at byte %d", at)
	}
	if s.verdict.Refused == nil && !s.add(name) {
		s.refuse(at, "a duplicate key")
	}
	s.space()
	if s.peek() != ':' {
		return s.syntax("expected a colon")
	}
	s.pos++
	return nil
}

// string reads a string and reports whether it holds escapes.
func (s *scanner) string() (escaped bool, err error) {
	s.pos++
	for {
		s.plain()
		if s.pos == len(s.text) {
			return escaped, s.syntax("a string without an end")
		}
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return escaped, nil
		case c == '\\':
			escaped = true
			if err := s.escape(); err != nil {
				return escaped, err
			}
		case c < ' ':
			return escaped, s.syntax("control character in a string")
		default:
			r, size := utf8.DecodeRune(s.text[s.pos:])
			if r == utf8.RuneError && size == 1 {
				s.refuse(s.pos, "invalid UTF-8")
			}
			s.pos += size
		}
	}
}

// plain passes over the bytes that mean nothing but themselves in a string:
// nearly all that there is to read, so that it is worth a tight loop.
func (s *scanner) plain() {
	text := s.text
	for i := s.pos; i < len(text); i++ {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			s.pos = i
			return
		}
	}
	s.pos = len(text)
}

func (s *scanner) escape() error {
	at := s.pos
	if s.pos++; s.pos == len(s.text) {
		return s.syntax("a string without an end")
	}
	switch s.text[s.pos] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
	default:
		return s.syntax("unknown escape")
	}
	unit, ok := hex4(s.text[at:])
	if !ok {
		return s.syntax(`\u without four hexadecimal digits`)
	}
	s.pos = at + len(`\uXXXX`)
	switch {
	case isLow(unit):
		s.refuse(at, "half a surrogate pair")
	case isHigh(unit):
		low, ok := hex4(s.text[s.pos:])
		if !ok || !isLow(low) {
			s.refuse(at, "half a surrogate pair")
			return nil
		}
		s.pos += len(`\uXXXX`)
	}
	return nil
}

func (s *scanner) number() error {
	at := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case '1' <= c && c <= '9':
		s.digits()
	default:
		return s.syntax("expected a value")
	}
	integer := true
	if s.peek() == '.' {
		integer = false
		s.pos++
		if !s.digits() {
			return s.syntax("expected a digit")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		integer = false
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.syntax("expected a digit")
		}
	}
	if integer {
		return nil // Ruby's integers have no bounds
	}
	if f, _ := strconv.ParseFloat(string(s.text[at:s.pos]), 64); math.IsInf(f, 0) {
		s.refuse(at, "a number beyond the range of a double")
	}
	return nil
}

func (s *scanner) digits() bool {
	at := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > at
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.text[s.pos:], []byte(word)) {
		return s.syntax("expected a value")
	}
	s.pos += len(word)
	return nil
}

func (s *scanner) space() {
	for {
		switch s.peek() {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, 0 at the end. A 0 in the text is never valid
// where peek is used, so the two need not be told apart.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// An object that the scanner is in. The set of its keys is the end of the
// scanner's names and, once that is long, a map.
type object struct {
	start int // in the scanner's names
	set   map[string]struct{}
}

// add adds a key to the innermost object and reports whether it was new there.
func (s *scanner) add(name []byte) bool {
	const long = 16
	o := &s.objects[len(s.objects)-1]
	if o.set != nil {
		before := len(o.set)
		o.set[string(name)] = struct{}{}
		return len(o.set) > before
	}
	for _, have := range s.names[o.start:] {
		if bytes.Equal(have, name) {
			return false
		}
	}
	s.names = append(s.names, name)
	if have := s.names[o.start:]; len(have) == long {
		o.set = make(map[string]struct{}, 4*long)
		for _, name := range have {
			o.set[string(name)] = struct{}{}
		}
	}
	return true
}
