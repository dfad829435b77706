package config

import (
	"bytes"
	"errors"
	"io"

	"go.yaml.in/yaml/v3"
)

// A document is a configuration that is being read, with its environment and
// the errors found so far.
type document struct {
	source     string
	dir        string // of the file that holds the document; "" if none does
	ignoresAWS bool   // see Loader.LocalRedis
	readsTests bool   // see Loader.Tests
	env        func(string) (string, bool)
	unresolved map[*yaml.Node]bool // references without a value, which must not be read
	errs       Errors
	warnings   Errors
}

// parse returns the root of text, which must be a mapping or a list, without aliases
// and merge keys.
func (d *document) parse(text []byte, kind yaml.Kind) (node, *Error) {
	tree, err := decode(text)
	if err == nil {
		e := expander{left: maxValues, open: map[*yaml.Node]bool{}}
		tree, err = e.expand(tree)
	}
	switch {
	case err != nil:
	case isNull(tree):
		err = &Error{Message: "is empty"}
	case tree.Kind != kind && kind == yaml.MappingNode:
		err = &Error{Line: tree.Line, Message: "must be a mapping with keys such as redis and queue"}
	case tree.Kind != kind:
		err = &Error{Line: tree.Line, Message: "must be a list of tests, each of which starts with a dash and a space; give a configuration with --config"}
	default:
		return node{document: d, value: tree, source: d.source, line: tree.Line}, nil
	}
	err.Source = d.source
	return node{}, err
}

// decode returns the value of the only YAML document in text. Its errors have no
// source.
func decode(text []byte) (*yaml.Node, *Error) {
	if err := checkEncoding(text); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var first, second yaml.Node
	err := decoder.Decode(&first)
	if errors.Is(err, io.EOF) {
		return nil, &Error{Message: "is empty"}
	}
	if err == nil {
		err = decoder.Decode(&second)
	}
	switch {
	case err == nil:
		return nil, &Error{Line: second.Line, Message: "must be a single YAML document, but a second one starts here"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err, text)
	}
	return first.Content[0], nil
}
