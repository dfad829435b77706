package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// dropUnneeded removes keys that do not change a job if their values are references
// that cannot be resolved. A queue whose name or URL is such a reference is named
// after it.
func (n node) dropUnneeded() {
	n.dropUnresolvable("shutdown_timeout")
	n.dropManifest()
	n.child("limits").dropUnresolvable("queue_length", "latency", "redis_memory")
	n.child("redis").dropUnresolvable("namespace", "dedup_ttl")
	queues := []node{n.child("queue")}
	for _, q := range n.child("queues").children() {
		queues = append(queues, q)
	}
	for _, q := range queues {
		q.dropUnresolvable("wait_time", "visibility_timeout", "max_messages", "concurrency")
		q.nameAfterReference()
	}
}

// dropManifest removes the reference to a manifest that cannot be read, and records a
// warning.
func (n node) dropManifest() {
	workers := n.child("workers")
	name, ok := workers.unresolvable()
	if !ok {
		return
	}
	reason := "this command does not read Parameter Store"
	if strings.HasPrefix(workers.value.Value, envPrefix) {
		reason = "the environment variable " + name + " is not set"
	}
	workers.warn("the manifest was not read, because %s; the jobs lack the options of their classes", reason)
	n.drop("workers")
}

// dropUnresolvable removes those of the keys whose values are references that
// cannot be resolved.
func (n node) dropUnresolvable(keys ...string) {
	for _, key := range keys {
		if _, ok := n.child(key).unresolvable(); ok {
			n.drop(key)
		}
	}
}

// nameAfterReference gives a queue the last part of a reference as its name if its
// name or URL cannot be resolved.
func (n node) nameAfterReference() {
	if n.value == nil || n.value.Kind != yaml.MappingNode {
		return
	}
	for key, value := range pairs(n.value) {
		child := n
		child.value = value
		if name, ok := child.unresolvable(); ok && slices.Contains([]string{"name", "url"}, key.Value) {
			key.Value, value.Value = "name", name
		}
	}
}

// unresolvable reports whether n is a reference that cannot be resolved without
// Parameter Store. It returns the last part of its name.
func (n node) unresolvable() (name string, ok bool) {
	if n.value == nil || n.value.Kind != yaml.ScalarNode {
		return "", false
	}
	if name, ok := strings.CutPrefix(n.value.Value, envPrefix); ok && envName.MatchString(name) {
		_, isSet := n.env(name)
		return name, !isSet
	}
	name, ok = strings.CutPrefix(n.value.Value, ssmPrefix)
	return name[strings.LastIndex(name, "/")+1:], ok && ssmName.MatchString(name)
}
