package config

import (
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestTables checks that every key is described in one sentence, and that its
// example and its default are values that it can have, of a type that it names.
func TestTables(t *testing.T) {
	for _, section := range tables() {
		if !strings.HasSuffix(section.doc, ".") {
			t.Errorf("the description of %s is not a sentence: %q", section.name, section.doc)
		}
		for _, k := range section.value.keys() {
			t.Run(section.name+"."+k.name, func(t *testing.T) {
				if !strings.HasSuffix(k.doc, ".") || strings.Contains(k.doc, "\n") || strings.Contains(k.doc, ". ") {
					t.Errorf("the description is not a single sentence: %q", k.doc)
				}
				if k.example == "" || k.example == k.initial || k.example == k.implied {
					t.Error("the example is missing, or is the default")
				}
				for _, text := range []string{k.example, k.initial, k.implied} {
					if text != "" {
						checkExample(t, k.value, text)
					}
				}
			})
		}
	}
}

func checkExample(t *testing.T, v value, text string) {
	t.Helper()
	var tree yaml.Node
	if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	found := tree.Content[0]
	if err := compiled(t, v.schema()).Validate(jsonValue(found)); err != nil {
		t.Errorf("%q does not match the schema: %v", text, err)
	}
	d := &document{source: "example", env: vars()}
	if v.read != nil {
		v.read(node{document: d, value: found})
	}
	if len(d.errs) > 0 {
		t.Errorf("%q: %v", text, d.errs)
	}
}

// TestFullHasAllKeys keeps the constant full complete.
func TestFullHasAllKeys(t *testing.T) {
	for _, section := range tables() {
		for _, k := range section.value.keys() {
			// Each of these excludes another one that is there.
			if name := section.name + "." + k.name; name == "The file.queues" || name == "redis.host" || name == "redis.password" || strings.HasPrefix(name, "redis.iam") || name == "queue.name" {
				continue
			}
			if !regexp.MustCompile(`(?m)(^|[\s{])` + k.name + `:( |$)`).MatchString(full + withWorkers) {
				t.Errorf("%s.%s is missing", section.name, k.name)
			}
		}
	}
}
