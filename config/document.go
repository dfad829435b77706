package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// A document is a configuration that is being read, with its environment and
// the errors found so far.
type document struct {
	source     string
	ignoresAWS bool // see Loader.LocalRedis
	env        func(string) (string, bool)
	unresolved map[*yaml.Node]bool // references without a value, which must not be read
	errs       Errors
}

// parse returns the root mapping of text, without aliases and merge keys.
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
		err = &Error{Line: tree.Line, Message: "must be a mapping with keys such as redis and queue"}
	default:
		return node{document: d, value: tree, source: d.source, line: tree.Line}, nil
	}
	err.Source = d.source
	return node{}, err
}

// decode returns the value of the only YAML document in text. Its errors have no
// source.
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
		return nil, &Error{Line: second.Line, Message: "must be a single YAML document, but a second one starts here"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err, text)
	}
	return first.Content[0], nil
}

// syntaxError takes the line and the message from an error of the YAML package.
// The messages of that package are constant, except that one quotes an unknown
// anchor, which may be a password that starts with an asterisk.
func syntaxError(err error, text []byte) *Error {
	// These are compiled only when they are needed, for the start of the Lambda function.
	parts := regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(err.Error())
	if parts == nil {
		return &Error{Message: "is not valid YAML"}
	}
	line, _ := strconv.Atoi(parts[1]) // 0 if there is none
	message := parts[2]
	// The package's parser counts lines from 0, its scanner from 1 (parserc.go;
	// decode.go, func fail).
	parserError := regexp.MustCompile(`^did not find expected (key|node content|'-' indicator|',' or|<)|^found (undefined|duplicate|incompatible) `)
	if parserError.MatchString(message) {
		line++
	}
	unknownAnchor := regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
	if anchor := unknownAnchor.FindStringSubmatch(message); anchor != nil {
		message = "an alias to an undefined anchor; quote a value that starts with *"
		if i := bytes.Index(text, []byte("*"+anchor[1])); i >= 0 {
			line = 1 + bytes.Count(text[:i], []byte("\n"))
		}
	}
	return &Error{Line: line, Message: "is not valid YAML: " + message}
}
