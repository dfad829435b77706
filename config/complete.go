package config

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"scout/handler"
	"scout/internal/printable"
	"scout/sidekiq"
)

// complete adds the options that the manifest has for the class of a worker. The worker
// was read from n. Options of the route take precedence.
func (r routing) complete(n node, w *handler.Worker) {
	switch {
	case w.Class == "": // already an error
	case r.manifest != nil:
		named := n // the node that names the class
		if child := n.child("class"); child.value != nil {
			named = child
		}
		class, ok := r.manifest.Classes[w.Class]
		if !ok {
			r.manifest.failUnknownClass(named, w.Class)
			break
		}
		class.check(n, named, w)
		class.addTo(n, w)
		r.manifest.warnAbout(n, named, class, w)
	}
	if w.Queue == "" {
		w.Queue = r.sidekiqQueue
	}
}

func (m *Manifest) failUnknownClass(n node, name string) {
	names := slices.Sorted(maps.Keys(m.Classes))
	meant := closest(name, names)
	if i := slices.IndexFunc(names, func(c string) bool { return strings.HasSuffix(c, "::"+name) }); i >= 0 {
		meant = names[i]
	}
	hint := ""
	if meant != "" {
		hint = "did you mean " + printable.Text(meant, maxName) + "? "
	}
	n.fail("the app's manifest (workers) has no such class; %sotherwise write the manifest again with rake scout:manifest", hint)
}

// maxName is the maximum length in bytes of a name that a message shows.
const maxName = 256

// check records errors for a route whose jobs would always fail.
func (c Class) check(n, named node, w *handler.Worker) {
	passed := max(1, len(w.Args))
	at := named
	if args := n.child("args"); args.value != nil {
		at = args
	}
	switch {
	case len(c.RequiredKeywords) > 0:
		named.fail("the class's perform requires keyword arguments (%s), which Scout does not pass; give them default values",
			printable.Text(strings.Join(c.RequiredKeywords, ", "), maxName))
	case passed < c.MinArgs && c.MinArgs <= 2:
		at.fail("the number of arguments is %d, and the minimum for the class's perform is %d; set args: [message, metadata]", passed, c.MinArgs)
	case passed < c.MinArgs:
		at.fail("the minimum number of arguments for the class's perform is %d, and a route can pass two, message and metadata; give the others default values", c.MinArgs)
	case c.MaxArgs == 0:
		at.fail("the class's perform takes no arguments; let it take the message")
	case c.MaxArgs > 0 && passed > c.MaxArgs:
		at.fail("the number of arguments is %d, and the maximum for the class's perform is %d; leave one out", passed, c.MaxArgs)
	}
	if flag := n.child("active_job"); flag.value != nil && w.ActiveJob != c.ActiveJob {
		flag.fail("must be %t, as the app's manifest (workers) says; leave it out", c.ActiveJob)
	}
	if c.Queue == "" && c.ActiveJob && n.child("queue").value == nil {
		named.fail("the class chooses its queue in a block (queue_as), so the route must name one; set queue")
	}
	if slices.ContainsFunc(c.Options, func(o sidekiq.Option) bool { return o.Key == "encrypt" && isOn(o) }) {
		named.fail("Sidekiq Enterprise's client encrypts the arguments of the class (encrypt), which Scout cannot do; use a class without encrypt that calls this one")
	}
}

// addTo adds the class's options to a worker, except those that its route n has.
func (c Class) addTo(n node, w *handler.Worker) {
	w.ActiveJob, w.Priority = c.ActiveJob, c.Priority
	if w.Queue == "" {
		w.Queue = c.Queue
	}
	saysRetry := n.child("retry").value != nil || n.child("retry_for").value != nil
	for _, o := range c.Options {
		isRetry := o.Key == "retry" || o.Key == "retry_for" // each replaces the other
		switch {
		case o.Key == "dead" && n.child("dead").value != nil && !w.NoDead:
			w.Options = append(w.Options, sidekiq.Option{Key: "dead", Value: json.RawMessage("true")})
		case n.child(o.Key).value == nil && !(isRetry && saysRetry) && o.Key != "pool":
			w.Options = append(w.Options, o)
		}
	}
}

// needClient has the options that only the app's own Sidekiq client can fulfill, and the
// consequences for Scout's jobs, which do not pass through its middleware.
var needClient = map[string]string{
	"expires_in": "Sidekiq Pro's client sets the time at which a job expires, so Scout's jobs never expire",
	"unique_for": "Sidekiq Enterprise's client takes the lock, so Scout's jobs are not unique",
	"lock":       "the client middleware of sidekiq-unique-jobs takes the lock, so Scout's jobs are queued although another job holds it",
	"unique":     "the client middleware of sidekiq-unique-jobs takes the lock, so Scout's jobs are queued although another job holds it",
	"pool":       "Scout pushes all jobs to the Redis of redis.url, not to the class's own",
}

// warnAbout records warnings about a worker's queue and options.
func (m *Manifest) warnAbout(n, named node, c Class, w *handler.Worker) {
	for _, o := range c.Options {
		if what, ok := needClient[o.Key]; ok && isOn(o) {
			named.warn("%s has the option %s: %s", w.Class, o.Key, what)
		}
	}
	at := named
	if queue := n.child("queue"); queue.value != nil {
		at = queue
	}
	if len(m.Queues) > 0 && w.Queue != "" && !slices.Contains(m.Queues, w.Queue) {
		at.warn("no process of the app serves the Sidekiq queue %s, so the jobs would wait there; add it to config/sidekiq.yml, or write the manifest (workers) again", printable.Text(w.Queue, maxName))
	}
}

// isOn reports whether an option has a value that is neither false nor null.
func isOn(o sidekiq.Option) bool { return string(o.Value) != "false" && string(o.Value) != "null" }
