package config

import (
	"bytes"
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// compiled returns a schema that can be used. It may refer to the definitions.
func compiled(t testing.TB, s object) *jsonschema.Schema {
	t.Helper()
	s["$schema"], s["$defs"] = "https://json-schema.org/draft/2020-12/schema", definitions()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return compile(t, text)
}

func compile(t testing.TB, text []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("urn:test", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("urn:test")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// jsonValue returns YAML as the JSON that an editor validates, by the core schema of
// YAML 1.2. Aliases are expanded.
func jsonValue(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for key, value := range pairs(n) {
			if _, ok := m[key.Value]; !ok {
				m[key.Value] = jsonValue(value)
			}
		}
		return m
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, jsonValue(item))
		}
		return list
	}
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if number, ok := decimal(n.Value); ok {
			return number
		}
	}
	return n.Value
}

// decimal returns a number of YAML as one of JSON.
func decimal(text string) (json.Number, bool) {
	if json.Valid([]byte(text)) {
		return json.Number(text), true
	}
	digits := strings.TrimPrefix(text, "+")
	if regexp.MustCompile(`^-?[0-9]+$`).MatchString(digits) {
		i, ok := new(big.Int).SetString(digits, 10)
		return json.Number(i.String()), ok
	}
	if i, ok := new(big.Int).SetString(text, 0); ok {
		return json.Number(i.String()), true
	}
	return "", false
}

// exceptions are errors of the loader that the schema cannot express, by a pattern of
// key and message, with the reason.
var exceptions = []struct{ pattern, reason string }{
	{`(name|topics): is required`, "each depends on other keys, and the daemon needs a name"},
	{`is required (unless|with)|is required, because|cannot be combined with|: (needs|requires) |contradicts`, "depends on other keys or on the environment"},
	{`must have exactly one of|is only for messages of|cannot be dead|must be at least .* long poll`, "depends on other keys"},
	{`is the same queue as|has the same class and queue as|must not repeat an argument|is not a queue of the configuration|the configuration names no queue`, "compares values with one another"},
	{`by: must be body: and a JSON pointer, because`, "depends on the section of the route"},
	{`must be (a size|a duration|0 \(off\) or a duration)`, "a range of texts with units"},
	{`must be (a whole number|6, 7 or 8|true, false, or a whole)`, "the loader takes whole numbers only as they are usually written, not as 5.0 or 0x5"},
	{`^workers(\.|:)|the app's manifest|^\S+: the (class's|class chooses|number of arguments|minimum number)|encrypts the arguments`, "depends on the app's manifest"},
	{`redis\.(url|host|sentinels\[\d+\]): (must|is)|(^|\.|\])(url|endpoint): (must be|has|is a page)`, "more than a pattern is needed for URLs and hosts"},
	{`must be attribute:NAME|must be sqs, attribute:NAME`, "the escapes of a JSON pointer"},
	{`^(redis|redis\.(tls|iam|wait)|aws|limits): has no value`, "an anchor without a value is null, which the schema allows there"},
	{`placeholder|reference|invisible|blank|enclosed in quotes|single line of text|without spaces|without a colon|the queue: of|Redis key of a queue`, "slips in a text"},
	{`duplicate key|unknown YAML tag|as a key; |number that JSON cannot have|quote a value that starts with &`, "JSON has no such thing"},
	{`^tests.*did you mean "\w+"\? Keys of jobs`, "a job may have any key, but not one that looks like a slip"},
}

var configSchema = sync.OnceValue(func() *jsonschema.Schema {
	doc, _ := jsonschema.UnmarshalJSON(bytes.NewReader(Schema(false)))
	c := jsonschema.NewCompiler()
	_ = c.AddResource("urn:test", doc)
	return c.MustCompile("urn:test")
})

// checkAgreement checks that the schema allows a text that Load accepts, and not one
// that it rejects, except for the exceptions.
func checkAgreement(t *testing.T, text string, loadErr error) {
	t.Helper()
	root, err := (&document{}).parse([]byte(text), yaml.MappingNode)
	if err != nil {
		return // the schema is only for valid YAML
	}
	schemaErr := configSchema().Validate(jsonValue(root.value))
	switch {
	case loadErr == nil && schemaErr != nil:
		t.Errorf("the schema rejects what the loader accepts:\n%s\n%v", text, schemaErr)
	case loadErr != nil && schemaErr == nil && !strings.Contains(text, "env:") && !strings.Contains(text, "ssm:"):
		checkExceptions(t, text, loadErr)
	}
}

func checkExceptions(t *testing.T, text string, err error) {
	errs, _ := err.(Errors)
next:
	for _, e := range errs {
		for _, exception := range exceptions {
			if regexp.MustCompile(exception.pattern).MatchString(e.Key + ": " + e.Message) {
				continue next
			}
		}
		t.Errorf("the schema accepts what the loader rejects:\n%s\n%v", text, e)
	}
}

// TestSchemaAgrees replaces each value of a full configuration by others, removes each
// key, and adds an unknown key to each mapping. The loader and the schema must agree
// about each of these configurations.
func TestSchemaAgrees(t *testing.T) {
	tree, err := decode([]byte(full))
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	check := func() {
		count++
		text, err := yaml.Marshal(tree)
		if err != nil {
			t.Fatal(err)
		}
		_, loadErr := Loader{Env: vars(), Tests: true}.Load(t.Context(), string(text))
		checkAgreement(t, string(text), loadErr)
	}
	var vary func(n *yaml.Node)
	vary = func(n *yaml.Node) {
		original := *n
		for _, text := range []string{"x y", "5", "-1", "true", "30s", "~", "[Xy]", "{x: Y}"} {
			replacement, err := decode([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			*n = *replacement
			check()
		}
		*n = original
		for i := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				n.Content = append(append([]*yaml.Node{}, original.Content[:i]...), original.Content[i+2:]...)
				check()
				n.Content = original.Content
				continue
			}
			vary(n.Content[i])
		}
		if n.Kind == yaml.MappingNode {
			n.Content = append([]*yaml.Node{{Kind: yaml.ScalarNode, Value: "unknown_key"}, {Kind: yaml.ScalarNode, Value: "x"}}, original.Content...)
			check()
			n.Content = original.Content
		}
	}
	check()
	vary(tree)
	if count < 500 {
		t.Errorf("only %d configurations", count)
	}
}

// TestSchemaOfTests checks files of tests.
func TestSchemaOfTests(t *testing.T) {
	schema := compile(t, Schema(true))
	for text, ok := range map[string]bool{
		"- {topic: t, message: {a: [1, ~]}, jobs: [{class: W, lock: x}]}": true,
		"- {event: e.json, rejected: no_route}":                           true,
		"- {event: e.json, rejected: redis}":                              false,
		"- {event: e.json, ignored: false}":                               false,
		"- {evnt: e.json}":                                                false,
		"{topic: t}":                                                      false,
		"[]":                                                              false,
		"- {body: b, jobs: []}":                                           false,
	} {
		tree, err := decode([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(jsonValue(tree)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
