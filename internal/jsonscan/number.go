package jsonscan

import (
	"math"
	"strconv"
)

func (s *Scanner) readNumber() error {
	at := s.pos
	if s.peek() == '-' {
		s.pos++
	}
	switch c := s.peek(); {
	case c == '0':
		s.pos++
	case '1' <= c && c <= '9':
		s.readDigits()
	default:
		return s.syntaxError("expected a value")
	}
	fraction := s.peek() == '.'
	if fraction {
		s.pos++
		if !s.readDigits() {
			return s.syntaxError("expected a digit")
		}
	}
	exponent := s.peek() == 'e' || s.peek() == 'E'
	if exponent {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.readDigits() {
			return s.syntaxError("expected a digit")
		}
	}
	// Ruby's integers are unbounded, and 300 digits are in the range of a double.
	if exponent || fraction && s.pos-at > 300 {
		if f, _ := strconv.ParseFloat(string(s.text[at:s.pos]), 64); math.IsInf(f, 0) {
			s.refuse(at, "a number outside the range of a double")
		}
	}
	return nil
}

// readDigits reports whether there was at least one digit.
func (s *Scanner) readDigits() bool {
	at := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > at
}
