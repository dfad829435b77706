package template

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// answers are the parameters of an answer file, by name, as SAM passes them on.
type answers map[string]string

func parseAnswers(text string) (answers, error) {
	var file map[string]any
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return nil, err
	}
	a := answers{}
	for name, value := range file {
		switch value := value.(type) {
		case string:
			a[name] = value
		case int:
			a[name] = fmt.Sprint(value)
		case []any:
			items := make([]string, len(value))
			for i, item := range value {
				items[i] = fmt.Sprint(item)
			}
			a[name] = strings.Join(items, ",")
		default: // SAM would write it in Python's syntax
			return nil, fmt.Errorf("%s: put %v in quotes", name, value)
		}
	}
	return a, nil
}

// answerComplaints checks answers as CloudFormation would.
func answerComplaints(d document, text string) (all []string) {
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	a, err := parseAnswers(text)
	if err != nil {
		complain("%v", err)
		return all
	}
	for name, value := range a {
		p, ok := d.Parameters[name]
		switch {
		case !ok:
			complain("the template has no parameter %s", name)
		case name == "Release":
			complain("Release must not be set by hand")
		case !p.allows(value):
			complain("%s: %q does not match %s", name, value, p.AllowedPattern)
		case !slices.Contains(p.AllowedValues, value) && p.AllowedValues != nil:
			complain("%s: %q is not one of %v", name, value, p.AllowedValues)
		case value != "" && strings.HasPrefix(name, "Filter") && name != "FilterScope" && json.Unmarshal([]byte(value), &map[string]any{}) != nil:
			complain("%s: %q is not JSON", name, value)
		case value != "" && strings.HasPrefix(name, "Topic") && a["Profile"] == "fifo" && !strings.HasSuffix(value, ".fifo"):
			complain("%s: only FIFO topics can deliver to a FIFO queue", name)
		}
	}
	for _, violation := range d.configure(a).violations() {
		complain("%s", violation)
	}
	for name, p := range d.Parameters {
		if _, ok := a[name]; !ok && p.Default == nil && name != "Release" {
			complain("%s is missing", name)
		}
	}
	return all
}

// allows reports whether the pattern allows a value, or each value of a list.
func (p parameter) allows(value string) bool {
	values := []string{value}
	if p.Type == "CommaDelimitedList" {
		values = strings.Split(value, ",")
	}
	pattern := regexp.MustCompile("^(" + p.AllowedPattern + ")$")
	return p.AllowedPattern == "" || !slices.ContainsFunc(values, func(v string) bool { return !pattern.MatchString(v) })
}

func TestAnswers(t *testing.T) {
	d := parse(t, readFile(t, "../../../template.yaml"))
	files, err := filepath.Glob("../../../deploy/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("the answer files are %v (%v)", files, err)
	}
	environments := environments(readFile(t, "../../../samconfig.toml"))
	for _, file := range files {
		for _, c := range answerComplaints(d, readFile(t, file)) {
			t.Errorf("%s: %s", file, c)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if environments[name+".deploy"] == nil {
			t.Errorf("%s: samconfig.toml has no environment %s", file, name)
		}
	}
}

func TestEnvironments(t *testing.T) {
	d := parse(t, readFile(t, "../../../template.yaml"))
	for _, c := range environmentComplaints(d, readFile(t, "../../../samconfig.toml")) {
		t.Error(c)
	}
}

// environmentComplaints checks samconfig.toml.
func environmentComplaints(d document, text string) (all []string) {
	release := regexp.MustCompile("^" + d.Parameters["Release"].AllowedPattern + "$")
	stacks := map[string]bool{}
	for section, settings := range environments(text) {
		name, isDeploy := strings.CutSuffix(section, ".deploy")
		if !isDeploy {
			continue
		}
		complain := func(format string, args ...any) {
			all = append(all, name+": "+fmt.Sprintf(format, args...))
		}
		var overrides []string
		_ = json.Unmarshal([]byte(settings["parameter_overrides"]), &overrides)
		if len(overrides) != 2 || overrides[0] != "file://deploy/"+name+".yaml" {
			complain("the overrides are not its answer file and a release: %s", settings["parameter_overrides"])
			continue
		}
		// Only make deploy knows the release. Without one, SAM would silently
		// reuse that of the last deployment and publish nothing.
		if made, ok := strings.CutPrefix(overrides[1], "Release="); !ok || release.MatchString(made) {
			complain("sam deploy without a release does not fail")
		}
		for _, key := range []string{"stack_name", "region", "capabilities", "resolve_s3"} {
			if settings[key] == "" {
				complain("%s is missing", key)
			}
		}
		if stacks[settings["stack_name"]] {
			complain("another environment deploys the stack %s", settings["stack_name"])
		}
		stacks[settings["stack_name"]] = true
	}
	if len(stacks) < 2 {
		all = append(all, "there are fewer than two environments")
	}
	return all
}

var (
	tomlSection = regexp.MustCompile(`(?m)^\[([\w.-]+)\.parameters\]$`)
	tomlSetting = regexp.MustCompile(`(?m)^(\w+) = ("[^"]*"|\[.*\]|\w+)`)
)

// environments parses the subset of TOML that samconfig.toml uses. It returns the
// settings of each section, by "environment.command".
func environments(text string) map[string]map[string]string {
	sections := map[string]map[string]string{}
	starts := tomlSection.FindAllStringSubmatchIndex(text, -1)
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1][0]
		}
		settings := map[string]string{}
		for _, setting := range tomlSetting.FindAllStringSubmatch(text[start[1]:end], -1) {
			settings[setting[1]] = setting[2]
		}
		sections[text[start[2]:start[3]]] = settings
	}
	return sections
}
