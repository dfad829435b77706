//go:build integration

package e2e

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// argument returns the JSON of the argument that a message becomes.
func argument(t *testing.T, message string) string {
	t.Helper()
	if json.Valid([]byte(message)) {
		return message
	}
	quoted, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(quoted)
}

// value decodes JSON as Ruby does: 1 and 1.0 differ, and integers keep all digits.
func value(t *testing.T, text string) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return transform(v, func(v any) any {
		number, ok := v.(json.Number)
		if !ok {
			return v
		}
		if n, ok := new(big.Int).SetString(number.String(), 10); ok {
			return integer(n.String())
		}
		f, err := number.Float64()
		if err != nil {
			t.Fatal(err)
		}
		return f
	})
}

// equal checks that two values are equal.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got  %.500s\n want %.500s", what, fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want))
	}
}

// object decodes a JSON object as value does.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	o, ok := value(t, text).(map[string]any)
	if !ok {
		t.Fatalf("not a JSON object: %.200s", text)
	}
	return o
}

// nothing matches what ActiveJob writes for "none": no keys of a hash were symbols
// and, from 7.1 on, the job is not scheduled.
var nothing = regexp.MustCompile(`,?"(_aj_symbol_keys":\[\]|scheduled_at":null)`)

// withoutNothing removes that from JSON of ActiveJob's.
func withoutNothing(text string) string { return nothing.ReplaceAllString(text, "") }

// An integer is its decimal digits.
type integer string

// shape replaces each scalar in v with the name of its type.
func shape(v any) any {
	return transform(v, func(v any) any {
		switch v.(type) {
		case integer:
			return "integer"
		case float64:
			return "float"
		case string:
			return "string"
		case bool:
			return "boolean"
		default:
			return v
		}
	})
}

// transform applies f to the scalars in v.
func transform(v any, f func(any) any) any {
	switch v := v.(type) {
	case []any:
		all := make([]any, len(v))
		for i, element := range v {
			all[i] = transform(element, f)
		}
		return all
	case map[string]any:
		all := make(map[string]any, len(v))
		for key, element := range v {
			all[key] = transform(element, f)
		}
		return all
	default:
		return f(v)
	}
}
