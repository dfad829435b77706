package jsonscan

import (
	"bytes"
	"math"
	"strconv"
)

// Limits of exponents. Ruby's json 2.6 to 2.21 reads every number within them
// and in the range of a double as the same number, but not beyond them
// (json_parse_number and json_decode_float in ext/json/ext/parser/parser.c):
//
//   - 2.16 to 2.19.3 truncate an exponent to 32 bits. Later versions take one
//     that needs more bits for Infinity, even in 0e9999999999.
//   - 2.16 to 2.19 add the number of digits to the exponent, leading zeros
//     included, and take 0.1e309 for Infinity.
const (
	maxExponentDigits = 9 // leading zeros counted
	maxExponent       = 308
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
	exponentAt := s.pos
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if !s.readDigits() {
			return s.syntaxError("expected a digit")
		}
	}
	// Ruby's integers are unbounded, and 300 digits are in the range of a double.
	if exponentAt < s.pos || fraction && s.pos-at > 300 {
		s.checkFloat(at, exponentAt)
	}
	return nil
}

// checkFloat judges the number that ends at s.pos. Its exponent, if it has one,
// begins at exponentAt with the letter E.
func (s *Scanner) checkFloat(at, exponentAt int) {
	exponent := bytes.TrimLeft(s.text[exponentAt:s.pos], "eE+")
	if len(bytes.TrimLeft(exponent, "-")) > maxExponentDigits {
		s.refuse(at, "an exponent of more than "+strconv.Itoa(maxExponentDigits)+" digits", ambiguous)
		return
	}
	f, _ := strconv.ParseFloat(string(s.text[at:s.pos]), 64)
	if math.IsInf(f, 0) {
		s.refuse(at, "a number outside the range of a double", notWritable)
		return
	}
	if e, _ := strconv.Atoi(string(exponent)); e > maxExponent && f != 0 {
		s.refuse(at, "an exponent over "+strconv.Itoa(maxExponent), ambiguous)
	}
}

// readDigits reports whether there was at least one digit.
func (s *Scanner) readDigits() bool {
	at := s.pos
	for c := s.peek(); '0' <= c && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > at
}
