package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"scout/handler"
	"scout/sidekiq"
)

// topicsInto reads the mapping of topics to workers.
func topicsInto(routes *[]handler.Route, sidekiqQueue string) reader {
	return func(n node) {
		for name, child := range n.mapping() {
			if _, err := topic(name); err != nil {
				child.fail("%v", err)
			}
			*routes = append(*routes, handler.Route{Topic: name, Workers: workers(child, sidekiqQueue)})
		}
		if n.value.Kind == yaml.MappingNode && len(n.value.Content) == 0 {
			n.fail("must have one topic at least, such as foo-topic: FooWorker")
		}
	}
}

// workers reads what a topic is mapped to: a worker or a list of workers.
func workers(n node, sidekiqQueue string) []handler.Worker {
	places := []node{n}
	if n.value.Kind == yaml.SequenceNode {
		places = n.list()
	}
	var all []handler.Worker
	for _, place := range places {
		w := worker(place, sidekiqQueue)
		// A job's id is made of the message, the class and the queue, so the
		// second job would be taken for the first one, come again.
		twin := slices.IndexFunc(all, func(v handler.Worker) bool {
			return v.Class != "" && v.Class == w.Class && v.Queue == w.Queue
		})
		if twin >= 0 {
			place.fail("has the same class and queue as %s, so only one of the two jobs would run", places[twin].key)
		}
		all = append(all, w)
	}
	return all
}

// worker reads a class or a mapping.
func worker(n node, sidekiqQueue string) handler.Worker {
	w := handler.Worker{JobTemplate: sidekiq.JobTemplate{Queue: sidekiqQueue}}
	switch n.value.Kind {
	case yaml.ScalarNode:
		into(&w.Class, class)(n)
		return w
	case yaml.SequenceNode:
		n.fail("must be a class or a mapping, not a list in a list")
		return w
	}
	dead := true
	n.fields(
		field{"class", required(into(&w.Class, class))},
		field{"queue", into(&w.Queue, word)},
		field{"args", listInto(&w.Args, arg)},
		field{"retry", into(&w.Retry, boolOrInt(0))},
		field{"retry_for", into(&w.RetryFor, duration(time.Second, 10*365*24*time.Hour))},
		field{"backtrace", into(&w.Backtrace, boolOrInt(1))},
		field{"dead", into(&dead, boolean)},
		field{"tags", listInto(&w.Tags, words)},
		field{"active_job", into(&w.ActiveJob, boolean)},
	)
	w.NoDead = !dead
	if n.child("retry").value != nil && n.child("retry_for").value != nil {
		n.child("retry_for").fail("cannot be with retry")
	}
	if len(slices.Compact(slices.Sorted(slices.Values(w.Args)))) < len(w.Args) {
		n.child("args").fail("must not have an argument twice")
	}
	return w
}
