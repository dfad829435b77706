package config

import (
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"scout/handler"
	"scout/sidekiq"
)

// tables are the tables of all sections, by their place in the file.
func tables() map[string]value {
	return map[string]value{
		"":                new(Config).section(false),
		"redis.":          new(Redis).section(),
		"redis.tls.":      tlsSection(new(sidekiq.TLS)),
		"redis.iam.":      iamSection(new(IAM)),
		"redis.wait.":     waitSection(new(sidekiq.Wait)),
		"aws.":            new(AWS).section("SQS"),
		"queue.":          new(Queue).section("default", false),
		"queue.topics.x.": workerSection(new(handler.Worker)),
		"queue.topics.y.": routing{"default", true}.choiceSection(new(handler.Choice)),
		"limits.":         new(Limits).section(),
		"tests[0].":       new(Test).section(new(Config)),
	}
}

// TestTables checks that every key is described in one sentence, and that its
// example and its default are values that it can have, of a type that it names.
func TestTables(t *testing.T) {
	for section, v := range tables() {
		for _, k := range v.keys {
			t.Run(section+k.name, func(t *testing.T) {
				if !strings.HasSuffix(k.doc, ".") || strings.Contains(k.doc, "\n") || strings.Contains(k.doc, ". ") {
					t.Errorf("the description is not a single sentence: %q", k.doc)
				}
				if k.example == "" || k.example == k.initial {
					t.Error("the example is missing, or is the default")
				}
				for _, text := range []string{k.example, k.initial} {
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
	types := map[string]string{"!!str": "string", "!!int": "integer", "!!bool": "boolean", "!!map": "object", "!!seq": "array"}
	want := v.types
	if want == "" {
		want = "string"
	}
	if !strings.Contains(want, types[found.ShortTag()]) {
		t.Errorf("%q is a %s, not a %s", text, types[found.ShortTag()], want)
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
	for section, v := range tables() {
		for _, k := range v.keys {
			// Each of these excludes another one that is there.
			if name := section + k.name; name == "queues" || name == "redis.host" || name == "redis.password" || strings.HasPrefix(name, "redis.iam") || name == "queue.name" {
				continue
			}
			if !regexp.MustCompile(`(?m)(^|[\s{])` + k.name + `:( |$)`).MatchString(full) {
				t.Errorf("%s is missing", section+k.name)
			}
		}
	}
}
