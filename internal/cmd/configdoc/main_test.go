package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"scout/config"
)

// TestPageIsCurrent checks that the page matches the tables.
func TestPageIsCurrent(t *testing.T) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != page() {
		t.Error("docs/configuration.md is out of date; run go generate ./internal/cmd/configdoc")
	}
}

// TestExamples loads the configuration and the tests that head.md shows.
func TestExamples(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(head, -1)
	var c *config.Config
	loaded, tests := 0, 0
	for _, block := range blocks {
		text := block[1]
		switch {
		case strings.Contains(text, "queue:\n"):
			var err error
			loaded++
			if c, err = (config.Loader{Env: func(string) (string, bool) { return "", false }}).Load(t.Context(), text); err != nil {
				t.Errorf("%v\n%s", err, text)
			}
		case strings.HasPrefix(text, "- name:") && c != nil:
			name := filepath.Join(t.TempDir(), "scout_test.yml")
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			list, err := c.LoadTests(name)
			if err != nil {
				t.Errorf("%v\n%s", err, text)
			}
			tests += len(list)
		}
	}
	if loaded != 1 || tests != 5 {
		t.Errorf("loaded %d configurations and %d tests", loaded, tests)
	}
}

// TestEnvironment checks that the page names every variable that package config
// reads.
func TestEnvironment(t *testing.T) {
	files, err := filepath.Glob("../../../config/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`"((?:SCOUT|REDIS|AWS)_[A-Z_]+[A-Z])"`)
	found := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			if found++; !strings.Contains(head, "`"+m[1]+"`") && !strings.HasSuffix(file, "_test.go") {
				t.Errorf("%s is not in head.md", m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no variable found")
	}
}
