package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file finds values that cannot be intended: placeholders that another tool
// should have filled in, references inside longer values, and characters that got
// into a value by accident.

// checkText returns an error if a value cannot be what its author meant. Every value
// passes through it, including those of environment variables and parameters.
//
// A secret may contain what looks like a placeholder or a reference; only one that
// is a placeholder as a whole is rejected. The same holds for the password in a URL,
// where it must not be a reference either, unless it is percent-encoded.
func checkText(text string, isSecret bool) error {
	if err := checkEdges(text); err != nil {
		return err
	}
	public, hidden := splitPassword(text)
	if isSecret {
		public, hidden = "", text
	}
	switch {
	case hasPlaceholder(public), isPlaceholder(hidden):
		return errors.New("is or contains a placeholder that another tool should have filled in; Scout replaces only env:NAME and ssm:/path/name, as the whole value")
	case hasReference(public), !isSecret && referenceAt(hidden):
		return errors.New("contains a reference that is not resolved; env:NAME or ssm:/path/name must be the whole value of a key in the configuration")
	}
	return nil
}

// checkEdges finds characters that files, shells and the clipboard add to a value.
func checkEdges(text string) error {
	first, _ := utf8.DecodeRuneInString(text)
	last, size := utf8.DecodeLastRuneInString(text)
	hidden := strings.IndexFunc(text, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) })
	switch {
	case text == "":
	case !utf8.ValidString(text):
		return errors.New("is not UTF-8 text")
	case unicode.IsSpace(first):
		return errors.New("starts with a blank or a line break; remove it")
	case unicode.IsSpace(last):
		return errors.New("ends in a blank or a line break; remove it")
	case hidden >= 0:
		r, _ := utf8.DecodeRuneInString(text[hidden:])
		return fmt.Errorf("contains an invisible character (U+%04X); remove it", r)
	case len(text) > size && (first == last && strings.ContainsRune("\"'`", first) || strings.ContainsRune("“”„«", first) && strings.ContainsRune("”“»", last)):
		return errors.New("is enclosed in quotes that are part of the value; remove them")
	}
	return nil
}

// placeholders are those of shells, Compose, Serverless, ERB, Helm, Ansible,
// CloudFormation, Terraform, Make, Ruby and Jinja.
var placeholders = []struct{ left, right string }{
	{"${", "}"}, {"<%", "%>"}, {"{{", "}}"}, {"%{", "}"}, {"$(", ")"}, {"#{", "}"}, {"{%", "%}"},
}

// isPlaceholder reports whether all of text is one placeholder, or several.
func isPlaceholder(text string) bool {
	for _, p := range placeholders {
		if strings.HasPrefix(text, p.left) && strings.HasSuffix(text, p.right) {
			return true
		}
	}
	name, ok := strings.CutPrefix(text, "$")
	return ok && envName.MatchString(name)
}

// hasPlaceholder reports whether there is a placeholder in text. A variable such
// as $NAME counts only as a whole part of a URL or an address.
func hasPlaceholder(text string) bool {
	for _, p := range placeholders {
		if _, after, ok := strings.Cut(text, p.left); ok && strings.Contains(after, p.right) {
			return true
		}
	}
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(":/@?&=", r) }) {
		if isPlaceholder(part) {
			return true
		}
	}
	return false
}

// referenceAt reports whether text starts with a reference. A number after the
// colon is a port.
func referenceAt(text string) bool {
	for _, prefix := range []string{envPrefix, ssmPrefix} {
		if name, ok := strings.CutPrefix(text, prefix); ok && name != "" && !unicode.IsDigit(rune(name[0])) {
			return true
		}
	}
	return false
}

// hasReference reports whether text contains a reference that does not continue a
// word.
func hasReference(text string) bool {
	inWord := false
	for i, r := range text {
		if !inWord && referenceAt(text[i:]) {
			return true
		}
		inWord = unicode.IsLetter(r) || unicode.IsDigit(r)
	}
	return false
}

// splitPassword splits the password from a URL. It does not parse the URL, which
// may be invalid for the very reasons that are looked for.
func splitPassword(text string) (public, password string) {
	scheme, rest, _ := strings.Cut(text, "://")
	at := strings.LastIndexByte(rest, '@')
	colon := strings.IndexByte(rest, ':')
	if colon < 0 || colon > at {
		return text, ""
	}
	// The user's name stays in the public part, because redis://env:NAME@host contains a reference.
	return scheme + "://" + rest[:colon+1] + "x" + rest[at:], rest[colon+1 : at]
}

// trimLineBreak cuts off one line break at the end of a value, which is there if the
// value was read from a file.
func trimLineBreak(text string) string {
	if line, ok := strings.CutSuffix(text, "\n"); ok {
		return strings.TrimSuffix(line, "\r")
	}
	return text
}
