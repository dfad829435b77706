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

// parseParameters returns the parameters of a parameter file, by name, as SAM passes
// them on.
func parseParameters(text string) (map[string]string, error) {
	var file map[string]any
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		return nil, err
	}
	parameters := map[string]string{}
	for name, value := range file {
		switch value := value.(type) {
		case string:
			parameters[name] = value
		case int:
			parameters[name] = fmt.Sprint(value)
		case []any:
			items := make([]string, len(value))
			for i, item := range value {
				items[i] = fmt.Sprint(item)
			}
			parameters[name] = strings.Join(items, ",")
		default: // SAM would write it in Python's syntax
			return nil, fmt.Errorf("%s: put %v in quotes", name, value)
		}
	}
	return parameters, nil
}

// parameterComplaints checks a parameter file as CloudFormation would.
func parameterComplaints(d document, text string) (all []string) {
	complain := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	parameters, err := parseParameters(text)
	if err != nil {
		complain("%v", err)
		return all
	}
	for name, value := range parameters {
		p, ok := d.Parameters[name]
		switch {
		case !ok:
			complain("the template has no parameter %s", name)
		case !p.allows(value):
			complain("%s: %q does not match %s", name, value, p.AllowedPattern)
		case !slices.Contains(p.AllowedValues, value) && p.AllowedValues != nil:
			complain("%s: %q is not one of %v", name, value, p.AllowedValues)
		case strings.HasPrefix(name, "Filter") && p.Type == "String" && name != "FilterScope" && json.Unmarshal([]byte(value), &map[string]any{}) != nil:
			complain("%s: %q is not JSON", name, value)
		case strings.Contains(name, "Topics") && parameters["Profile"] == "fifo" && strings.Count(value+",", ".fifo,") != strings.Count(value+",", ","):
			complain("%s: only FIFO topics can deliver to a FIFO queue", name)
		}
	}
	for _, name := range d.create(parameters).twice {
		complain("%s exists twice", name)
	}
	for _, violation := range d.configure(parameters).violations() {
		complain("%s", violation)
	}
	for name, p := range d.Parameters {
		if _, ok := parameters[name]; !ok && p.Default == nil {
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

func TestParameterFiles(t *testing.T) {
	d := parse(t, readFile(t, "../../../template.yaml"))
	files, err := filepath.Glob("../../../deploy/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("the parameter files are %v (%v)", files, err)
	}
	environments := environments(readFile(t, "../../../samconfig.toml"))
	for _, file := range files {
		for _, c := range parameterComplaints(d, readFile(t, file)) {
			t.Errorf("%s: %s", file, c)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if environments[name+".deploy"] == nil {
			t.Errorf("%s: samconfig.toml has no environment %s", file, name)
		}
	}
}

func TestEnvironments(t *testing.T) {
	for _, c := range environmentComplaints(readFile(t, "../../../samconfig.toml")) {
		t.Error(c)
	}
}

// environmentComplaints checks samconfig.toml.
func environmentComplaints(text string) (all []string) {
	stacks := map[string]bool{}
	sections := environments(text)
	for section, global := range sections {
		name, ok := strings.CutSuffix(section, ".global")
		if !ok {
			continue
		}
		complain := func(format string, args ...any) {
			all = append(all, name+": "+fmt.Sprintf(format, args...))
		}
		if global["language_extensions"] != "true" {
			complain("SAM cannot read Fn::ForEach")
		}
		if name == "default" { // for sam validate and sam local invoke
			continue
		}
		// For sam build, too, which takes the architecture from it.
		if got := global["parameter_overrides"]; got != `["file://deploy/`+name+`.yaml"]` {
			complain("the overrides are not its parameter file: %s", got)
		}
		for _, setting := range []string{"global stack_name", "global region", "deploy capabilities", "deploy resolve_s3"} {
			command, key, _ := strings.Cut(setting, " ")
			if sections[name+"."+command][key] == "" {
				complain("%s is missing", key)
			}
		}
		if stacks[global["stack_name"]] {
			complain("another environment deploys the stack %s", global["stack_name"])
		}
		stacks[global["stack_name"]] = true
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
