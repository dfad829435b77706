package config

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"scout/handler"
	"scout/sidekiq"
)

// A routing is what the routes of a section have in common.
type routing struct {
	sidekiqQueue string    // of workers for which neither the route nor the manifest has a queue
	manifest     *Manifest // nil if there is none
	attributes   bool      // whether the messages have attributes
}

// routes is a mapping of keys to outcomes, stored in target. All keys that checkKey
// accepts match the pattern. The example shows a key and an outcome.
func (r routing) routes(target *[]handler.Route, checkKey func(string) error, pattern, example string) value {
	return value{
		describer: routeTable{pattern, example},
		read: func(n node) {
			for key, child := range n.mapping() {
				if err := cmp.Or(checkText(key, false), checkKey(key)); err != nil {
					child.fail("%v", err)
				}
				*target = append(*target, handler.Route{Key: key, Outcome: r.read(child)})
			}
			if n.value != nil && n.value.Kind == yaml.MappingNode && len(n.value.Content) == 0 {
				n.fail("must have at least one %s", example)
			}
		},
		show: func(bool) any {
			if *target == nil {
				return nil
			}
			mapping := &yaml.Node{Kind: yaml.MappingNode}
			for _, route := range *target {
				mapping.Content = append(mapping.Content, encoded(route.Key), encoded(r.show(route.Outcome)))
			}
			return mapping
		},
	}
}

// outcome is one outcome.
func (r routing) outcome(target *handler.Outcome) value {
	return value{
		describer: definition{"outcome", "a class, a worker, a choice, ignore, or a list of classes, workers and choices"},
		read: func(n node) {
			if n.value != nil {
				*target = r.read(n)
			}
		},
		show: func(bool) any {
			if *target == nil {
				return nil
			}
			return r.show(*target)
		},
	}
}

const ignore = "ignore"

// read reads a class, a worker, a list, a choice or ignore.
func (r routing) read(n node) handler.Outcome {
	switch {
	case n.value.Kind == yaml.SequenceNode:
		return r.readList(n)
	case n.value.Kind == yaml.ScalarNode && n.value.Value == ignore && !n.unresolved[n.value]:
		return handler.Ignore{}
	}
	return r.readElement(n)
}

// readList reads a list. A job's id is made of the message, the class and the queue,
// so a second job with the same three would be taken for a duplicate of the first.
func (r routing) readList(n node) handler.Outcome {
	type target struct{ class, queue string }
	var list handler.List
	taken := map[target]node{}
	for _, item := range n.list() {
		element := r.readElement(item)
		own := map[target]node{} // only one of them gets a job
		for w := range handler.Workers(element) {
			t := target{w.Class, w.Queue}
			if first, ok := taken[t]; ok && w.Class != "" {
				item.fail("has the same class and queue as %s, so only one of the two jobs would run", first.path)
				break
			}
			own[t] = item
		}
		maps.Copy(taken, own)
		list = append(list, element)
	}
	if len(list) == 1 {
		return list[0]
	}
	return list
}

// readElement reads what may also be in a list: a class, a worker or a choice.
func (r routing) readElement(n node) handler.Outcome {
	var w handler.Worker
	switch {
	case n.value.Kind == yaml.SequenceNode:
		n.fail("must be a class or a mapping, not a nested list")
	case n.value.Kind == yaml.ScalarNode && n.value.Value == ignore && !n.unresolved[n.value]:
		n.fail("cannot be ignore in a list, except as an outcome of by; leave it out")
	case n.value.Kind == yaml.ScalarNode:
		readInto(n, &w.Class, className)
	case n.child("by").value != nil || n.child("to").value != nil || n.child("else").value != nil:
		var c handler.Choice
		r.choiceSection(&c).read(n)
		return c
	default:
		workerSection(&w).read(n)
	}
	r.complete(n, &w)
	return w
}

