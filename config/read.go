package config

import "go.yaml.in/yaml/v3"

// parsed returns a single value, or notes what is wrong with it. The error of
// parse says what is allowed, and never what is there.
func parsed[T any](n node, parse func(text string) (T, error)) (value T, ok bool) {
	text, ok := n.text()
	if !ok {
		return value, false
	}
	value, err := parse(text)
	if err != nil {
		n.fail("%v", err)
		return value, false
	}
	return value, true
}

// into reads a single value.
func into[T any](target *T, parse func(text string) (T, error)) reader {
	return func(n node) {
		if value, ok := parsed(n, parse); ok {
			*target = value
		}
	}
}

// listInto reads a list of single values.
func listInto[T any](target *[]T, parse func(text string) (T, error)) reader {
	return func(n node) {
		if n.value == nil {
			return
		}
		for _, item := range n.list() {
			if value, ok := parsed(item, parse); ok {
				*target = append(*target, value)
			}
		}
	}
}

// v1 reads a key that Scout 1.x had, where no value or "" was the same as no key.
func v1(read reader) reader {
	return func(n node) {
		if !n.given() {
			n.value = nil
		}
		read(n)
	}
}

// section reads a mapping, which may be absent. If it is anything else, nothing
// that is missing in it is worth an error.
func section(read reader) reader {
	return v1(func(n node) {
		if n.value == nil || n.is(yaml.MappingNode) {
			read(n)
		}
	})
}

// required reads a key that must be there.
func required(read reader) reader {
	return func(n node) {
		if n.value == nil {
			n.fail("is required")
			return
		}
		read(n)
	}
}
