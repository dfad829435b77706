package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxSize is the maximum size of a configuration in bytes. Decoding one takes up to
// about a hundred times as much memory.
const maxSize = 1 << 20

// checkEncoding checks that text is of a reasonable size, and is UTF-8 or has the
// byte order mark of UTF-16, which the YAML package decodes.
func checkEncoding(text []byte) *Error {
	if len(text) > maxSize {
		return &Error{Message: fmt.Sprintf("is larger than %s, the maximum size of a configuration", formatBytes(maxSize))}
	}
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return nil
	}
	for i, line := range bytes.Split(text, []byte("\n")) {
		control := bytes.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' })
		switch {
		case !utf8.Valid(line):
			return &Error{Line: i + 1, Message: "is not UTF-8; save it as UTF-8"}
		case control >= 0 && line[control] == 0:
			return &Error{Line: i + 1, Message: "contains a zero byte, perhaps because it is UTF-16; save it as UTF-8"}
		case control >= 0:
			return &Error{Line: i + 1, Message: fmt.Sprintf("contains a control character (U+%04X); remove it", line[control])}
		}
	}
	return nil
}

// hints say what to write instead. The first one whose message is a part of the
// YAML package's message applies.
var hints = []struct{ message, hint string }{
	{"cannot start any token", "quote a key or value that starts with @, ` or %"},
	{"alphabetic or numeric character", "quote a key or value that starts with * or &"},
	{"expected comment or line break", "quote a value that starts with | or >"},
	{"mapping values are not allowed", "indent the keys of a mapping equally, put a space after the colon of a key, and quote a value that contains a colon and a space"},
	{"block sequence entries are not allowed", "start a list on the line after its key, and quote a value that starts with a dash and a space"},
	{"mapping keys are not allowed", "quote a value that starts with a question mark and a space"},
	{"expected ',' or", "close every [ and {, and quote a value that starts with one of them"},
	{"expected node content", "quote a value that starts with ], } or a comma"},
	{"expected key", "indent the keys of a mapping equally, and put nothing after the closing quote of a value"},
	{"expected '-' indicator", "indent the items of a list equally, and start each with a dash"},
	{"unexpected end of stream", "close every quote"},
	{"unknown escape character", "put a value with backslashes into single quotes"},
	{"directive", "quote a key or value that starts with %"},
	{"UTF-", "save it as UTF-8"},
}

// syntaxError takes the line and the message from an error of the YAML package.
// The messages of that package are constant, except that one quotes an unknown
// anchor, which may be a password that starts with an asterisk.
func syntaxError(err error, text []byte) *Error {
	// Expressions are compiled only when they are needed, because the Lambda function has to start fast.
	parts := regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(err.Error())
	if parts == nil {
		return &Error{Message: "is not valid YAML"}
	}
	message := parts[2]
	line, _ := strconv.Atoi(parts[1]) // none for the first line, and for the encoding
	if line == 0 && !strings.Contains(message, "UTF-") {
		line = 1
	}
	// The package's parser counts lines from 0, its scanner from 1 (parserc.go;
	// decode.go, func fail).
	parserError := regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<)|^found (undefined|duplicate|incompatible) `)
	if parserError.MatchString(message) {
		line++
	}
	unknownAnchor := regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	if anchor := unknownAnchor.FindStringSubmatch(message); anchor != nil {
		message = "an alias to an undefined anchor; quote a value that starts with *"
		if i := bytes.Index(text, []byte("*"+anchor[1])); i >= 0 {
			line = 1 + bytes.Count(text[:i], []byte("\n"))
		}
	}
	message, line = withHint(message, line, strings.Split(string(text), "\n"))
	return &Error{Line: line, Message: "is not valid YAML: " + message}
}

// withHint appends advice to a message of the YAML package. If a tab causes the
// error, it returns the line of the tab, which may be the next one. If the message
// names a tab, its line is where the value before the tab begins, and blank lines
// may be between the two.
func withHint(message string, line int, lines []string) (string, int) {
	tab := regexp.MustCompile(`^[ -]*\t`)
	last := line + 1
	if strings.Contains(message, "tab character") {
		last = len(lines)
	}
	for i := max(line, 1); i <= min(last, len(lines)); i++ {
		if tab.MatchString(lines[i-1]) {
			return "a tab in the indentation; use spaces", i
		}
	}
	for _, h := range hints {
		if strings.Contains(message, h.message) {
			return message + "; " + h.hint, line
		}
	}
	return message, line
}
