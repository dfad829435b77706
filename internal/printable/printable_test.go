package printable

import "testing"

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, in string
		max      int
		want     string
	}{
		{"plain text", "Zoë's order – 5 €", 0, "Zoë's order – 5 €"},
		{"empty", "", 10, ""},
		{"line breaks", "a\nmessage 2 of 2\r\n", 0, `a\u000amessage 2 of 2\u000d\u000a`},
		{"terminal escape", "\x1b[31mred", 0, `\u001b[31mred`},
		{"C1 control", "\u009b31m", 0, `\u009b31m`},
		{"right-to-left override", "a\u202eb", 0, `a\u202eb`},
		{"line separator and zero width", "\u2028\u200b", 0, `\u2028\u200b`},
		{"tag character", "\U000e0041", 0, `\udb40\udc41`},
		{"invalid UTF-8", "a\xffb", 0, `a\ufffdb`},
		{"as long as allowed", "abcde", 5, "abcde"},
		{"too long", "abcdef", 5, "abcde…"},
		{"an escape is not cut apart", "abc\x1b", 5, "abc…"},
		{"a character is not cut apart", "ab€", 4, "ab…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Text(c.in, c.max); got != c.want {
				t.Errorf("Text(%q, %d) = %q, want %q", c.in, c.max, got, c.want)
			}
		})
	}
}
