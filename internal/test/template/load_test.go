package template

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A document is a template as written. Intrinsic functions are maps with one key,
// such as {"Ref": "Queue"}, as in CloudFormation's JSON.
type document struct {
	Parameters map[string]parameter `yaml:"Parameters"`
	Rules      map[string]rule      `yaml:"Rules"`
	Mappings   map[string]any       `yaml:"Mappings"`
	Conditions map[string]any       `yaml:"Conditions"`
	Resources  map[string]any       `yaml:"Resources"`
}

type parameter struct {
	Type           string   `yaml:"Type"`
	Default        *string  `yaml:"Default"`
	AllowedPattern string   `yaml:"AllowedPattern"`
	AllowedValues  []string `yaml:"AllowedValues"`
}

// A rule is what CloudFormation checks of the parameters before it creates a stack.
type rule struct {
	RuleCondition any `yaml:"RuleCondition"`
	Assertions    []struct {
		Assert            any    `yaml:"Assert"`
		AssertDescription string `yaml:"AssertDescription"`
	} `yaml:"Assertions"`
}

// A stack is what CloudFormation creates from a document and parameters. What only
// AWS knows stays a name, such as "${Queue.Arn}".
type stack struct {
	document
	parameters map[string]string
	resources  map[string]resource
	twice      []string // names that more than one resource has
}

type resource struct {
	Type, DeletionPolicy, UpdateReplacePolicy string

	DependsOn            any
	Properties, Metadata map[string]any
}

// pseudo are CloudFormation's pseudo parameters.
var pseudo = map[string]string{
	"AWS::StackName": "stack",
	"AWS::Partition": "aws",
	"AWS::Region":    "us-east-1",
	"AWS::AccountId": "123456789012",
	"AWS::URLSuffix": "amazonaws.com",
}

// noValue stands for AWS::NoValue, which removes the property that it is assigned to.
type noValue struct{}

func parse(t *testing.T, text string) document {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		t.Fatal(err)
	}
	expandTags(&root)
	var d document
	if err := root.Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expandTags replaces the short forms of intrinsic functions, such as !Ref.
func expandTags(n *yaml.Node) {
	for _, child := range n.Content {
		expandTags(child)
	}
	name, ok := strings.CutPrefix(n.Tag, "!")
	if !ok || strings.HasPrefix(name, "!") {
		return
	}
	if name != "Ref" {
		name = "Fn::" + name
	}
	value := *n
	value.Tag = ""
	*n = yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: name}, &value}}
}

// configure returns a stack that has only parameters: the given ones and defaults.
func (d document) configure(parameters map[string]string) *stack {
	s := &stack{document: d, parameters: maps.Clone(pseudo), resources: map[string]resource{}}
	for name, p := range d.Parameters {
		if p.Default != nil {
			s.parameters[name] = *p.Default
		}
	}
	maps.Copy(s.parameters, parameters)
	return s
}

// create returns the stack for the given parameters.
func (d document) create(parameters map[string]string) *stack {
	s := d.configure(parameters)
	for name, r := range d.Resources {
		if strings.HasPrefix(name, "Fn::ForEach::") {
			s.loop(r.([]any))
		} else {
			s.add(name, r.(map[string]any))
		}
	}
	return s
}

// loop creates the resources of a Fn::ForEach, which is the name of its variable,
// the values of the variable, and the resources to create for each of them.
func (s *stack) loop(each []any) {
	variable := each[0].(string)
	for _, value := range s.resolve(each[1]).([]any) {
		s.parameters[variable] = value.(string)
		for name, r := range each[2].(map[string]any) {
			s.add(strings.ReplaceAll(name, "&{"+variable+"}", notAlphanumeric.ReplaceAllString(value.(string), "")), r.(map[string]any))
		}
	}
	delete(s.parameters, variable)
}

var notAlphanumeric = regexp.MustCompile("[^A-Za-z0-9]")

// add creates a resource unless its condition does not hold.
func (s *stack) add(name string, r map[string]any) {
	if condition, ok := r["Condition"].(string); ok && !s.holds(condition) {
		return
	}
	if _, ok := s.resources[name]; ok {
		s.twice = append(s.twice, name)
	}
	text := func(key string) string { value, _ := r[key].(string); return value }
	properties, _ := s.resolve(r["Properties"]).(map[string]any)
	metadata, _ := r["Metadata"].(map[string]any)
	s.resources[name] = resource{text("Type"), text("DeletionPolicy"), text("UpdateReplacePolicy"), r["DependsOn"], properties, metadata}
}

