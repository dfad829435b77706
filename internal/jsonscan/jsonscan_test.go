package jsonscan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestCheck(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	keys := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":%d,`, i, i)
		}
		return b.String()
	}
	const fine = ""
	for _, c := range []struct{ name, text, syntax, refused string }{
		{"object", `{"a":[1,{"b":null}],"c":true,"d":false}`, fine, fine},
		{"scalars", ` "x" `, fine, fine},
		{"empty containers", `[{},[],{"a":{}}]`, fine, fine},
		{"big integer", strings.Repeat("9", 400), fine, fine},
		{"numbers", `[0,-0,1.0,1e2,1E+2,1e-400,1.7976931348623157e308]`, fine, fine},
		{"exponents of 9 digits", `[0e999999999,-0e-999999999,1e-999999999,5E000000002,1.5e-000000307]`, fine, fine},
		{"exponents up to 308", `[1e308,0.1e308,0.000000001e308,-0.00017976931348623157e308]`, fine, fine},
		{"zeros with large exponents", `[0e309,0.0e400,-0.000E+5000]`, fine, fine},
		{"subnormal numbers", `[5e-324,0.00001e-305,123456789012345678e-340]`, fine, fine},
		{"NUL escape", `"\u0000"`, fine, fine},
		{"surrogate pair", `"\ud83d\ude00"`, fine, fine},
		{"90 levels", nested(90), fine, fine},
		{"the same key in two objects", `[{"a":1},{"a":{"a":1}}]`, fine, fine},

		{"91 levels", nested(91), fine, "nesting deeper than 90 levels at byte 90"},
		{"100,000 levels", nested(100_000), fine, "nesting deeper"},
		{"overflow", `[1e309]`, fine, "outside the range of a double"},
		{"negative overflow", `-1e309`, fine, "outside the range of a double"},
		{"long overflow", strings.Repeat("9", 310) + ".0", fine, "outside the range of a double"},
		{"overflow only without its leading zeros", `[0.01e311]`, fine, "outside the range of a double"},
		{"exponent of 10 digits", `{"a":0e9999999999}`, fine, "an exponent of more than 9 digits at byte 5"},
		{"exponent of 10 digits, leading zeros", `[1e0000000005]`, fine, "an exponent of more than 9 digits at byte 1"},
		{"negative exponent of 10 digits", `[1e-4294967296]`, fine, "an exponent of more than 9 digits"},
		{"signed exponent of 20 digits", `[-0.0E+18446744073709551617]`, fine, "an exponent of more than 9 digits"},
		{"exponent over 308, number in range", `[0.1e309]`, fine, "an exponent over 308 at byte 1"},
		{"exponent over 308, number in range, negative", `[-0.00000000054077E+0000311]`, fine, "an exponent over 308"},
		{"exponent over 308, long fraction", `[0.` + strings.Repeat("0", 400) + `1e400]`, fine, "an exponent over 308"},
		{"invalid UTF-8", "\"\xff\"", fine, "invalid UTF-8"},
		{"surrogate in UTF-8", "\"\xed\xa0\x80\"", fine, "invalid UTF-8"},
		{"high surrogate alone", `"\ud800"`, fine, "a lone surrogate"},
		{"high surrogate, then no low one", `"\ud800\u0041"`, fine, "a lone surrogate"},
		{"low surrogate alone", `"\udc00"`, fine, "a lone surrogate"},
		{"surrogate in a key", `{"\ud800":1}`, fine, "a lone surrogate"},
		{"duplicate key", `{"a":1,"a":2}`, fine, "a duplicate key at byte 7"},
		{"duplicate key, escaped", `{"a":1,"\u0061":2}`, fine, "a duplicate key"},
		{"duplicate key in a nested object", `[{"x":{"a":1,"b":2,"a":3}}]`, fine, "a duplicate key"},
		{"duplicate key among many keys", `{` + keys(100) + `"k99":0}`, fine, "a duplicate key"},
		{"duplicate of the 16th key", `{` + keys(16) + `"k15":0}`, fine, "a duplicate key"},

		{"empty", ``, "expected a value at byte 0", fine},
		{"text", `hello`, "expected a value", fine},
		{"NaN", `NaN`, "expected a value", fine},
		{"two values", `1 2`, "data after the end", fine},
		{"trailing comma", `[1,]`, "expected a value", fine},
		{"trailing comma in an object", `{"a":1,}`, "expected a key", fine},
		{"no colon", `{"a"}`, "expected a colon", fine},
		{"wrong bracket", `[1}`, "expected a comma or a closing bracket", fine},
		{"leading zero", `01`, "data after the end", fine},
		{"bare minus", `-`, "expected a value", fine},
		{"no fraction", `1.`, "expected a digit", fine},
		{"no exponent", `1e`, "expected a digit", fine},
		{"unterminated string", `"a`, "unterminated string", fine},
		{"unterminated escape", `"a\`, "unterminated string", fine},
		{"control character", "\"\n\"", "control character", fine},
		{"invalid escape", `"\x41"`, "invalid escape", fine},
		{"short \\u", `"\u12"`, "without four hexadecimal digits", fine},
		{"byte order mark", "\uFEFF1", "expected a value", fine},
		{"NUL", "\x00", "expected a value", fine},
		{"a fault, then not JSON", `[1e309`, "expected a comma", fine},
		{"too deep, then not JSON", strings.Repeat("[", 1000), "expected a value", fine},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := Check([]byte(c.text))
			for _, e := range []struct {
				what string
				err  error
				want string
			}{{"Syntax", v.Syntax, c.syntax}, {"Refused", v.Refused, c.refused}} {
				if got := fmt.Sprint(e.err); (e.err == nil) != (e.want == "") || !strings.Contains(got, e.want) {
					t.Errorf("%s = %v, want %q", e.what, e.err, e.want)
				}
			}
			if valid := json.Valid([]byte(c.text)); valid != (v.Syntax == nil) && !strings.Contains(c.name, "100,000") {
				t.Errorf("encoding/json says valid = %t", valid)
			}
		})
	}
}

func TestActiveJobKeys(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":{"_aj_globalid":"gid://app/User/1"}}`: true,
		`{"\u005faj_serialized":"X"}`:               true,
		`{"aj_":1,"_aj":2,"x_aj_":3}`:               false,
		`["_aj_globalid"]`:                          false,
	} {
		if got := Check([]byte(text)).ActiveJob != nil; got != want {
			t.Errorf("%s: ActiveJob = %t, want %t", text, got, want)
		}
	}
}

func TestMembers(t *testing.T) {
	const text = ` { "a" : 1 ,"b\u0062": {"x":[1,"}"]} , "c":"\"}" , "d": [ ] , "e":true} `
	var got []string
	for key, value := range Members([]byte(text)) {
		got = append(got, string(key)+"="+string(value))
	}
	if want := `a=1 bb={"x":[1,"}"]} c="\"}" d=[ ] e=true`; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for range Members([]byte(`{ }`)) {
		t.Error("an empty object has a member")
	}
}

func TestElements(t *testing.T) {
	for text, want := range map[string]string{
		`[]`: ``, ` [ ] `: ``, `[1]`: `1`, ` [ "a,]" , {"b":[1,2]} ,[],null,-1.5 ] `: `"a,]" {"b":[1,2]} [] null -1.5`, `[[1,2],[3]]`: `[1,2] [3]`,
	} {
		var got []string
		for value := range Elements([]byte(text)) {
			got = append(got, string(value))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q, want %s", text, got, want)
		}
	}
	for value := range Elements([]byte(`[1,2]`)) {
		if string(value) != "1" {
			t.Error("goes on after a break")
		}
		break
	}
}

func TestObject(t *testing.T) {
	var s Scanner
	for _, c := range []struct{ text, want string }{
		{` { "a" : 1 ,"b\u0062": {"x":[1,"}"]} , "c":"\"}\n" , "d": [ "e" ] , "":"" } `, `a=1(nil) bb={"x":[1,"}"]}(nil) c="\"}\n"("\"}\n") d=[ "e" ](nil) =""("")`},
		{`{ }`, ``},
		{`[{"a":"b"}]`, ``},
		{`"a"`, ``},
		{`{"a":"b"`, ``},
		{`{"a":"b"} {`, ``},
	} {
		var got []string
		members, verdict := s.Object([]byte(c.text))
		for _, m := range members {
			decoded := "nil"
			if m.String != nil {
				decoded = strconv.Quote(string(m.String))
			}
			got = append(got, fmt.Sprintf("%s=%s(%s)", m.Key, m.Value, decoded))
		}
		if strings.Join(got, " ") != c.want || fmt.Sprint(verdict) != fmt.Sprint(Check([]byte(c.text))) {
			t.Errorf("%s: got %s, want %s; %v", c.text, got, c.want, verdict)
		}
	}
}

func TestAppendUnquoted(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		n                int // 0: rejected
	}{
		{"empty", `""`, "", 2},
		{"plain", `"plain text",1`, "plain text", 12},
		{"escapes", `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00" `, "\"\\/\b\f\n\r\té😀", 36},
		{"UTF-8", `"é😀"`, "é😀", 8},
		{"nothing", ``, "", 0},
		{"no string", `1`, "", 0},
		{"no end", `"a\n`, "", 0},
		{"control character", "\"\n\"", "", 0},
		{"invalid escape", `"\x"`, "", 0},
		{"high surrogate alone", `"a\ud800"`, "", 0},
		{"low surrogate alone", `"\udc00"`, "", 0},
		{"invalid UTF-8", "\"\xff\"", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, n, ok := AppendUnquoted([]byte("<"), []byte(c.text))
			if string(got) != "<"+c.want || n != c.n || ok != (c.n > 0) {
				t.Errorf("got %q, %d, %t; want %q, %d", got, n, ok, "<"+c.want, c.n)
			}
		})
	}
}

