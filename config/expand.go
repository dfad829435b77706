package config

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// maxValues is the maximum number of values in a configuration once its aliases
// are expanded: enough for thousands of topics, too few for a "billion laughs".
const maxValues = 100_000

// maxDepth is the maximum nesting of values.
const maxDepth = 100

// An expander copies a YAML tree. It replaces aliases by what they stand for, and
// merges merge keys (<<).
type expander struct {
	left int                 // values that the copy may still get
	open map[*yaml.Node]bool // nodes being expanded
}

// expand returns the copy, or an error with only a line and a message.
func (e *expander) expand(n *yaml.Node) (*yaml.Node, *Error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if e.left--; e.left < 0 {
		return nil, &Error{Line: n.Line, Message: fmt.Sprintf("has more than %d values once its aliases are expanded", maxValues)}
	}
	if e.open[n] {
		return nil, &Error{Line: n.Line, Message: "has an anchor that contains itself"}
	}
	if len(e.open) == maxDepth {
		return nil, &Error{Line: n.Line, Message: fmt.Sprintf("is nested deeper than %d levels", maxDepth)}
	}
	e.open[n] = true
	defer delete(e.open, n)

	result := *n
	result.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		var err *Error
		if result.Content[i], err = e.expand(child); err != nil {
			return nil, err
		}
	}
	if result.Kind == yaml.MappingNode {
		if err := merge(&result); err != nil {
			return nil, err
		}
	}
	return &result, nil
}

// merge merges the merge keys of a mapping whose children are expanded. The
// mapping's own keys override merged ones, and earlier merged mappings override
// later ones: https://yaml.org/type/merge.html.
func merge(mapping *yaml.Node) *Error {
	var own, merged []*yaml.Node
	have := map[string]bool{}
	for key, value := range pairs(mapping) {
		switch {
		case key.ShortTag() != "!!merge":
			own = append(own, key, value)
			have[key.Value] = true
		case value.Kind == yaml.SequenceNode:
			merged = append(merged, value.Content...)
		default:
			merged = append(merged, value)
		}
	}
	for _, m := range merged {
		if m.Kind != yaml.MappingNode {
			return &Error{Line: m.Line, Message: "merges (<<) something that is not a mapping"}
		}
		for key, value := range pairs(m) {
			if !have[key.Value] {
				own = append(own, key, value)
				have[key.Value] = true
			}
		}
	}
	mapping.Content = own
	return nil
}
