//go:build integration

package rubyjson

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A generator makes messages: mostly JSON, and mostly what implementations are
// known to differ about.
type generator struct{ *rand.Rand }

func pick[T any](g *generator, of ...T) T { return of[g.IntN(len(of))] }

// value returns a value at a depth.
func (g *generator) value(depth int) string {
	kind := g.IntN(20)
	switch {
	case depth > 4 || kind < 9:
		return g.number()
	case kind < 13:
		return g.string()
	case kind < 15:
		return pick(g, "true", "false", "null", "NaN", "-Infinity", " 1 ", "\t2\n", "", "plain text", "{", "[1,]", "01", "1.", ".5", "+1", "1e", "/**/1", "// 1\n1")
	case kind < 17:
		return g.list("[", "]", func() string { return g.value(depth + 1) })
	case kind < 19:
		n := 0
		return g.list("{", "}", func() string {
			n++
			key := fmt.Sprintf(`"key %d"`, n)
			if g.IntN(8) == 0 {
				key = g.string()
			}
			return key + pick(g, ":", " : ") + g.value(depth+1)
		})
	default:
		n := g.IntN(110) // the depth that json reads is 100
		return strings.Repeat("[", n) + g.number() + strings.Repeat("]", n)
	}
}

func (g *generator) list(open, end string, element func() string) string {
	elements := make([]string, g.IntN(5))
	for i := range elements {
		elements[i] = element()
	}
	return open + strings.Join(elements, pick(g, ",", " , ", ",\n")) + end
}

// number returns a number: often zero, often with a long mantissa or exponent,
// often at the edge of what a float64 or an integer of some size can hold.
func (g *generator) number() string {
	sign := pick(g, "", "", "-")
	switch g.IntN(10) {
	case 0:
		return sign + pick(g, "0", "0.0", "1", "1.0", "100000000000000000000.0", "0.1", "4.35", "9007199254740993", "9007199254740993.0",
			"2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616",
			"1.7976931348623157e308", "1.7976931348623158e308", "1.7976931348623159e308", "2.2250738585072014e-308", "2.2250738585072011e-308",
			"4.9406564584124654e-324", "2.4703282292062327e-324", "2.4703282292062328e-324", "0.500000000000000166533453693773481063544750213623046875",
			"179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096330286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270069855571366959622842914819860834936475292719074168444365510704342711559699508093042880.0")
	case 1:
		return sign + g.digits(1+g.IntN(400))
	case 2:
		return sign + g.digits(1+g.IntN(20)) + "." + g.zeros(20) + g.digits(1+g.IntN(40))
	}
	mantissa := pick(g, "0", "0.0", "1", "0.1", "0.005", g.digits(1+g.IntN(20)), g.digits(1)+"."+g.zeros(30)+g.digits(1+g.IntN(30)))
	return sign + mantissa + pick(g, "e", "E") + pick(g, "", "+", "-") + g.exponent()
}

func (g *generator) exponent() string {
	switch g.IntN(6) {
	case 0:
		return g.zeros(25) + g.digits(1)
	case 1:
		return g.digits(1 + g.IntN(30))
	case 2: // at the edges of 32 and 64 bits
		return g.zeros(4) + pick(g, "2147483647", "2147483648", "4294967295", "4294967296", "4294967297", "9223372036854775807", "9223372036854775808",
			"18446744073709551615", "18446744073709551616", "18446744073709551617", "999999999", "1000000000", "99999999999")
	default:
		return fmt.Sprint(g.IntN(330))
	}
}

// digits returns n digits, the first of which is not zero.
func (g *generator) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + g.IntN(10))
	}
	b[0] = byte('1' + g.IntN(9))
	return string(b)
}

// zeros returns none or up to n zeros.
func (g *generator) zeros(n int) string {
	return strings.Repeat("0", g.IntN(2)*g.IntN(n+1))
}

// string returns a JSON string.
func (g *generator) string() string {
	var b strings.Builder
	for range g.IntN(8) {
		b.WriteString(pick(g, "a", " ", "é", "日本", "🦀", "\u2028", "\ufeff", "\x7f", `\"`, `\\`, `\/`, `\b`, `\f`, `\n`, `\r`, `\t`,
			`\u0000`, `\u001f`, `\u00e9`, `\u2028`, `\ufffe`, `\ud83e\udd80`, `\ud800`, `\udc00\ud800`, `\x`, "\t", "\x01", "</script>", "json_class"))
	}
	return `"` + b.String() + `"`
}
