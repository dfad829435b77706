package config

import (
	"cmp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"scout/handler"
	"scout/sidekiq"
)

// topics is a mapping of topics to workers, stored in routes.
func topics(routes *[]handler.Route, sidekiqQueue string) value {
	return value{
		types: "object",
		read: func(n node) {
			for name, child := range n.mapping() {
				if err := cmp.Or(checkText(name, false), checkTopic(name)); err != nil {
					child.fail("%v", err)
				}
				*routes = append(*routes, handler.Route{Topic: name, Workers: readWorkers(child, sidekiqQueue)})
			}
			if n.value.Kind == yaml.MappingNode && len(n.value.Content) == 0 {
				n.fail("must have at least one topic, such as foo-topic: FooWorker")
			}
		},
		show: func(bool) any {
			mapping := &yaml.Node{Kind: yaml.MappingNode}
			for _, route := range *routes {
				var workers []any
				for i := range route.Workers {
					workers = append(workers, workerSection(&route.Workers[i]).show(false))
				}
				mapping.Content = append(mapping.Content, encoded(route.Topic), encoded(workers))
			}
			return mapping
		},
	}
}

// readWorkers reads the value of a topic: a worker or a list of workers.
func readWorkers(n node, sidekiqQueue string) []handler.Worker {
	items := []node{n}
	if n.value.Kind == yaml.SequenceNode {
		items = n.list()
	}
	var workers []handler.Worker
	for _, item := range items {
		w := handler.Worker{JobTemplate: sidekiq.JobTemplate{Queue: sidekiqQueue}}
		readWorker(item, &w)
		// A job's id is made of the message, the class and the queue, so the
		// second job would be taken for a duplicate of the first.
		twin := slices.IndexFunc(workers, func(v handler.Worker) bool {
			return v.Class != "" && v.Class == w.Class && v.Queue == w.Queue
		})
		if twin >= 0 {
			item.fail("has the same class and queue as %s, so only one of the two jobs would run", items[twin].key)
		}
		workers = append(workers, w)
	}
	return workers
}

// readWorker reads a class or a mapping.
func readWorker(n node, w *handler.Worker) {
	switch n.value.Kind {
	case yaml.ScalarNode:
		readInto(n, &w.Class, class)
	case yaml.SequenceNode:
		n.fail("must be a class or a mapping, not a nested list")
	default:
		workerSection(w).read(n)
	}
}

func workerSection(w *handler.Worker) value {
	keys := []key{
		{name: "class", value: single(&w.Class, class), required: true, example: "Orders::SyncJob",
			doc: "The Sidekiq worker, or the ActiveJob, that gets the messages."},
		{name: "queue", value: single(&w.Queue, queueName), example: "critical",
			doc: "The Sidekiq queue of the jobs; redis.queue if absent."},
		{name: "args", value: list(&w.Args, choice("message", handler.ArgMessage, "metadata", handler.ArgMetadata)), example: "[message, metadata]",
			doc: "The arguments of the jobs, in the order of the perform method's parameters; message alone if absent."},
		{name: "retry", value: single(&w.Retry, boolOrInt(0)), example: "5",
			doc: "How often Sidekiq retries a failed job: true (25 times, also if absent), false (never, and the job is lost) or a number."},
		{name: "retry_for", value: single(&w.RetryFor, duration(time.Second, 10*365*24*time.Hour)), example: "1h",
			doc: "How long Sidekiq (7.1.3 and newer) retries a failed job, instead of retry."},
		{name: "backtrace", value: single(&w.Backtrace, boolOrInt(1)), example: "20",
			doc: "How much of a failed job's backtrace Sidekiq keeps: true (all), false (nothing) or a number of lines."},
		{name: "dead", value: single(&w.NoDead, negated), example: "false",
			doc: "Whether a job out of retries goes to Sidekiq's dead set (true, also if absent) or is discarded (false)."},
		{name: "tags", value: list(&w.Tags, line), example: "[sns]",
			doc: "Tags that Sidekiq's Web UI shows with the jobs."},
		{name: "active_job", value: single(&w.ActiveJob, boolean), example: "true",
			doc: "Whether the class is an ActiveJob, so that its jobs are wrapped as Rails does."},
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
