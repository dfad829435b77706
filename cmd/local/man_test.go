package main

import (
	"os/exec"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// TestManualFormats checks that groff formats the manual page without warnings.
func TestManualFormats(t *testing.T) {
	groff := env.Program(t, "groff", "the system's package; on Debian, groff-base")
	cmd := exec.Command(groff, "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=100n", "-rHY=0")
	cmd.Stdin = strings.NewReader(manual(newRootCommand(&options{})))
	var page, warnings strings.Builder
	cmd.Stdout, cmd.Stderr = &page, &warnings
	if err := cmd.Run(); err != nil || warnings.Len() > 0 {
		t.Fatalf("%v: %s", err, warnings.String())
	}
	if text := page.String(); !strings.Contains(text, "-c, --config FILE") {
		t.Errorf("the page shows no --config:\n%s", text)
	}
}

// TestExamples checks that the help of every command has an example that runs the
// command.
func TestExamples(t *testing.T) {
	root := newRootCommand(&options{})
	for _, cmd := range append(runnable(root), root) {
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, cmd.CommandPath()) {
				t.Errorf("%s: %q is no example", cmd.CommandPath(), line)
			}
		}
		if cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
	}
}

// TestManualIsComplete checks that the manual page has every command and flag
// that the help shows.
func TestManualIsComplete(t *testing.T) {
	root := newRootCommand(&options{})
	page := manual(root)
	if strings.Contains(page, ".SS scout man") {
		t.Error("a hidden command is in the manual")
	}
	for _, cmd := range runnable(root) {
		if !strings.Contains(page, ".SS "+cmd.CommandPath()) {
			t.Errorf("%s is not in the manual", cmd.CommandPath())
		}
		for word := range strings.FieldsSeq(cmd.UsageString()) {
			if flag := strings.TrimRight(word, ","); strings.HasPrefix(flag, "-") && !strings.Contains(page, roff(flag)) {
				t.Errorf("%s %s is not in the manual", cmd.Name(), flag)
			}
		}
	}
}

func TestRoff(t *testing.T) {
	for text, want := range map[string]string{
		"a-b":                  `a\-b`,
		`a\b`:                  `a\eb`,
		".TH":                  `\&.TH`,
		"one\n.two\n'three":    "one\n\\&.two\n\\&'three",
		"paragraph\n\nanother": "paragraph\n.PP\nanother",
	} {
		if got := roff(text); got != want {
			t.Errorf("roff(%q) = %q, want %q", text, got, want)
		}
	}
}