// rebuild reads the next value with a Reader and returns it without spaces.
func rebuild(r *Reader) (b []byte) {
	separate := func() {
		if len(b) > 1 {
			b = append(b, ',')
		}
	}
	switch r.scanner.skipSpace() {
	case '{':
		b = append(b, '{')
		r.Object(func(key []byte) {
			separate()
			b = append(AppendQuote(b, key), ':')
			b = append(b, rebuild(r)...)
		})
		return append(b, '}')
	case '[':
		b = append(b, '[')
		r.Array(func() {
			separate()
			b = append(b, rebuild(r)...)
		})
		return append(b, ']')
	case '"':
		value, _ := r.String()
		return AppendQuote(nil, value)
	case 'n':
		r.Skip()
		return []byte("null")
	default:
		value, _ := r.Text()
		return value
	}
}

func TestReader(t *testing.T) {
	const text = ` { "name" : "a\n\u00e9" , "n":-1.50, "yes":true, "nothing":null, "list":[1, "two" ,{}, []], "o":{"k":[{"x":"\ud800"}]}} `
	r := NewReader([]byte(text))
	if got, want := string(rebuild(r)), `{"name":"a\né","n":-1.50,"yes":true,"nothing":null,"list":[1,"two",{},[]],"o":{"k":[{"x":"�"}]}}`; got != want || r.Close() != nil {
		t.Errorf("got %s, %v\nwant %s", got, r.Close(), want)
	}

	r = NewReader([]byte(` [{"a":[1]}, [2], "three", 4, null, false] `)) // each method, on values of other kinds
	var got []string
	r.Array(func() {
		switch len(got) {
		case 0:
			_, ok := r.Text()
			got = append(got, fmt.Sprint("Text ", ok))
		case 1:
			got = append(got, fmt.Sprint("Object ", r.Object(func([]byte) { r.Skip() })))
		case 2:
			got = append(got, fmt.Sprint("Array ", r.Array(func() { r.Skip() })))
		case 3, 4:
			_, ok := r.String()
			got = append(got, fmt.Sprint("String ", ok))
		default:
			value, ok := r.Text()
			got = append(got, fmt.Sprint("Text ", ok, " ", string(value)))
		}
	})
	if want := "Text false, Object false, Array false, String false, String false, Text true false"; strings.Join(got, ", ") != want || r.Close() != nil {
		t.Errorf("got %s, %v\nwant %s", got, r.Close(), want)
	}
}

