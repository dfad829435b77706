package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Errors is everything that is wrong with a configuration, ordered by line. Errors
// in the environment come first.
type Errors []*Error

// maxShown is the maximum number of errors that Error prints.
const maxShown = 100

// Error prints one error per line, up to 100.
func (e Errors) Error() string {
	var lines []string
	for _, err := range e[:min(len(e), maxShown)] {
		lines = append(lines, err.Error())
	}
	if len(e) > maxShown {
		lines = append(lines, fmt.Sprintf("and %d more errors", len(e)-maxShown))
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find each [Error].
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, err := range e {
		errs[i] = err
	}
	return errs
}

// inOrder sorts e and removes duplicates.
func (e Errors) inOrder() Errors {
	slices.SortFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Error(), b.Error()))
	})
	return slices.CompactFunc(e, func(a, b *Error) bool { return *a == *b })
}

// An Error is one thing that is wrong, and what is allowed instead. It names keys,
// parameters and environment variables, but never contains a value of the
// configuration, because that may be a secret in the wrong place.
type Error struct {
	Source  string // a file, "ssm:/path/name", or an environment variable
	Line    int    // 0 if there is none
	Key     string // the full key, such as "queue.topics.foo.retry"; "" if there is none
	Message string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Source)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Message)
	return b.String()
}
