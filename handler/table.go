package handler

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// A table finds the route whose key matches a text.
type table struct {
	exact    map[string]*route
	patterns []*route // the longest first
	matches  *matches
}

// A route is a Route, compiled.
type route struct {
	Route
	node *node
}

// matches are the results of matching patterns, of all tables of a Router.
// Matching a thousand patterns takes longer than all else that is done with a
// message.
type matches struct {
	mu     sync.RWMutex
	routes map[match]*route
}

type match struct {
	table *table
	text  string
}

// A forged message can have any text, so memory for matches must not grow without
// bound.
const (
	maxMatches     = 4096
	maxMatchedText = 256
)

func newTable(routes []Route, m *matches) *table {
	t := &table{exact: make(map[string]*route, len(routes)), matches: m}
	for _, r := range routes {
		compiled := &route{r, r.Outcome.compile(m)}
		if strings.ContainsAny(r.Key, "*?") {
			t.patterns = append(t.patterns, compiled)
		} else {
			t.exact[r.Key] = compiled
		}
	}
	slices.SortFunc(t.patterns, func(a, b *route) int {
		return cmp.Or(cmp.Compare(len(b.Key), len(a.Key)), strings.Compare(a.Key, b.Key))
	})
	return t
}

// isEmpty reports whether the table has no routes at all.
func (t *table) isEmpty() bool { return len(t.exact)+len(t.patterns) == 0 }

// find returns the route for a text, or nil if none matches.
func (t *table) find(text string) *route {
	if found, ok := t.exact[text]; ok {
		return found
	}
	if len(t.patterns) == 0 {
		return nil
	}
	if len(text) > maxMatchedText {
		return t.match(text)
	}
	m := t.matches
	m.mu.RLock()
	found, ok := m.routes[match{t, text}]
	m.mu.RUnlock()
	if !ok {
		found = t.match(text)
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.routes) == maxMatches {
			clear(m.routes)
		}
		m.routes[match{t, strings.Clone(text)}] = found
	}
	return found
}

// match returns the route of the first pattern that matches a text.
func (t *table) match(text string) *route {
	for _, r := range t.patterns {
		if MatchPattern(r.Key, text) {
			return r
		}
	}
	return nil
}

// MatchPattern reports whether a pattern matches all of a text. Unlike in
// path.Match, * matches any characters, and no others than * and ? are special.
func MatchPattern(pattern, text string) bool {
	p, i := 0, 0
	star, resume := -1, 0 // the last * and where its match ends
	for i < len(text) {
		switch _, size := utf8.DecodeRuneInString(text[i:]); {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			p++
			i += size
		case p < len(pattern) && pattern[p] == text[i]:
			p++
			i++
		case star >= 0: // let the last * match one more
			_, size := utf8.DecodeRuneInString(text[resume:])
			resume += size
			p, i = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
