package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.yaml.in/yaml/v3"
)

// A Loader loads the configuration. Its zero value does, from the environment of
// the process, but cannot ask Parameter Store.
type Loader struct {
	// Env looks up environment variables; nil is os.LookupEnv.
	Env func(name string) (value string, ok bool)

	// AWS returns how to reach Parameter Store, given what is known of the
	// configuration's section aws by then. It is called only if something is to
	// be had from there: the configuration itself, and what it refers to.
	AWS func(context.Context, AWS) (aws.Config, error)

	// NeedQueue makes queue.name or queue.url required: the daemon polls the
	// queue, the Lambda function is handed its messages.
	NeedQueue bool

	// LocalRedis, if not empty, is the URL of a Redis to use in place of the
	// configured one. Neither what the configuration says about that nor its
	// section aws is read then, so that a laptop needs none of the secrets.
	LocalRedis string
}

// Load returns the configuration at a location, or at the one in SCOUT_CONFIG if
// location is "": the path of a file, "ssm:/path/name" in Parameter Store, or the
// YAML itself, which then has a line break. What the configuration does not say
// it takes from the environment.
//
// If the configuration could be read but is not valid, or refers to what is not
// there, the error is an [Errors] with all that is wrong. No error holds a secret.
func (l Loader) Load(ctx context.Context, location string) (*Config, error) {
	if l.Env == nil {
		l.Env = os.LookupEnv
	}
	doc := &document{env: l.Env, unresolved: map[*yaml.Node]bool{}}
	text, err := l.open(ctx, location, doc)
	if err != nil {
		return nil, err
	}
	root, bad := doc.parse(text)
	if bad != nil {
		return nil, Errors{bad}
	}
	if l.LocalRedis != "" {
		root.dropRemote()
		doc.env = func(name string) (string, bool) {
			if name == "REDIS_URL" {
				return l.LocalRedis, true
			}
			return l.Env(name)
		}
	}
	l.resolve(ctx, root)
	var c Config
	c.read(root, l.NeedQueue)
	if len(doc.errs) > 0 {
		return nil, doc.errs.inOrder()
	}
	return &c, nil
}

// open returns the text at the location and names it as the document's source.
func (l Loader) open(ctx context.Context, location string, doc *document) ([]byte, error) {
	doc.source = "--config"
	if location == "" {
		doc.source = "SCOUT_CONFIG"
		location, _ = l.Env("SCOUT_CONFIG")
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
	text, err := os.ReadFile(location)
	if err != nil && strings.ContainsAny(location, "{:") {
		// Likely YAML in one line, with a password in it.
		return nil, fmt.Errorf("%s: no such file; YAML in its place must have a line break", doc.source)
	}
	doc.source = location
	return text, err
}

// dropRemote drops what says where Redis and AWS are.
func (n node) dropRemote() {
	n.drop("aws")
	n.child("redis").drop("url", "host", "password")
}

// drop takes keys out of a mapping.
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
