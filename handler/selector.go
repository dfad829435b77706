package handler

import (
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
)

// A Selector selects a text in a message. At most one of its fields is set.
type Selector struct {
	// Attribute is the name of a message attribute: one of the SNS envelope, or of
	// the SQS message if that is plain.
	Attribute string

	// Pointer is a JSON pointer (RFC 6901) into the argument message, such as
	// /order/type. It selects a string as it is, and a number or boolean as its
	// JSON text, but no other value.
	Pointer string
}

// ParseSelector parses attribute:NAME or body:/json/pointer.
func ParseSelector(text string) (Selector, error) {
	name, isAttribute := strings.CutPrefix(text, "attribute:")
	pointer, isPointer := strings.CutPrefix(text, "body:")
	switch {
	case isAttribute && name != "":
		return Selector{Attribute: name}, nil
	case isPointer && strings.HasPrefix(pointer, "/") && !hasBadEscape(pointer):
		return Selector{Pointer: pointer}, nil
	}
	return Selector{}, errors.New("must be attribute:NAME, or body: and a JSON pointer, such as body:/order/type")
}

// hasBadEscape reports whether a ~ in a JSON pointer is not part of ~0 or ~1.
func hasBadEscape(pointer string) bool {
	rest := strings.NewReplacer("~0", "", "~1", "").Replace(pointer)
	return strings.Contains(rest, "~")
}

// String returns the selector as ParseSelector reads it, "" for the zero value.
func (s Selector) String() string {
	switch {
	case s.Attribute != "":
		return "attribute:" + s.Attribute
	case s.Pointer != "":
		return "body:" + s.Pointer
	}
	return ""
}

// selectAttribute returns the value of an attribute of an SNS envelope, or of the
// SQS message if e is nil. Binary attributes have none.
func selectAttribute(name string, e *envelope, m *events.SQSMessage) (string, bool) {
	if e == nil {
		a := m.MessageAttributes[name]
		if a.StringValue == nil || strings.HasPrefix(a.DataType, "Binary") {
			return "", false
		}
		return *a.StringValue, true
	}
	for _, a := range e.Attributes {
		if string(a.Name) == name {
			return string(a.Value), a.Value != nil && !strings.HasPrefix(string(a.Type), "Binary")
		}
	}
	return "", false
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

// selectPointer returns what a JSON pointer selects in JSON that Check has accepted.
func selectPointer(pointer string, value []byte) (string, bool) {
	for token := range strings.SplitSeq(pointer[1:], "/") {
		token = unescapePointer.Replace(token)
		var ok bool
		switch {
		case jsonscan.IsObject(value):
			value, ok = memberOf(value, token)
		case jsonscan.IsArray(value):
			value, ok = elementOf(value, token)
		}
		if !ok {
			return "", false
		}
	}
	switch {
	case jsonscan.IsString(value):
		return string(jsonscan.Unquote(value)), true
	case jsonscan.IsObject(value), jsonscan.IsArray(value), string(value) == "null":
		return "", false
	}
	return string(value), true
}

func memberOf(object []byte, name string) ([]byte, bool) {
	for key, value := range jsonscan.Members(object) {
		if string(key) == name {
			return value, true
		}
	}
	return nil, false
}

func elementOf(array []byte, index string) ([]byte, bool) {
	wanted, err := strconv.Atoi(index)
	if err != nil || strconv.Itoa(wanted) != index {
		return nil, false // an index has no sign and no leading zeros
	}
	n := 0
	for value := range jsonscan.Elements(array) {
		if n == wanted {
			return value, true
		}
		n++
	}
	return nil, false
}
