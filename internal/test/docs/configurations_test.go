package docs

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"scout/config"
)

// TestConfigurations loads every configuration in the documentation. It adds required
// keys that an example omits.
func TestConfigurations(t *testing.T) {
	loaded := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "yaml" {
				continue
			}
			t.Run(fmt.Sprintf("%s:%d", p.path, b.line), func(t *testing.T) {
				text, ok := complete(t, b.text)
				if !ok {
					t.Skip("this is no configuration of Scout")
				}
				loaded++
				if _, err := (config.Loader{LocalRedis: "redis://localhost:6379"}).Load(context.Background(), text); err != nil {
					t.Errorf("%v\n%s", err, text)
				}
			})
		}
	}
	if loaded < 10 {
		t.Errorf("loaded %d configurations, fewer than the documentation has", loaded)
	}
}

// complete adds the required keys that an example omits. It reports false if the
// example is not part of a configuration.
func complete(t *testing.T, example string) (text string, ok bool) {
	t.Helper()
	var document any
	if err := yaml.Unmarshal([]byte(example), &document); err != nil {
		t.Fatal(err)
	}
	keys, ok := document.(map[string]any)
	if !ok { // a list is a file of tests
		return "", false
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := keys[name]; ok {
				return true
			}
		}
		return false
	}
	example = strings.Replace(example, "workers: workers.json\n", "", 1) // a file of the app
	const someTopic = "topics: {some-topic: SomeWorker}"
	switch {
	case has("rule_files", "scrape_configs", "apiVersion", "Resources", "jobs"):
		return "", false
	case has("queue"):
		if queue, _ := keys["queue"].(map[string]any); queue["topics"] == nil && queue["plain"] == nil {
			return strings.Replace(example, "queue:\n", "queue:\n  "+someTopic+"\n", 1), true
		}
		return example, true
	case has("topics", "eventbridge", "s3", "plain"):
		return "queue:\n  " + strings.ReplaceAll(example, "\n", "\n  ") + "\n", true
	case has("queues"):
		return example, true
	}
	return example + "\nqueue: {" + someTopic + "}\n", true
}
