// Package jsonscan reads JSON as a Sidekiq process would, in one pass over
// the text. Start at Check.
package jsonscan

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
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
	var s Scanner
	return s.Check(text)
}

// A Scanner judges one text after another in the same memory. Its zero value
// is ready for use. It walks over a text without recursion, so that no
// nesting, however deep, can exhaust the stack.
type Scanner struct {
	text    []byte
	pos     int
	open    []byte   // the '{' and '[' around pos
	objects []object // one for each '{' in open
	names   [][]byte // the keys of those objects, the innermost last
	decoded []byte   // what the strings with escapes say
	verdict Verdict

	noting  bool
	members []Member // of the outermost object, if noting
}

// Check judges a text like the function Check.
func (s *Scanner) Check(text []byte) Verdict {
	s.noting = false
	return s.scan(text)
}

func (s *Scanner) scan(text []byte) Verdict {
	if s.names == nil { // room for what most texts need
		s.open, s.objects, s.names = make([]byte, 0, 16), make([]object, 0, 8), make([][]byte, 0, 16)
	}
	s.text, s.pos, s.verdict = text, 0, Verdict{}
	s.open, s.objects, s.names, s.decoded, s.members = s.open[:0], s.objects[:0], s.names[:0], s.decoded[:0], s.members[:0]
	if i := bytes.IndexByte(text, '\\'); i >= 0 {
		s.decoded = slices.Grow(s.decoded, len(text)-i) // once, because no string is longer decoded than in the text
	}
	if err := s.document(); err != nil {
		return Verdict{Syntax: err}
	}
	return s.verdict
}

func (s *Scanner) syntax(what string) error {
	return fmt.Errorf("not JSON: %s at byte %d", what, s.pos)
}

// refuse keeps the first fault.
func (s *Scanner) refuse(at int, what string) {
	if s.verdict.Refused == nil {
		s.verdict.Refused = fmt.Errorf("%s at byte %d", what, at)
	}
}

func (s *Scanner) document() error {
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
func (s *Scanner) value() error {
	for {
		switch c := s.next(); c {
		case '{', '[':
			s.push(c)
			if s.next() == c+2 { // in ASCII, ']' and '}' are two behind their partners
				return nil
			}
			if c == '{' {
				if err := s.key(); err != nil {
					return err
				}
			}
		case '"':
			value, err := s.string()
			if m := s.member(); m != nil {
				m.String = value
			}
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
func (s *Scanner) afterValue() (more bool, err error) {
	for {
		if m := s.member(); m != nil {
			m.Value = m.Value[:len(m.Value)-len(s.text[s.pos:])]
		}
		c := s.next()
		if len(s.open) == 0 {
			return false, nil
		}
		last := s.open[len(s.open)-1]
		switch c {
		case ',':
			s.pos++
			if last == '{' {
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

func (s *Scanner) push(c byte) {
	s.open = append(s.open, c)
	if len(s.open) == MaxDepth+1 {
		s.refuse(s.pos, "nesting deeper than "+strconv.Itoa(MaxDepth)+" levels")
	}
	if c == '{' {
		s.objects = append(s.objects, object{start: len(s.names)})
	}
	s.pos++
}

func (s *Scanner) pop() {
	if s.open[len(s.open)-1] == '{' {
		last := len(s.objects) - 1
		s.names = s.names[:s.objects[last].start]
		s.objects = s.objects[:last]
	}
	s.open = s.open[:len(s.open)-1]
	s.pos++
}

// key reads an object's key and the colon behind it.
func (s *Scanner) key() error {
	if s.next() != '"' {
		return s.syntax("expected a key")
	}
	at := s.pos
	name, err := s.string()
	if err != nil {
		return err
	}
	if bytes.HasPrefix(name, []byte("_aj_")) && s.verdict.ActiveJob == nil {
		s.verdict.ActiveJob = fmt.Errorf("a key that begins with _aj_ at byte %d", at)
	}
	if s.verdict.Refused == nil && !s.add(name) {
		s.refuse(at, "a duplicate key")
	}
	if s.next() != ':' {
		return s.syntax("expected a colon")
	}
	s.pos++
	if s.noting && len(s.open) == 1 {
		s.next()
		s.members = append(s.members, Member{Key: name, Value: s.text[s.pos:]}) // afterValue cuts off what follows
	}
	return nil
}

func (s *Scanner) number() error {
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
	fraction := s.peek() == '.'
	if fraction {
		s.pos++
		if !s.digits() {
			return s.syntax("expected a digit")
		}
	}
	exponent := s.peek() == 'e' || s.peek() == 'E'
	if exponent {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.digits() {
			return s.syntax("expected a digit")
		}
	}
	// Ruby's integers have no bounds, and 300 digits are within those of a double.
	if exponent || fraction && s.pos-at > 300 {
		if f, _ := strconv.ParseFloat(string(s.text[at:s.pos]), 64); math.IsInf(f, 0) {
			s.refuse(at, "a number beyond the range of a double")
		}
	}
	return nil
}

func (s *Scanner) digits() bool {
	at := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > at
}

func (s *Scanner) literal(word string) error {
	if !bytes.HasPrefix(s.text[s.pos:], []byte(word)) {
		return s.syntax("expected a value")
	}
	s.pos += len(word)
	return nil
}

// next passes over space and returns the byte behind it, 0 at the end.
func (s *Scanner) next() byte {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.pos++
	}
	return 0
}

// peek returns the next byte, 0 at the end. A 0 in the text is never valid
// where peek or next is used, so the two need not be told apart.
func (s *Scanner) peek() byte {
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
func (s *Scanner) add(name []byte) bool {
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
