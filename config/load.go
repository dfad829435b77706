package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.yaml.in/yaml/v3"
)

// A Loader loads the configuration. The zero value uses the environment of the
// process, and cannot read from Parameter Store.
type Loader struct {
	// Env looks up environment variables; nil is os.LookupEnv.
	Env func(name string) (value string, ok bool)

	// AWS returns how to reach Parameter Store, given as much of the section aws
	// as is known by then. It is called only if the configuration is a parameter
	// or refers to one. Its result need not include the endpoint. If AWS is nil,
	// such a configuration is an error.
	AWS func(context.Context, AWS) (aws.Config, error)

	// NeedQueue makes queue.name or queue.url required. The daemon polls the
	// queue; the Lambda function receives its messages from AWS.
	NeedQueue bool

	// LocalRedis, if not empty, is the URL of a Redis to use instead of the configured
	// one. Load then ignores the configured URL and the section aws. It also ignores
	// references that it cannot resolve in keys that do not change a job; in workers,
	// such a reference is a warning. A laptop therefore needs no secrets.
	LocalRedis string

	// Tests makes Load read and check the tests of the configuration. Otherwise Load
	// ignores them.
	Tests bool
}

// Load loads the configuration from a location: the path of a file,
// "ssm:/path/name" in Parameter Store, or the YAML itself, recognized by a line
// break. If location is "", it is the value of SCOUT_CONFIG. The environment
// supplies some values that the configuration does not set, such as REDIS_URL.
//
// If the configuration is invalid, or a reference in it cannot be resolved, the
// error is an [Errors] with everything that is wrong. No error contains a secret.
func (l Loader) Load(ctx context.Context, location string) (*Config, error) {
	if l.Env == nil {
		l.Env = os.LookupEnv
	}
	doc := &document{env: l.Env, readsTests: l.Tests, unresolved: map[*yaml.Node]bool{}}
	text, err := l.open(ctx, location, doc)
	if err != nil {
		return nil, err
	}
	root, bad := doc.parse(text, yaml.MappingNode)
	if bad != nil {
		return nil, Errors{bad}
	}
	if l.LocalRedis != "" {
		root.dropRemote()
		doc.ignoresAWS = true
		doc.env = func(name string) (string, bool) {
			switch name {
			case "REDIS_URL":
				return l.LocalRedis, true
			case "REDIS_PROVIDER":
				return "", false
			}
			return l.Env(name)
		}
	}
	l.resolve(ctx, root)
	var c Config
	c.section(l.NeedQueue).read(root)
	if len(doc.errs) > 0 {
		return nil, doc.errs.inOrder()
	}
	c.Warnings = doc.warnings.inOrder()
	return &c, nil
}

// open returns the text at the location, and makes that the source of the document.
func (l Loader) open(ctx context.Context, location string, doc *document) ([]byte, error) {
	doc.source = "--config"
	if location == "" {
		doc.source = "SCOUT_CONFIG"
		location, _ = l.Env("SCOUT_CONFIG")
	}
	if name := trimLineBreak(location); !strings.Contains(name, "\n") && (strings.HasPrefix(name, ssmPrefix) || isFile(name)) {
		location = name // from a file, which ends in a line break
	}
	name, isParameter := strings.CutPrefix(location, ssmPrefix)
	switch {
	case location == "":
		return nil, errors.New("no configuration: give --config, or set SCOUT_CONFIG to the path of a file, to ssm:/path/name, or to the YAML itself")
	case strings.Contains(location, "\n"):
		return []byte(location), nil
	case isParameter:
		return l.openParameter(ctx, name, doc)
	}
	text, err := readFile(location)
	if err != nil && strings.ContainsAny(location, "{:") {
		// Probably YAML on one line, which may contain a password.
		return nil, fmt.Errorf("%s: no such file; YAML must contain a line break", doc.source)
	}
	doc.source, doc.dir = location, filepath.Dir(location)
	return text, err
}

func isFile(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// readFile reads a file. Of one that is too large, it reads enough to tell.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxSize+1))
}

// dropRemote removes the keys of the real Redis and AWS, and others that a laptop
// does not need.
func (n node) dropRemote() {
	n.drop("aws")
	n.child("redis").drop("url", "host", "password", "tls", "sentinels", "sentinel_username", "sentinel_password", "iam", "wait")
	n.dropUnneeded()
}

// drop removes keys from a mapping.
func (n node) drop(keys ...string) {
	if n.value == nil || n.value.Kind != yaml.MappingNode {
		return
	}
	var kept []*yaml.Node
	for i := 0; i < len(n.value.Content); i += 2 {
		if !slices.Contains(keys, n.value.Content[i].Value) {
			kept = append(kept, n.value.Content[i:i+2]...)
		}
	}
	n.value.Content = kept
}
