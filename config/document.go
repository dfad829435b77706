package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A document is a configuration being read: where it is from, the environment
// beside it, and what was found to be wrong.
type document struct {
	source     string
	env        func(string) (string, bool)
	unresolved map[*yaml.Node]bool // references without a value: not to be read
	errs       Errors
}

// parse returns the root mapping of text, free of aliases and merge keys.
func (d *document) parse(text []byte) (node, *Error) {
	tree, err := decode(text)
	if err == nil {
		e := expander{left: maxValues, open: map[*yaml.Node]bool{}}
		tree, err = e.expand(tree)
	}
	switch {
	case err != nil:
	case isNull(tree):
		err = &Error{Message: "is empty"}
	case tree.Kind != yaml.MappingNode:
		err = &Error{Line: tree.Line, Message: "must be a mapping with the keys redis, queue and others"}
	default:
		return node{document: d, value: tree, source: d.source, line: tree.Line}, nil
	}
	err.Source = d.source
	return node{}, err
}

// decode returns the value of the only YAML document in text. Its errors have
// no source.
func decode(text []byte) (*yaml.Node, *Error) {
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
		return nil, &Error{Line: second.Line, Message: "must be one YAML document; a second one begins here"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err, text)
	}
	return first.Content[0], nil
}

var (
	yamlError     = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)

	// The errors of the YAML package's parser, which counts lines from 0, as
	// opposed to its scanner (parserc.go; decode.go, func fail).
	parserError = regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<)|^found (undefined|duplicate|incompatible) `)
)

// syntaxError takes the line and the message out of an error of the YAML
// package. That package's messages are fixed texts, but for one: it quotes an
// unknown anchor, which may be a password that begins with an asterisk.
func syntaxError(err error, text []byte) *Error {
	parts := yamlError.FindStringSubmatch(err.Error())
	if parts == nil {
		return &Error{Message: "is not YAML"}
	}
	line, _ := strconv.Atoi(parts[1]) // none: 0
	message := parts[2]
	if parserError.MatchString(message) {
		line++
	}
	if anchor := unknownAnchor.FindStringSubmatch(message); anchor != nil {
		message = "an alias to an anchor that is not there; a value that begins with * needs quotes"
		if i := bytes.Index(text, []byte("*"+anchor[1])); i >= 0 {
			line = 1 + bytes.Count(text[:i], []byte("\n"))
		}
	}
	return &Error{Line: line, Message: "is not YAML: " + message}
}
