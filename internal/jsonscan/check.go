// Package jsonscan reads JSON as a Sidekiq process would, in one pass over the
// text. Start at [Check], which says whether Ruby's json can load a text and
// generate it again. [Scanner.Object] and [Members] also return the members of an
// object, as parts of the text. A [Reader] reads a text whose keys are known.
package jsonscan

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// MaxDepth is the maximum nesting of arrays and objects. Ruby's JSON.parse
// stops at 100, and the job around an argument takes some of these levels.
const MaxDepth = 90

// A Verdict is the result of Check. The zero value means that the text is JSON
// without any of these faults.
type Verdict struct {
	// Syntax is set if the text is not JSON (RFC 8259). Nothing else is set then.
	Syntax error

	// Refused is set if the text is JSON that some version of Ruby's json could
	// not parse, could not generate again after parsing it, or reads as another
	// value than the other versions do: nesting over MaxDepth, a number outside
	// the range of a double or with too large an exponent, invalid UTF-8, a
	// lone surrogate, or a duplicate key in an object. Sidekiq would move such
	// a job to its dead set, or lose it when it fails.
	Refused error

	// ActiveJob is set if a key begins with "_aj_". ActiveJob takes such keys
	// for its own and would load records or instantiate objects.
	ActiveJob error
}

// Check judges a JSON text. Its errors name the kind of fault and its offset
// in bytes. They show nothing of the text.
func Check(text []byte) Verdict {
	var s Scanner
	return s.Check(text)
}

// A Scanner judges one text after another and reuses its memory. The zero
// value is ready for use. A Scanner does not recurse, so nesting, however
// deep, cannot exhaust the stack.
type Scanner struct {
	text    []byte
	pos     int
	open    []byte   // the '{' and '[' around pos
	objects []object // one for each '{' in open
	keys    [][]byte // the keys of those objects, the innermost object's last
	decoded []byte   // the strings that have escapes, decoded
	verdict Verdict

	collecting bool     // whether to collect members
	members    []Member // of the outermost object
}

// Check judges a text like the function Check.
func (s *Scanner) Check(text []byte) Verdict {
	s.collecting = false
	return s.scan(text)
}

func (s *Scanner) scan(text []byte) Verdict {
	if s.keys == nil { // enough for most texts
		s.open, s.objects, s.keys = make([]byte, 0, 16), make([]object, 0, 8), make([][]byte, 0, 16)
	}
	s.text, s.pos, s.verdict = text, 0, Verdict{}
	s.decoded, s.members = s.decoded[:0], s.members[:0]
	if i := bytes.IndexByte(text, '\\'); i >= 0 {
		s.decoded = slices.Grow(s.decoded, len(text)-i) // once, because no string is longer decoded than in the text
	}
	err := s.readWhole()
	if err == nil && s.pos < len(s.text) {
		err = s.syntaxError("data after the end of the value")
	}
	if err != nil {
		return Verdict{Syntax: err}
	}
	return s.verdict
}

func (s *Scanner) syntaxError(what string) error {
	return fmt.Errorf("not JSON: %s at byte %d", what, s.pos)
}

// refuse records a fault and why it matters. The first fault counts.
func (s *Scanner) refuse(at int, what, why string) {
	if s.verdict.Refused == nil {
		s.verdict.Refused = fmt.Errorf("%s at byte %d, which %s", what, at, why)
	}
}

// Why a fault matters.
const (
	ambiguous   = "versions of Ruby's json read differently"
	notWritable = "Ruby's json cannot write again"
)

