package config

import (
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"
)

// A node is a value of the document, or the place where one is absent.
type node struct {
	*document
	value  *yaml.Node // never an alias; nil if there is no value
	source string
	line   int
	path   path
}

// A path says where in the document a node is. Only errors need its text, so String
// builds it on demand: building it for every node took half of the time to load.
type path struct {
	parent *path
	key    string
	list   bool // the node is the element of a list with this index
	index  int
}

// fail records an error, which must not contain the value.
func (n node) fail(format string, args ...any) {
	n.errs = append(n.errs, &Error{n.source, n.line, n.path.String(), fmt.Sprintf(format, args...)})
}

// warn records a warning, which may contain the value.
func (n node) warn(format string, args ...any) {
	n.warnings = append(n.warnings, &Error{n.source, n.line, n.path.String(), fmt.Sprintf(format, args...)})
}

// failUnknown records that the key, whose last part is name, is not one of the allowed keys.
func (n node) failUnknown(name string, allowed []string) {
	hint := ""
	if meant := closest(name, allowed); meant != "" {
		hint = fmt.Sprintf("did you mean %q? ", meant)
	} else if strings.Contains(name, ":") && isNull(n.value) {
		hint = "is a space missing after its colon? "
	} else if err := checkEdges(name); err != nil {
		hint = fmt.Sprintf("it %v; ", err)
	}
	n.fail("unknown key; %sallowed: %s", hint, strings.Join(allowed, ", "))
}

// with returns n with a text as its value.
func (n node) with(text string) node {
	n.value = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	return n
}

// variable returns the first of some environment variables that is not empty,
// without a line break at its end.
func (n node) variable(names ...string) node {
	v := node{document: n.document}
	for _, v.source = range names {
		text, _ := n.env(v.source)
		if text = trimLineBreak(text); text != "" {
			return v.with(text)
		}
	}
	return v
}

// child returns the value of a key, which may be absent, without any check. Its path
// refers to n, of which there is therefore one copy for all keys.
func (n *node) child(key string) node {
	child := node{document: n.document, source: n.source, line: n.line, path: path{parent: &n.path, key: key}}
	if n.value != nil && n.value.Kind == yaml.MappingNode {
		for k, v := range pairs(n.value) {
			if k.Kind == yaml.ScalarNode && k.Value == key {
				child.value, child.line = v, k.Line
				break
			}
		}
	}
	return child
}

// mapping returns the values of a mapping by key. Duplicate keys are skipped and
// are errors, and so is a value that is not a mapping.
func (n node) mapping() iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		if n.value == nil || !n.is(yaml.MappingNode) {
			return
		}
		for key := range pairs(n.value) {
			if key.Kind != yaml.ScalarNode {
				n.line = key.Line
				n.fail("has %s as a key; write a plain name before the colon%s", kinds[key.Kind].name, bracesHint(key))
			}
		}
		lines := map[string]int{}
		for key, child := range n.children() {
			if first, ok := lines[key]; ok {
				child.fail("duplicate key; first on line %d", first)
				continue
			}
			lines[key] = child.line
			if !yield(key, child) {
				return
			}
		}
	}
}

// list returns the values of a list. A value that is not a list, or an empty list, is an error.
func (n node) list() []node {
	if !n.is(yaml.SequenceNode) {
		return nil
	}
	var items []node
	for _, item := range n.children() {
		items = append(items, item)
	}
	if len(items) == 0 {
		n.fail("must not be empty")
	}
	return items
}

// text returns a single value as it is written, whatever its YAML type. Any
// other value is an error. It reports false if there is no text to parse.
func (n node) text() (string, bool) {
	switch {
	case n.value == nil || n.unresolved[n.value] || !n.is(yaml.ScalarNode):
		return "", false
	case isNull(n.value) && n.value.Anchor != "":
		n.fail("has no value; quote a value that starts with &")
		return "", false
	case isNull(n.value):
		n.fail("has no value")
		return "", false
	}
	return n.value.Value, true
}