func FuzzCheck(f *testing.F) {
	for _, text := range []string{
		`{"a":[1,{"b":null}],"c":true,"a":false}`, `"\ud83d\ude00\ud83d"`, `[1e309,1E-5,-0.5]`, "\"\xff\"",
		strings.Repeat("[", 91) + strings.Repeat("]", 91), `{"\u005faj_x":{}}`, ` [ ] `, `{"a":1,"\u0061":2}`, `01`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var s Scanner
		s.Object([]byte(`{"used":"before\n","for":{"another":["text"`))
		_, v := s.Object(text)
		if again := s.Check(text); fmt.Sprint(again, Check(text)) != fmt.Sprint(v, v) {
			t.Fatalf("Object says %v, the Scanner's Check %v, Check %v", v, again, Check(text))
		}
		if valid := json.Valid(text); valid != (v.Syntax == nil) && depth(text) < 10_000 {
			t.Fatalf("encoding/json says valid = %t, Check says %v", valid, v.Syntax)
		}
		skipping, reading := NewReader(text), NewReader(text)
		skipping.Skip()
		if skipped := skipping.Close(); fmt.Sprint(skipped) != fmt.Sprint(v.Syntax) {
			t.Fatalf("Skip says %v, Check says %v", skipped, v.Syntax)
		}
		if depth(text) < 1000 {
			if rebuilt, err := rebuild(reading), reading.Close(); fmt.Sprint(err) != fmt.Sprint(v.Syntax) || err == nil && !json.Valid(rebuilt) {
				t.Fatalf("a Reader says %v, Check says %v; read %q", err, v.Syntax, rebuilt)
			}
		}
		if v.Syntax != nil {
			return
		}
		if want := acceptable(text); want != (v.Refused == nil) {
			t.Fatalf("the oracle says acceptable = %t, Check says %v", want, v.Refused)
		}
		if v.Refused == nil {
			members, _ := s.Object(text)
			compare(t, text, members)
		}
	})
}