// readWhole reads a whole value and the space after it.
func (s *Scanner) readWhole() error {
	s.open, s.objects, s.keys = s.open[:0], s.objects[:0], s.keys[:0]
	for more := true; more; {
		err := s.readValue()
		if err == nil {
			more, err = s.closeValue()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readValue reads up to the end of a scalar or of an empty array or object. In
// any other array or object, it reads up to the end of the first such value.
func (s *Scanner) readValue() error {
	for {
		switch c := s.skipSpace(); c {
		case '{', '[':
			s.push(c)
			if s.skipSpace() == c+2 { // in ASCII, ']' and '}' are two after their partners
				return nil
			}
			if c == '{' {
				if err := s.readKey(); err != nil {
					return err
				}
			}
		case '"':
			value, err := s.readString()
			if m := s.currentMember(); m != nil {
				m.String = value
			}
			return err
		case 't':
			return s.readLiteral("true")
		case 'f':
			return s.readLiteral("false")
		case 'n':
			return s.readLiteral("null")
		default:
			return s.readNumber()
		}
	}
}

// closeValue closes the arrays and objects that end after a value and reports
// whether another value follows.
func (s *Scanner) closeValue() (more bool, err error) {
	for {
		if m := s.currentMember(); m != nil {
			m.Value = m.Value[:len(m.Value)-len(s.text[s.pos:])]
		}
		c := s.skipSpace()
		if len(s.open) == 0 {
			return false, nil
		}
		last := s.open[len(s.open)-1]
		switch c {
		case ',':
			s.pos++
			if last == '{' {
				err = s.readKey()
			}
			return true, err
		case last + 2:
			s.pop()
		default:
			return false, s.syntaxError("expected a comma or a closing bracket")
		}
	}
}

func (s *Scanner) push(c byte) {
	s.open = append(s.open, c)
	if len(s.open) == MaxDepth+1 {
		s.refuse(s.pos, "nesting deeper than "+strconv.Itoa(MaxDepth)+" levels", "leaves too few of Ruby's 100 levels to the job around it")
	}
	if c == '{' {
		s.objects = append(s.objects, object{start: len(s.keys)})
	}
	s.pos++
}

func (s *Scanner) pop() {
	if s.open[len(s.open)-1] == '{' {
		last := len(s.objects) - 1
		s.keys = s.keys[:s.objects[last].start]
		s.objects = s.objects[:last]
	}
	s.open = s.open[:len(s.open)-1]
	s.pos++
}

// readKey reads an object's key and the colon after it.
func (s *Scanner) readKey() error {
	if s.skipSpace() != '"' {
		return s.syntaxError("expected a key")
	}
	at := s.pos
	key, err := s.readString()
	if err != nil {
		return err
	}
	if bytes.HasPrefix(key, []byte("_aj_")) && s.verdict.ActiveJob == nil {
		s.verdict.ActiveJob = fmt.Errorf("a key that begins with _aj_ at byte %d", at)
	}
	if s.verdict.Refused == nil && !s.addKey(key) {
		s.refuse(at, "a duplicate key", ambiguous)
	}
	if s.skipSpace() != ':' {
		return s.syntaxError("expected a colon")
	}
	s.pos++
	if s.collecting && len(s.open) == 1 {
		s.skipSpace()
		s.members = append(s.members, Member{Key: key, Value: s.text[s.pos:]}) // closeValue cuts off what follows
	}
	return nil
}

func (s *Scanner) readLiteral(word string) error {
	if !bytes.HasPrefix(s.text[s.pos:], []byte(word)) {
		return s.syntaxError("expected a value")
	}
	s.pos += len(word)
	return nil
}

// skipSpace skips white space and returns the byte after it, 0 at the end. A 0 in
// the text is never valid there, so the two cases need not be told apart.
func (s *Scanner) skipSpace() byte {
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.pos++
	}
	return 0
}

// An object is one that encloses the scanner's position. Its keys are the end
// of the scanner's keys and, once there are many, also in a map.
type object struct {
	start int // index of its first key in the scanner's keys
	set   map[string]struct{}
}

// addKey adds a key to the innermost object and reports whether it was new there.
func (s *Scanner) addKey(key []byte) bool {
	const many = 16
	o := &s.objects[len(s.objects)-1]
	if o.set != nil {
		before := len(o.set)
		o.set[string(key)] = struct{}{}
		return len(o.set) > before
	}
	for _, k := range s.keys[o.start:] {
		if bytes.Equal(k, key) {
			return false
		}
	}
	s.keys = append(s.keys, key)
	if keys := s.keys[o.start:]; len(keys) == many {
		o.set = make(map[string]struct{}, 4*many)
		for _, k := range keys {
			o.set[string(k)] = struct{}{}
		}
	}
	return true
}
