package config

import (
	"cmp"
	"encoding/json"
	"math"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"scout/handler"
)

// Schema returns the JSON Schema (2020-12) of the configuration or, with tests, of a
// file of tests. It allows everything that [Loader.Load] accepts. The loader also
// rejects mistakes that a schema cannot express, such as keys that exclude each other.
func Schema(tests bool) []byte {
	root := new(Config).section(false).schema()
	root["$id"], root["title"] = "urn:scout:configuration", "The configuration of Scout"
	if tests {
		root = (&Config{}).tests().schema()
		root["$id"], root["title"] = "urn:scout:tests", "Tests of a configuration of Scout"
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$defs"] = definitions()
	text, _ := json.MarshalIndent(root, "", "  ") // cannot fail: it has only texts, numbers, bools, lists and objects
	return append(text, '\n')
}

// definitions returns the schemas that others refer to.
func definitions() object {
	var r routing
	// With if instead of anyOf, editors explain mistakes in the alternative that is meant.
	isChoice := object{"anyOf": []any{object{"required": []any{"by"}}, object{"required": []any{"to"}}, object{"required": []any{"else"}}}}
	element := func(others ...any) object {
		return object{
			"if":   object{"type": "object"},
			"then": object{"if": isChoice, "then": refer("choice"), "else": refer("worker")},
			"else": object{"anyOf": append(others, className.schema())},
		}
	}
	jobProperties := object{}
	for _, key := range jobKeys {
		jobProperties[key] = object{}
	}
	return object{
		"reference": object{"type": "string", "pattern": "^(env|ssm):"},
		"queue":     new(Queue).section(routing{}, false).schema(),
		"worker":    workerSection(new(handler.Worker)).schema(),
		"choice":    r.choiceSection(new(handler.Choice)).schema(),
		"element":   element(),
		"outcome":   object{"if": object{"type": "array"}, "then": arrayOf(refer("element")), "else": element(object{"const": ignore})},
		"test":      new(Test).section(new(Config)).schema(),

		"json":       object{"type": []any{"string", "number", "boolean", "object", "array"}},
		"attributes": object{"type": "object", "additionalProperties": shape{}.schema()},
		"job":        object{"type": "object", "properties": jobProperties},
	}
}

// An object is an object of JSON, such as a schema.
type object map[string]any

func refer(name string) object { return object{"$ref": "#/$defs/" + name} }

// arrayOf is a list of at least one item.
func arrayOf(items object) object { return object{"type": "array", "minItems": 1, "items": items} }

// A definition describes a value by one of the definitions.
type definition struct{ name, about string }

func (d definition) schema() object  { return refer(d.name) }
func (d definition) allowed() string { return d.about }

// A listOf describes a list of at least one item.
type listOf struct{ item describer }

func (l listOf) schema() object  { return arrayOf(l.item.schema()) }
func (l listOf) allowed() string { return "a list; each item is " + l.item.allowed() }

// A routeTable describes a mapping of keys to outcomes.
type routeTable struct {
	pattern string // of the keys; "" for any
	example string // of a key with its outcome
}

func (r routeTable) schema() object {
	s := object{"type": "object", "minProperties": 1, "additionalProperties": refer("outcome")}
	if r.pattern != "" {
		s["propertyNames"] = object{"pattern": r.pattern}
	}
	return s
}

func (r routeTable) allowed() string { return "a mapping with at least one " + r.example }

// A shape describes the texts that a form accepts, as far as a schema can. It allows
// every text that the form accepts, and may allow others.
type shape struct {
	about string // the accepted texts in words; "" if the form's error says so

	types   string // of JSON, separated by spaces; "" is string
	enum    string // the only values, as a list in YAML
	pattern string // of strings; "" for any

	maxLength int    // of strings that match the pattern; 0 for any
	limits    limits // of integers
}

// limits are a minimum and a maximum, which is [math.MaxInt64] if there is none.
type limits struct{ minimum, maximum int64 }

func (s shape) allowed() string { return s.about }

// schema returns the schema of a single value. The loader reads every single value as
// it is written, whatever its type in YAML: "5" is a number, and 5 is a text.
func (s shape) schema() object {
	var choices []any
	for t := range strings.FieldsSeq(cmp.Or(s.types, "string")) {
		switch {
		case s.enum != "":
			choices = []any{object{"enum": jsonOf(s.enum)}}
		case t == "string" && s.pattern == "":
			return object{"type": []any{"string", "number", "boolean"}}
		case t == "string":
			text := object{"type": typesMatching(s.pattern), "pattern": s.pattern}
			if s.maxLength > 0 {
				text["maxLength"] = s.maxLength
			}
			choices = append(choices, text)
		case t == "boolean":
			choices = append(choices, object{"type": "boolean"}, object{"enum": []any{"true", "false", "True", "False", "TRUE", "FALSE"}})
		default:
			number := object{"type": "integer", "minimum": s.limits.minimum}
			if s.limits.maximum < math.MaxInt64 {
				number["maximum"] = s.limits.maximum
			}
			choices = append(choices, number)
			if s.pattern == "" {
				choices = append(choices, object{"type": "string", "pattern": "^[+-]?[0-9]+$"})
			}
		}
	}
	return object{"anyOf": append(choices, refer("reference"))}
}

// typesMatching returns the types whose values, as they are written, may match a
// pattern.
func typesMatching(pattern string) any {
	types := []any{"string"}
	re := regexp.MustCompile(pattern)
	if re.MatchString("1") {
		types = append(types, "number")
	}
	if re.MatchString("true") {
		types = append(types, "boolean")
	}
	if len(types) == 1 {
		return types[0]
	}
	return types
}

// A keyTable describes a mapping with the given keys.
type keyTable []key

func (keys keyTable) allowed() string { return "a mapping" }

// keys returns the table of a section, nil for other values.
func (v value) keys() []key {
	keys, _ := v.describer.(keyTable)
	return keys
}

func (keys keyTable) schema() object {
	properties, required := object{}, []any{}
	for _, k := range keys {
		s := k.value.schema()
		if k.scout1 || k.value.keys() != nil {
			s = optional(s)
		}
		s["description"] = k.doc
		s["examples"] = []any{jsonOf(k.example)}
		if fallback := cmp.Or(k.initial, k.implied); fallback != "" {
			s["default"] = jsonOf(fallback)
		}
		properties[k.name] = s
		if k.required {
			required = append(required, k.name)
		}
	}
	s := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// optional also allows null and "", which mean that a key is absent.
func optional(s object) object {
	return object{"anyOf": []any{s, object{"enum": []any{nil, ""}}}}
}

// jsonOf returns the JSON value of a YAML text in the tables.
func jsonOf(text string) (v any) {
	_ = yaml.Unmarshal([]byte(text), &v) // cannot fail: a test reads all examples
	return v
}

// allowed describes the texts that a form accepts: in the words of its shape or,
// without them, of its error for any other text.
func (f form[T]) allowed() string {
	if f.about != "" {
		return f.about
	}
	_, err := f.parse("\x00")
	message, _, _ := strings.Cut(err.Error(), ";")
	message, _, _ = strings.Cut(message, ", such as")
	return strings.TrimPrefix(message, "must be ")
}

// A Section describes a mapping of the configuration.
type Section struct {
	Name string // the path of its key, such as redis.tls, or a title
	Doc  string // a sentence
	Keys []Key
}

// A Key describes a key.
type Key struct {
	Name     string
	Allowed  string // its possible values, in words
	Default  string // in YAML; "" if there is none or Doc says it
	Example  string // in YAML
	Doc      string // a sentence
	Required bool
}

// Sections returns the descriptions of all mappings, in the order of the file.
func Sections() (sections []Section) {
	for _, s := range tables() {
		out := Section{Name: s.name, Doc: s.doc}
		for _, k := range s.value.keys() {
			out.Keys = append(out.Keys, Key{k.name, k.value.allowed(), cmp.Or(k.initial, k.implied), k.example, k.doc, k.required})
		}
		sections = append(sections, out)
	}
	return sections
}

// A table is a section with its place in the file.
type table struct {
	name, doc string
	value     value
}

// tables returns the tables of all sections, in the order of the file.
func tables() []table {
	tables := []table{{"The file", "The whole file.", new(Config).section(false)}}
	for _, k := range tables[0].value.keys() {
		tables = appendTables(tables, k.name, k)
		if k.name == "queue" {
			worker, choice := workerSection(new(handler.Worker)), routing{attributes: true}.choiceSection(new(handler.Choice))
			tables = append(tables, table{"queue", k.doc, new(Queue).section(routing{}, false)},
				table{"Worker", "A job of this class, made from each message of a route. The class alone may stand in place of the mapping.", worker},
				table{"Choice", "A worker or another outcome, chosen by something in the message.", choice})
		}
	}
	return append(tables, table{"Test", "A message with the expected result.", new(Test).section(new(Config))})
}

func appendTables(tables []table, name string, k key) []table {
	if k.value.keys() == nil {
		return tables
	}
	tables = append(tables, table{name, k.doc, k.value})
	for _, child := range k.value.keys() {
		tables = appendTables(tables, name+"."+child.name, child)
	}
	return tables
}
