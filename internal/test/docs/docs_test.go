// Package docs tests the documentation: links have targets, configurations load,
// commands exist, and transcripts match the output of the commands.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const root = "../../.."

// A page is a Markdown file.
type page struct {
	path   string // relative to the root of the project
	text   string
	blocks []block
}

// A block is a fenced block of code.
type block struct {
	language string
	line     int // of the opening fence, from 1
	text     string
}

// pages returns the pages of the project that users read.
func pages(t *testing.T) []page {
	t.Helper()
	var all []page
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			relative, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, page{relative, string(text), blocks(string(text))})
		}
	}
	if len(all) < 10 {
		t.Fatalf("found %d pages, fewer than the documentation has", len(all))
	}
	return all
}

// blocks returns the fenced blocks of a text, without the indentation of the
// list item that they belong to.
func blocks(text string) (all []block) {
	var current *block
	indent := ""
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		fence, isFence := strings.CutPrefix(trimmed, "```")
		switch {
		case isFence && current == nil:
			indent = line[:len(line)-len(trimmed)]
			current = &block{language: fence, line: i + 1}
		case isFence:
			all = append(all, *current)
			current = nil
		case current != nil:
			current.text += strings.TrimPrefix(line, indent) + "\n"
		}
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
	fenced  = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
	code    = regexp.MustCompile("`[^`\n]*`")
)

// anchors returns the anchors that GitHub makes of a page's headings.
func anchors(text string) []string {
	var all []string
	for _, match := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(match[1]))
		all = append(all, anchor)
	}
	return all
}

// TestLinks checks that every relative link leads to a file and, if it names one,
// to a heading.
func TestLinks(t *testing.T) {
	found := 0
	for _, p := range pages(t) {
		prose := code.ReplaceAllString(fenced.ReplaceAllString(p.text, ""), "")
		for _, match := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			found++
			path, anchor, _ := strings.Cut(match[1], "#")
			target := filepath.Join(root, p.path)
			if path != "" {
				target = filepath.Join(root, filepath.Dir(p.path), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s leads to no file", p.path, match[1])
				continue
			}
			if anchor == "" {
				continue
			}
			text, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(anchors(string(text)), anchor) {
				t.Errorf("%s: the link %s leads to no heading", p.path, match[1])
			}
		}
	}
	if found < 50 {
		t.Errorf("found %d links, which cannot be all", found)
	}
}

// TestEveryPageIsLinked checks that the README or another page leads to each page.
func TestEveryPageIsLinked(t *testing.T) {
	linked := map[string]bool{}
	all := pages(t)
	for _, p := range all {
		for _, match := range link.FindAllStringSubmatch(p.text, -1) {
			path, _, _ := strings.Cut(match[1], "#")
			if path != "" {
				linked[filepath.Join(filepath.Dir(p.path), path)] = true
			}
		}
	}
	for _, p := range all {
		if strings.HasPrefix(p.path, "docs/") && !linked[p.path] {
			t.Errorf("no page links to %s", p.path)
		}
	}
}