// show returns an outcome for YAML.
func (r routing) show(o handler.Outcome) any {
	switch o := o.(type) {
	case handler.Worker:
		return []any{workerSection(&o).show(false)}
	case handler.List:
		var items []any
		for _, element := range o {
			shown := r.show(element)
			if worker, ok := shown.([]any); ok {
				shown = worker[0]
			}
			items = append(items, shown)
		}
		return items
	case handler.Choice:
		return r.choiceSection(&o).show(false)
	}
	return ignore
}

// choiceSection reads and shows a choice.
func (r routing) choiceSection(c *handler.Choice) value {
	keys := []key{
		{name: "by", value: single(&c.By, selector), required: true, example: "attribute:event_type",
			doc: "What in the message chooses: attribute:NAME (SNS and plain messages), or body: and a JSON pointer into the argument message."},
		{name: "to", value: r.routes(&c.To, func(string) error { return nil }, "", "key, such as order.created: CreatedWorker"), required: true, example: "{order.created: CreatedWorker, \"order.*\": OrderWorker, ping: ignore}",
			doc: "Texts, or patterns with * and ?, with the outcome of the messages that they match."},
		{name: "else", value: r.outcome(&c.Else), example: "OtherWorker",
			doc: "What becomes of all other messages, which are rejected if it is absent."},
	}
	return section(keys, func(n node) {
		if c.By.Attribute != "" && !r.attributes {
			n.child("by").fail("must be body: and a JSON pointer, because these messages have no attributes")
		}
	})
}

func workerSection(w *handler.Worker) value {
	dead := single(&w.NoDead, negated)
	dead.show = func(bool) any {
		if i := slices.IndexFunc(w.Options, func(o sidekiq.Option) bool { return o.Key == "dead" && string(o.Value) == "true" }); !w.NoDead && i < 0 {
			return nil
		}
		return !w.NoDead
	}
	keys := []key{
		{name: "class", value: single(&w.Class, className), required: true, example: "Orders::SyncJob",
			doc: "The Sidekiq worker, or the ActiveJob, that gets the messages."},
		{name: "queue", value: single(&w.Queue, queueName), example: "critical",
			doc: "The Sidekiq queue of the jobs; if absent, that of the class in the manifest (workers), or else redis.queue."},
		{name: "args", value: list(&w.Args, choice("message", handler.ArgMessage, "metadata", handler.ArgMetadata)), implied: "[message]", example: "[message, metadata]",
			doc: "The arguments of the jobs, in the order of the perform method's parameters."},
		{name: "retry", value: single(&w.Retry, boolOrInt(0)), implied: "true", example: "5",
			doc: "How often Sidekiq retries a failed job: true (25 times), false (never, and the job is lost) or a number."},
		{name: "retry_for", value: single(&w.RetryFor, duration(time.Second, 10*365*24*time.Hour)), example: "1h",
			doc: "How long Sidekiq (7.1.3 and newer) retries a failed job, instead of retry."},
		{name: "backtrace", value: single(&w.Backtrace, boolOrInt(1)), implied: "false", example: "20",
			doc: "How much of a failed job's backtrace Sidekiq keeps: true (all), false (nothing) or a number of lines."},
		{name: "dead", value: dead, implied: "true", example: "false",
			doc: "Whether a job out of retries goes to Sidekiq's dead set (true) or is discarded (false)."},
		{name: "tags", value: list(&w.Tags, line), example: "[sns]",
			doc: "Tags that Sidekiq's Web UI shows with the jobs."},
		{name: "active_job", value: single(&w.ActiveJob, boolean), implied: "false", example: "true",
			doc: "Whether the class is an ActiveJob, so that its jobs are wrapped as Rails does; the manifest (workers) can set it, too."},
	}
	return section(keys, func(n node) {
		if n.child("retry").value != nil && n.child("retry_for").value != nil {
			n.child("retry_for").fail("cannot be combined with retry")
		}
		if len(slices.Compact(slices.Sorted(slices.Values(w.Args)))) < len(w.Args) {
			n.child("args").fail("must not repeat an argument")
		}
	})
}
