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
	at, text := s.pos, s.text
	i := at
	if i < len(text) && text[i] == '-' {
		i++
	}
	if i < len(text) && text[i] == '0' {
		i++
	} else if i = skipDigits(text, i); i == at || text[i-1] == '-' {
		return s.numberError(i, "expected a value")
	}
	fraction := i < len(text) && text[i] == '.'
	if fraction {
		if i = skipDigits(text, i+1); text[i-1] == '.' {
			return s.numberError(i, "expected a digit")
		}
	}
	exponentAt := i
	if i < len(text) && text[i]|0x20 == 'e' {
		if i++; i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		digits := i
		if i = skipDigits(text, i); i == digits {
			return s.numberError(i, "expected a digit")
		}
	}
	s.pos = i
	// Ruby's integers are unbounded, and 300 digits are in the range of a double.
	if exponentAt < i || fraction && i-at > 300 {
		s.checkFloat(at, exponentAt)
	}
	return nil
}

func (s *Scanner) numberError(at int, what string) error {
	s.pos = at
	return s.syntaxError(what)
}

// skipDigits returns the index of the first byte from i on that is not a digit.
func skipDigits(text []byte, i int) int {
	for i < len(text) && '0' <= text[i] && text[i] <= '9' {
		i++
	}
	return i
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