// isSet reports whether there is a value other than null and "".
func (n node) isSet() bool {
	switch {
	case n.value == nil || isNull(n.value):
		return n.value != nil && n.value.Anchor != "" // an error; see text
	case n.value.Kind == yaml.ScalarNode:
		return n.value.Value != ""
	}
	return true
}

// kinds are the kinds of values, their names in errors, and the YAML tags that
// they may have.
var kinds = map[yaml.Kind]struct {
	name string
	tags []string
}{
	yaml.MappingNode:  {"a mapping", []string{"!!map"}},
	yaml.SequenceNode: {"a list", []string{"!!seq"}},
	yaml.ScalarNode:   {"a single value", []string{"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!merge"}},
}

// is reports whether the value is of a kind. Another kind is an error.
func (n node) is(kind yaml.Kind) bool {
	switch {
	case isNull(n.value) && kind != yaml.ScalarNode:
		n.fail("has no value; must be %s", kinds[kind].name)
	case n.value.Kind != kind:
		n.fail("must be %s, not %s%s", kinds[kind].name, kinds[n.value.Kind].name, n.kindHint(kind))
	case !slices.Contains(kinds[kind].tags, n.value.ShortTag()):
		n.fail("has an unknown YAML tag; quote a value that starts with !")
	default:
		return true
	}
	return false
}

// kindHint says what to write to get a value of a kind.
func (n node) kindHint(kind yaml.Kind) string {
	isBlock := n.value.Style&yaml.FlowStyle == 0
	switch {
	case kind == yaml.ScalarNode:
		return bracesHint(n.value)
	case kind == yaml.SequenceNode && n.value.Kind == yaml.MappingNode && isBlock:
		return "; start each item with a dash and a space"
	case kind == yaml.MappingNode && n.value.Kind == yaml.SequenceNode && isBlock:
		return "; write key: value, without a dash"
	case kind == yaml.MappingNode && strings.Contains(n.value.Value, ":"):
		return "; put a space after the colon of a key"
	}
	return ""
}

// bracesHint explains {{ name }}, which YAML takes for a mapping in a mapping.
func bracesHint(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode {
		return "; {{ }} is a placeholder that another tool should have filled in"
	}
	return ""
}

// children returns the values of a mapping, by key, or of a list, without any check.
func (n node) children() iter.Seq2[string, node] {
	return func(yield func(string, node) bool) {
		if n.value == nil {
			return
		}
		child := n
		switch n.value.Kind {
		case yaml.MappingNode:
			for key, value := range pairs(n.value) {
				if key.Kind != yaml.ScalarNode {
					continue // an error; see mapping
				}
				child.value, child.line, child.path = value, key.Line, path{parent: &n.path, key: key.Value}
				if !yield(key.Value, child) {
					return
				}
			}
		case yaml.SequenceNode:
			for i, value := range n.value.Content {
				child.value, child.line, child.path = value, value.Line, path{parent: &n.path, list: true, index: i}
				if !yield("", child) {
					return
				}
			}
		}
	}
}

// pairs returns the keys and values of a YAML mapping.
func pairs(mapping *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(k, v *yaml.Node) bool) {
		for pair := range slices.Chunk(mapping.Content, 2) {
			if !yield(pair[0], pair[1]) {
				return
			}
		}
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// maxKey is the maximum length of a key in an error, enough for a topic's ARN.
const maxKey = 400

// printableKey matches topics, classes, other plain keys, and an event's
// source/detail-type. It is compiled at the first error, not at each start.
var printableKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(arn:[\w:-]+|[A-Z]\w*(::[A-Z]\w*)*|[\w.*?-]+|[\w.*?-]+/[\w.*? -]+)$`)
})

// String returns the full key. A key with unusual characters is not shown, since
// in {password:hunter2}, where a space is missing, all of it is the key.
func (p path) String() string {
	if p.parent == nil {
		return ""
	}
	parent := p.parent.String()
	if p.list {
		return fmt.Sprintf("%s[%d]", parent, p.index)
	}
	key := p.key
	if len(key) > maxKey || !printableKey().MatchString(key) {
		key = "(not shown)"
	}
	if parent == "" {
		return key
	}
	return parent + "." + key
}
