package config

import (
	"cmp"
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A reference stands for the text of an environment variable (env:NAME) or of a
// parameter in Parameter Store (ssm:/path/name). References in that text are not
// resolved.
const (
	envPrefix = "env:"
	ssmPrefix = "ssm:"
)

var (
	envName = regexp.MustCompile(`^[A-Za-z_]\w*$`)
	ssmName = regexp.MustCompile(`^[\w./-]+$`)
)

// resolve replaces all references below root, except those in tests, by what they
// stand for. It marks those that it cannot resolve, and records errors for them.
func (l Loader) resolve(ctx context.Context, root node) {
	waiting := map[string][]node{} // by parameter
	visit := func(n node) {
		if name, ok := strings.CutPrefix(n.value.Value, envPrefix); ok {
			n.resolveVariable(name)
		} else if name, ok := strings.CutPrefix(n.value.Value, ssmPrefix); ok {
			n.unresolved[n.value] = true
			if ssmName.MatchString(name) {
				waiting[name] = append(waiting[name], n)
			} else {
				n.fail("must name a parameter after ssm:, such as ssm:/myapp/redis-password; a reference must be the whole value")
			}
		}
	}
	for key, child := range root.children() {
		if key != testsKey {
			child.eachScalar(visit)
		}
	}
	if len(waiting) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(waiting))
	for name, p := range l.parameters(ctx, awsSoFar(root), names) {
		for _, n := range waiting[name] {
			if p.err != nil {
				n.fail("%v", p.err)
				continue
			}
			n.put(p.value)
		}
	}
}

// resolveVariable replaces n by the text of an environment variable.
func (n node) resolveVariable(name string) {
	n.unresolved[n.value] = true
	if !envName.MatchString(name) {
		n.fail("must name an environment variable after env:, such as env:REDIS_PASSWORD; a reference must be the whole value")
		return
	}
	text, ok := n.env(name)
	if !ok {
		n.fail("environment variable %s is not set", name)
		return
	}
	n.put(text)
}

// put replaces a reference by a text, without a line break at its end.
func (n node) put(text string) {
	n.value.Value = trimLineBreak(text)
	delete(n.unresolved, n.value)
}

// awsSoFar reads as much of the section aws as is known before parameters are
// resolved. Its errors are recorded a second time when the whole section is read;
// inOrder removes duplicates.
func awsSoFar(root node) AWS {
	var a AWS
	a.section("SSM").read(root.child("aws"))
	if a.AccessKey == "" || a.SecretKey == "" {
		a.AccessKey, a.SecretKey = "", "" // one is useless without the other
	}
	a.Region = cmp.Or(a.Region, root.queueRegion())
	return a
}

// eachScalar visits all single values at and below n.
func (n node) eachScalar(visit func(node)) {
	if n.value.Kind == yaml.ScalarNode {
		visit(n)
	}
	for _, child := range n.children() {
		child.eachScalar(visit)
	}
}
