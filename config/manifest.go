package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// A Manifest describes the job classes of an app. A rake task of the app writes it as
// JSON: examples/rails/lib/tasks/scout.rake.
type Manifest struct {
	Queues  []string         // the Sidekiq queues that the app's processes serve; none if unknown
	Classes map[string]Class // by name

	written  string // the value in the configuration: the path of a file, or the JSON
	location string // the same, but a path is relative to the working directory
}

// A Class is a Sidekiq job class, or an ActiveJob class, of an app.
type Class struct {
	ActiveJob        bool
	Queue            string            // "" if an ActiveJob chooses it for each job
	Priority         sidekiq.BoolOrInt // of an ActiveJob
	Options          []sidekiq.Option  // of get_sidekiq_options, except queue
	MinArgs          int               // of perform
	MaxArgs          int               // of perform; -1 for no maximum
	RequiredKeywords []string          // arguments of perform
}

// readWorkers reads the manifest, which the key workers locates. Errors inside a
// file have the file as their source.
func (c *Config) readWorkers(n node) {
	location, ok := n.text()
	if !ok {
		return
	}
	m := Manifest{written: location}
	text, root := []byte(location), n
	if !isJSON(location) {
		if !filepath.IsAbs(location) {
			location = filepath.Join(n.dir, location)
		}
		var err error
		if text, err = readManifest(location); err != nil {
			n.fail("%v", err)
			return
		}
		root.source, root.line, root.path = location, 0, path{}
	}
	switch verdict := jsonscan.Check(text); {
	case verdict.Syntax != nil:
		root.fail("is %v; write it with rake scout:manifest", verdict.Syntax)
		return
	case verdict.Refused != nil:
		root.fail("has %v; write it with rake scout:manifest", verdict.Refused)
		return
	}
	m.location = location
	before := len(n.errs)
	root.value = jsonNode(text, root.line)
	if root.is(yaml.MappingNode) {
		m.section().read(root)
	}
	if len(n.errs) == before {
		c.Workers = &m
	}
}

// isJSON reports whether the value of workers is the manifest instead of its path.
func isJSON(location string) bool { return strings.HasPrefix(strings.TrimSpace(location), "{") }

func (c *Config) showWorkers(bool) any {
	if c.Workers == nil {
		return nil
	}
	return c.Workers.location
}

// readManifest reads the file of a manifest. Its errors do not show the path, which may
// be a misplaced secret.
func readManifest(name string) ([]byte, error) {
	const forms = "must be the path of the manifest that rake scout:manifest has written, relative to this file, or a reference to its JSON (ssm:/path/name or env:NAME)"
	info, err := os.Stat(name)
	switch failed, isPath := errors.AsType[*fs.PathError](err); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New(forms + "; there is no such file")
	case isPath:
		return nil, errors.New(forms + "; opening it failed: " + failed.Err.Error())
	case !info.Mode().IsRegular():
		return nil, errors.New(forms + "; this is not a file")
	}
	text, err := readFile(name)
	switch {
	case err != nil:
		return nil, errors.New("the file of the manifest cannot be read; allow Scout's user to read it")
	case len(text) > maxSize:
		return nil, errors.New("the manifest is larger than " + formatBytes(maxSize) + "; write only the classes that this configuration names, with rake scout:manifest CONFIG=FILE")
	}
	return text, nil
}

// jsonNode returns JSON, which jsonscan.Check must have accepted, as the node of a
// document. Its Value is the JSON, or the text of a string.
func jsonNode(text []byte, line int) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: string(text), Line: line, Style: yaml.FlowStyle}
	switch {
	case jsonscan.IsObject(text):
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		for name, value := range jsonscan.Members(text) {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(name), Line: line}, jsonNode(value, line))
		}
	case jsonscan.IsArray(text):
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		for element := range jsonscan.Elements(text) {
			n.Content = append(n.Content, jsonNode(element, line))
		}
	case jsonscan.IsString(text):
		n.Tag, n.Value = "!!str", string(jsonscan.Unquote(text))
	case n.Value == "null":
		n.Tag = "!!null"
	}
	return n
}