// violations returns the descriptions of the assertions that do not hold.
func (s *stack) violations() (descriptions []string) {
	for _, r := range s.Rules {
		if r.RuleCondition != nil && s.resolve(r.RuleCondition) != true {
			continue
		}
		for _, a := range r.Assertions {
			if s.resolve(a.Assert) != true {
				descriptions = append(descriptions, a.AssertDescription)
			}
		}
	}
	return descriptions
}

func (s *stack) holds(condition string) bool { return s.resolve(s.Conditions[condition]).(bool) }

// resolve returns a value with its intrinsic functions evaluated.
func (s *stack) resolve(v any) any {
	switch v := v.(type) {
	case []any:
		list := []any{}
		for _, item := range v {
			if item = s.resolve(item); item != (noValue{}) {
				list = append(list, item)
			}
		}
		return list
	case map[string]any:
		for name, argument := range v {
			if len(v) == 1 && (name == "Ref" || strings.HasPrefix(name, "Fn::")) {
				return s.call(name, argument)
			}
		}
		m := map[string]any{}
		for key, value := range v {
			if value = s.resolve(value); value != (noValue{}) {
				m[key] = value
			}
		}
		return m
	}
	return v
}

func (s *stack) call(function string, argument any) any {
	list, _ := argument.([]any)
	switch function {
	case "Ref":
		return s.ref(argument.(string))
	case "Fn::GetAtt":
		return "${" + argument.(string) + "}"
	case "Fn::Sub":
		return s.sub(argument, list)
	case "Fn::If":
		if s.holds(list[0].(string)) {
			return s.resolve(list[1])
		}
		return s.resolve(list[2])
	case "Fn::Not":
		return !s.resolve(list[0]).(bool)
	case "Fn::Equals":
		return fmt.Sprint(s.resolve(list[0])) == fmt.Sprint(s.resolve(list[1])) // all parameters are strings
	case "Fn::Join":
		var parts []string
		for _, part := range s.resolve(list[1]).([]any) {
			parts = append(parts, part.(string))
		}
		return strings.Join(parts, list[0].(string))
	case "Fn::Split":
		parts := []any{}
		for part := range strings.SplitSeq(s.resolve(list[1]).(string), list[0].(string)) {
			parts = append(parts, part)
		}
		return parts
	case "Fn::FindInMap":
		v := any(s.Mappings)
		for _, key := range list {
			v = at(v, s.resolve(key))
		}
		return v
	}
	panic("unsupported function " + function)
}

func (s *stack) ref(name string) any {
	value, ok := s.parameters[name]
	switch {
	case name == "AWS::NoValue":
		return noValue{}
	case !ok:
		return "${" + name + "}"
	case s.Parameters[name].Type == "CommaDelimitedList":
		items := []any{}
		for item := range strings.SplitSeq(value, ",") {
			items = append(items, item)
		}
		return items
	}
	return value
}

var variable = regexp.MustCompile(`\$\{([^}]+)\}`)

func (s *stack) sub(argument any, list []any) string {
	values := map[string]any{}
	if list != nil {
		argument, values = list[0], list[1].(map[string]any)
	}
	return variable.ReplaceAllStringFunc(argument.(string), func(match string) string {
		name := match[2 : len(match)-1]
		if value, ok := values[name]; ok {
			return fmt.Sprint(s.resolve(value))
		}
		return fmt.Sprint(s.ref(name))
	})
}

// at follows a path of map keys and list indexes. It returns nil if there is
// nothing at its end.
func at(v any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[step]
		case int:
			list, _ := v.([]any)
			if step >= len(list) {
				return nil
			}
			v = list[step]
		}
	}
	return v
}

// property returns what is at a path of a resource's properties.
func (s *stack) property(name string, path ...any) any {
	return at(s.resources[name].Properties, path...)
}

func (s *stack) number(name string, path ...any) int {
	n, _ := s.property(name, path...).(int)
	return n
}

// ofType returns the names of the resources of one type.
func (s *stack) ofType(kind string) (names []string) {
	for name, r := range s.resources {
		if r.Type == kind {
			names = append(names, name)
		}
	}
	return names
}
