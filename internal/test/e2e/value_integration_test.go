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

// argument returns the JSON of the argument that a published message becomes.
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

// value decodes JSON as Ruby does: 1 and 1.0 are different, and an integer
// has all of its digits.
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

// equal checks that two values are.
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
		t.Fatalf("no JSON object: %.200s", text)
	}
	return o
}

// nothing is how ActiveJob says that there is nothing to say: that no keys of
// a hash were symbols, and, from 7.1, that the job is for no later time.
var nothing = regexp.MustCompile(`,?"(_aj_symbol_keys":\[\]|scheduled_at":null)`)

// withoutNothing returns JSON of ActiveJob's without that.
func withoutNothing(text string) string { return nothing.ReplaceAllString(text, "") }

// An integer is one in decimal digits.
type integer string

// shape puts its type in place of each scalar in v.
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