// section reads a manifest. The key sidekiq, the version in the app, has no effect:
// redis.sidekiq determines the format of jobs.
func (m *Manifest) section() value {
	keys := []key{
		{name: "version", value: single(new(int), manifestVersion), required: true},
		{name: "sidekiq", value: single(new(string), line), scout1: true},
		{name: "queues", value: namesOf(&m.Queues, word)},
		{name: "classes", value: value{read: m.readClasses}, required: true},
	}
	return section(keys, func(node) {})
}

// readClasses reads the classes, but keeps only those that a route can name.
func (m *Manifest) readClasses(n node) {
	m.Classes = map[string]Class{}
	for name, child := range n.mapping() {
		var c Class
		c.section().read(child)
		if _, err := className.parse(name); err == nil {
			m.Classes[name] = c
		}
	}
}

// section reads a class.
func (c *Class) section() value {
	keys := []key{
		{name: "kind", value: single(&c.ActiveJob, choice("sidekiq", false, "active_job", true)), required: true},
		{name: "queue", value: single(&c.Queue, queueName), scout1: true},
		{name: "priority", value: single(&c.Priority, priority), scout1: true},
		{name: "options", value: value{read: c.readOptions}},
		{name: "args", value: value{read: c.readArgs}, required: true},
		{name: "required_keywords", value: namesOf(&c.RequiredKeywords, line)},
	}
	return section(keys, func(n node) {
		if queue := n.child("queue"); !c.ActiveJob && queue.isSet() {
			queue.fail("is only for an ActiveJob; that of a Sidekiq class is in options")
		}
	})
}

// reservedOptions are the keys of a job that Sidekiq and Scout set themselves, or that
// only Sidekiq's client uses.
var reservedOptions = []string{
	"class", "wrapped", "args", "jid", "created_at", "enqueued_at", "at", "queue", "client_class", "pool",
	"error_class", "error_message", "failed_at", "retry_count", "traceparent", "tracestate", "baggage",
}

func (c *Class) readOptions(n node) {
	for name, child := range n.mapping() {
		switch {
		case name == "queue" && !c.ActiveJob && child.isSet():
			readInto(child, &c.Queue, queueName)
		case slices.Contains(reservedOptions, name) && name != "pool":
		default:
			o := sidekiq.Option{Key: name, Value: rawJSON(child.value)}
			switch {
			case !isOn(o):
			case name == "tags":
				child.is(yaml.SequenceNode) // Sidekiq's client rejects anything else, and its Web UI fails
			case name == "retry_for": // Sidekiq's client writes whole seconds
				seconds, err := strconv.ParseFloat(string(o.Value), 64)
				if err != nil || seconds < 0 || seconds > 1e9 {
					child.fail("must be a number of seconds, at most 1000000000")
				}
				o.Value = strconv.AppendInt(nil, int64(seconds), 10)
			}
			c.Options = append(c.Options, o)
		}
	}
}

// rawJSON returns the JSON of a node made by jsonNode.
func rawJSON(n *yaml.Node) json.RawMessage {
	if n.Tag == "!!str" {
		return jsonscan.AppendQuote(nil, n.Value)
	}
	return json.RawMessage(n.Value)
}

func (c *Class) readArgs(n node) {
	items := n.list()
	if len(items) != 2 {
		n.fail("must be the minimum and the maximum number of arguments, such as [1, 2], or [1, null] for no maximum")
		return
	}
	const most = 1000
	readInto(items[0], &c.MinArgs, integer(0, most))
	c.MaxArgs = -1
	if !isNull(items[1].value) {
		readInto(items[1], &c.MaxArgs, integer(c.MinArgs, most))
	}
}

// namesOf is a list of names, which may be empty or null.
func namesOf(target *[]string, f form[string]) value {
	v := list(target, f)
	read := v.read
	v.read = func(n node) {
		if n.value != nil && !isNull(n.value) && (n.value.Kind != yaml.SequenceNode || len(n.value.Content) > 0) {
			read(n)
		}
	}
	return v
}

var manifestVersion = form[int]{parse: func(text string) (int, error) {
	if text != "1" {
		return 0, errors.New("must be 1; write the manifest with the rake task that belongs to this version of Scout")
	}
	return 1, nil
}}

var priority = form[sidekiq.BoolOrInt]{parse: func(text string) (sidekiq.BoolOrInt, error) {
	i, err := strconv.Atoi(text)
	if err != nil {
		return sidekiq.BoolOrInt{}, errors.New("must be a whole number or null")
	}
	return sidekiq.Int(i), nil
}}
