package config

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// A key is an entry in the table of a section. The tables alone determine which
// keys there are: reading, showing and the "allowed: ..." of errors use them, and
// so can documentation.
type key struct {
	name     string
	value    value
	scout1   bool   // null and "" mean that the key is absent, as in Scout 1.x
	required bool   // its absence is an error, unless its section is absent
	initial  string // the value if the key is absent; "" if that is not a constant
	implied  string // like initial, but left out when the configuration is shown
	doc      string // one sentence
	example  string // YAML
}

// A value is what a key holds, bound to the place where it is stored.
type value struct {
	describer

	// read stores the value of a node, or records an error. It stores nothing if
	// there is no value. If read is nil, the section's finish reads the value.
	read func(node)

	// show returns the stored value for YAML, or nil to leave the key out, which
	// it does for a zero value unless zeroes is true.
	show func(zeroes bool) any
}

// A describer describes the possible values of a key. It is an interface so the linker
// omits the methods from a program that calls neither Schema nor Sections, such as the
// Lambda function.
type describer interface {
	schema() object  // a JSON Schema
	allowed() string // in words
}

// single is a value of the given form, stored in target.
func single[T comparable](target *T, f form[T]) value {
	return value{
		describer: &f,
		read:      func(n node) { readInto(n, target, f) },
		show: func(zeroes bool) any {
			var zero T
			if *target == zero && !zeroes {
				return nil
			}
			return f.shown(*target)
		},
	}
}

// list is a list of values of the given form.
func list[T any](target *[]T, f form[T]) value {
	return value{
		describer: listOf{&f},
		read: func(n node) {
			if n.value == nil {
				return
			}
			for _, item := range n.list() {
				if v, ok := parsed(item, f); ok {
					*target = append(*target, v)
				}
			}
		},
		show: func(bool) any {
			var items []any
			for _, v := range *target {
				items = append(items, f.shown(v))
			}
			if items == nil {
				return nil
			}
			n := encoded(items)
			n.Style = yaml.FlowStyle
			return n
		},
	}
}

// section is a mapping with the given keys, which are read in order. Then finish
// reads what depends on several keys. An absent section is read like an empty one.
// Nothing is read from a value that is not a mapping.
func section(keys []key, finish func(node)) value {
	return value{
		describer: keyTable(keys),
		read: func(n node) {
			if !n.isSet() {
				n.value = nil
			}
			if n.value == nil || n.is(yaml.MappingNode) {
				n.readKeys(keys)
				finish(n)
			}
		},
		show: func(bool) any {
			var content []*yaml.Node
			for _, k := range keys {
				if v := k.value.show(k.initial != ""); v != nil {
					content = append(content, encoded(k.name), encoded(v))
				}
			}
			if content == nil {
				return nil
			}
			return &yaml.Node{Kind: yaml.MappingNode, Content: content}
		},
	}
}

// encoded returns what a show function returned as a YAML node.
func encoded(v any) *yaml.Node {
	var n yaml.Node
	_ = n.Encode(v) // no error: texts, numbers, bools, nodes and lists of them
	return &n
}

// readKeys reads a mapping, or an absent value, with the given keys.
func (n node) readKeys(keys []key) {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	for name, child := range n.mapping() {
		if !slices.Contains(names, name) {
			child.failUnknown(name, names)
		}
	}
	for _, k := range keys {
		k.read(n.child(k.name), n.value == nil)
	}
}

// read reads the value of the key in a section that may be absent itself.
func (k key) read(n node, absent bool) {
	if k.scout1 && !n.isSet() {
		n.value = nil
	}
	if k.initial != "" {
		k.value.read(n.with(k.initial))
	}
	if k.required && n.value == nil && !absent {
		n.fail("is required")
		return
	}
	if k.value.read != nil {
		k.value.read(n)
	}
}

// readInto stores a single value, if there is one.
func readInto[T any](n node, target *T, f form[T]) {
	if v, ok := parsed(n, f); ok {
		*target = v
	}
}

// parsed returns a single value, or records an error.
func parsed[T any](n node, f form[T]) (v T, ok bool) {
	text, ok := n.text()
	if !ok {
		return v, false
	}
	err := checkText(text, f.secret)
	if err == nil {
		v, err = f.parse(text)
	}
	if err != nil {
		n.fail("%v", err)
		return v, false
	}
	return v, true
}