// acceptable judges valid JSON with another implementation, which rejects
// invalid UTF-8, lone surrogates and duplicate keys by itself.
func acceptable(text []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.ReadToken()
		if err != nil {
			return err.Error() == "EOF"
		}
		if d.StackDepth() > MaxDepth {
			return false
		}
		if token.Kind() == '0' {
			number := token.String()
			f, _ := strconv.ParseFloat(number, 64)
			if strings.ContainsAny(number, ".eE") && math.IsInf(f, 0) {
				return false
			}
			if _, exponent, ok := strings.Cut(strings.ToLower(number), "e"); ok {
				e, err := strconv.ParseInt(exponent, 10, 64)
				if err != nil || len(strings.TrimLeft(exponent, "+-")) > 9 || e > 308 && f != 0 {
					return false
				}
			}
		}
	}
}

// depth returns an upper bound of the text's nesting.
func depth(text []byte) int { return bytes.Count(text, []byte("[")) + bytes.Count(text, []byte("{")) }

// compare checks that Object, Members and Unquote read accepted JSON as
// encoding/json does.
func compare(t *testing.T, text []byte, members []Member) {
	switch {
	case IsString(text):
		var want string
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if got := string(Unquote(text)); got != want {
			t.Fatalf("Unquote = %q, want %q", got, want)
		}
		quoted := string(bytes.TrimSpace(text))
		if appended, n, ok := AppendUnquoted([]byte("before"), []byte(quoted+`,"more`)); !ok || n != len(quoted) || string(appended) != "before"+want {
			t.Fatalf("AppendUnquoted = %q, %d, %t, want %q", appended, n, ok, want)
		}
		if back := Unquote(AppendQuote(nil, want)); string(back) != want {
			t.Fatalf("AppendQuote and back: %q, want %q", back, want)
		}
	case IsArray(text):
		var want []json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for value := range Elements(text) {
			if len(want) == 0 || !bytes.Equal(want[0], value) {
				t.Fatalf("Elements: %q, want %q", value, want)
			}
			want = want[1:]
		}
		if len(want) > 0 {
			t.Fatalf("Elements left out %q", want)
		}
	case IsObject(text):
		want := map[string]json.RawMessage{}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		for key, value := range Members(text) {
			if len(members) == 0 || !bytes.Equal(members[0].Key, key) || !bytes.Equal(members[0].Value, value) {
				t.Fatalf("Members: %q is %q, Object: %q", key, value, members)
			}
			var decoded []byte
			if IsString(value) {
				decoded = Unquote(value)
			}
			if !reflect.DeepEqual(members[0].String, decoded) {
				t.Fatalf("Object: %q is %q, Unquote: %q", key, members[0].String, decoded)
			}
			members = members[1:]
			if !bytes.Equal(bytes.TrimSpace(want[string(key)]), value) {
				t.Fatalf("Members: %q is %q, want %q", key, value, want[string(key)])
			}
			delete(want, string(key))
		}
		if len(want) > 0 {
			t.Fatalf("Members left out %q", want)
		}
	}
	if len(members) > 0 {
		t.Fatalf("Object also has %q", members)
	}
}

func FuzzAppendQuote(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\r\t\b\x00\x1f\x7f", "é\u2028😀", "\xff\xed\xa0\x80a", "\xf0\x9f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		quoted := AppendQuote(nil, s)
		if v := Check(quoted); v.Syntax != nil || v.Refused != nil {
			t.Fatalf("%q: %+v", quoted, v)
		}
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatal(err)
		}
		if want := string([]rune(s)); got != want {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
		if again := AppendQuote(nil, []byte(s)); !bytes.Equal(again, quoted) {
			t.Fatalf("%q as bytes, %q as a string", again, quoted)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	text := []byte(`{"order":{"id":123456789,"lines":[` + strings.TrimSuffix(strings.Repeat(`{"sku":"ABC-123","quantity":2,"price":12.5},`, 20), ",") + `]}}`)
	for _, c := range []struct {
		name string
		text []byte
	}{{"object", text}, {"quoted", AppendQuote(nil, text)}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			var s Scanner
			for b.Loop() {
				if v := s.Check(c.text); v != (Verdict{}) {
					b.Fatal(v)
				}
			}
		})
	}
}
