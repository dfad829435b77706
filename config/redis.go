package config

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"scout/sidekiq"
)

// Address returns the URL without user, password and parameters, for logs.
func (r Redis) Address() string {
	u, err := url.Parse(r.URL.Reveal())
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// A redisAddress is the keys from which Redis.URL is made.
type redisAddress struct {
	url, host *url.URL
	password  Secret
}

func (r *Redis) section() value {
	var a redisAddress
	url := single(&a.url, redisURL)
	url.show = func(bool) any { return r.Address() }
	keys := []key{
		{name: "url", value: url, example: "rediss://user:secret@redis.internal:6379/0",
			doc: "The URL of Redis, with the scheme redis, rediss (TLS), valkey, valkeys (TLS) or unix; if absent, REDIS_URL, or the variable that REDIS_PROVIDER names."},
		{name: "host", value: single(&a.host, redisHost), scout1: true, example: "localhost:6379",
			doc: "The host and port of Redis, as in Scout 1.x; url replaces it."},
		{name: "password", value: single(&a.password, secret), scout1: true, example: "env:REDIS_PASSWORD",
			doc: "The password for Redis if the URL contains none."},
		{name: "tls", value: tlsSection(&r.TLS), example: "{ca: /etc/myapp/redis-ca.pem}",
			doc: "How Scout and a Redis with TLS prove to each other who they are; the files are read again for each connection."},
		{name: "sentinels", value: list(&r.Sentinels, sentinel), example: "[s1.internal:26379, s2.internal:26379]",
			doc: "The host and port of each Redis Sentinel; the host of url is then the name of the master, and its user and password are not used for the sentinels."},
		{name: "sentinel_username", value: single(&r.SentinelUsername, word), example: "scout",
			doc: "The user of the sentinels, if they have users."},
		{name: "sentinel_password", value: single(&r.SentinelPassword, secret), example: "env:SENTINEL_PASSWORD",
			doc: "The password of the sentinels, if they have one."},
		{name: "iam", value: iamSection(&r.IAM), example: "{cache: my-replication-group}",
			doc: "IAM authentication for a node-based ElastiCache, instead of a password; the user is that of the URL."},
		{name: "wait", value: waitSection(&r.Wait), example: "{replicas: 2}",
			doc: "How many replicas must have a job before its message is deleted; none if absent."},
		{name: "namespace", value: single(&r.Namespace, namespace), scout1: true, example: "myapp",
			doc: "The namespace of redis-namespace, for Sidekiq 6 and older."},
		{name: "queue", value: single(&r.Queue, queueName), scout1: true, initial: "default", example: "background",
			doc: "The Sidekiq queue of workers that do not name one."},
		{name: "sidekiq", value: single(&r.Sidekiq, sidekiqVersion), example: "8",
			doc: "The major version whose client's form jobs have, 6, 7 or 8; a form that all versions read if absent."},
		{name: "timestamps", value: single(&r.Milliseconds, choice("seconds", false, "milliseconds", true)), initial: "seconds", example: "milliseconds",
			doc: "The unit of times in jobs: seconds, which every Sidekiq reads, or milliseconds, if all processes run Sidekiq 8."},
		{name: "dedup_ttl", value: single(&r.DedupTTL, dedupTTL), initial: "24h", example: "36h",
			doc: "How long Scout remembers a message, to enqueue it only once; 0 turns de-duplication off."},
	}
	return section(keys, func(n node) {
		if address := r.setURL(n, a); address != nil {
			r.checkURL(n, address)
		}
		r.checkKeys(n)
	})
}

// checkKeys checks which keys can be combined, and sets fields that follow from
// others.
func (r *Redis) checkKeys(n node) {
	if unit := n.child("timestamps"); r.Sidekiq != 0 && unit.isSet() && r.Milliseconds != (r.Sidekiq >= 8) {
		unit.fail("contradicts redis.sidekiq, which already determines it")
	}
	if r.Sidekiq != 0 {
		r.Milliseconds = r.Sidekiq >= 8
	}
	if r.Wait.Replicas > 0 && r.DedupTTL == 0 {
		n.child("wait").fail("cannot be combined with dedup_ttl: 0, because jobs that replicas do not confirm are pushed again")
	}
	for _, name := range []string{"sentinel_username", "sentinel_password"} {
		if n.child(name).isSet() && n.child("sentinels").value == nil {
			n.child(name).fail("needs redis.sentinels")
		}
	}
}

func waitSection(w *sidekiq.Wait) value {
	keys := []key{
		{name: "replicas", value: single(&w.Replicas, integer(1, 100)), required: true, example: "2",
			doc: "How many replicas must have a job; it should be all that can become the master."},
		{name: "timeout", value: single(&w.Timeout, waitTimeout), implied: "500ms", example: "1s",
			doc: "How long they may take for each write of up to 1,000 jobs."},
	}
	return section(keys, func(n node) {
		if w.Replicas > 0 && w.Timeout == 0 {
			w.Timeout = 500 * time.Millisecond
		}
	})
}

var waitTimeout = form[time.Duration]{
	shape: durationShape(false),
	parse: func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Millisecond || d > time.Minute || d%time.Millisecond != 0 {
			return 0, errors.New("must be a duration from 1ms to 1m, such as 500ms")
		}
		return d, nil
	},
	show: func(d time.Duration) any { return formatDuration(d) },
}

func iamSection(i *IAM) value {
	keys := []key{
		{name: "cache", value: single(&i.Cache, cacheName), required: true, example: "my-replication-group",
			doc: "The id of the replication group."},
	}
	return section(keys, func(node) {})
}

// cacheName is the id of an ElastiCache replication group, which AWS stores in
// lower case.
var cacheName = form[string]{shape: replicationGroup.shape, parse: func(text string) (string, error) {
	text, err := replicationGroup.parse(text)
	return strings.ToLower(text), err
}}

// https://docs.aws.amazon.com/AmazonElastiCache/latest/APIReference/API_CreateReplicationGroup.html
var replicationGroup = matching(`^[A-Za-z][A-Za-z0-9-]*$`, 40,
	"must be the id of an ElastiCache replication group: a letter, then up to 39 letters, digits or hyphens")

// checkURL checks the URL against the other keys.
func (r *Redis) checkURL(n node, address *url.URL) {
	scheme := address.Scheme
	if product := clusterProduct(address.Hostname()); product != "" {
		key := "url"
		if n.child("host").isSet() {
			key = "host"
		}
		n.child(key).fail("is %s, which is always in cluster mode, and Sidekiq does not work with that; use a node-based ElastiCache without cluster mode", product)
	}
	if _, hasPassword := address.User.Password(); r.IAM.Cache != "" {
		switch {
		case scheme != "rediss" && scheme != "valkeys":
			n.child("iam").fail("needs a Redis URL that begins with rediss://, because ElastiCache supports IAM only with TLS")
		case len(r.Sentinels) > 0:
			n.child("iam").fail("cannot be combined with redis.sentinels, which ElastiCache does not have")
		case hasPassword:
			n.child("iam").fail("cannot be combined with a password")
		case address.User.Username() == "":
			n.child("iam").fail("needs a user in the Redis URL, such as rediss://scout@master.my-group.abc123.use1.cache.amazonaws.com:6379")
		}
	}
	if r.TLS != (sidekiq.TLS{}) && scheme != "rediss" && scheme != "valkeys" {
		n.child("tls").fail("needs a Redis URL that begins with rediss://")
	}
	if len(r.Sentinels) > 0 && scheme == "unix" {
		n.child("sentinels").fail("needs a Redis URL such as redis://mymaster/0, with the master's name as its host")
	}
}

func tlsSection(t *sidekiq.TLS) value {
	keys := []key{
		{name: "ca", value: single(&t.CA, line), example: "/etc/myapp/redis-ca.pem",
			doc: "A PEM file with the certificate authorities to trust, or with a self-signed certificate; the system's authorities if absent."},
		{name: "cert", value: single(&t.Cert, line), example: "/etc/myapp/redis-cert.pem",
			doc: "A PEM file with Scout's own certificate, if Redis asks for one."},
		{name: "key", value: single(&t.Key, line), example: "/etc/myapp/redis-key.pem",
			doc: "A PEM file with the private key of cert."},
		{name: "server_name", value: single(&t.ServerName, word), example: "redis.internal",
			doc: "The name in the certificate of Redis, if it is not the host of the URL."},
		{name: "verify", value: single(&t.SkipVerify, negated), implied: "true", example: "false",
			doc: "Whether the certificate of Redis is verified; otherwise, anyone on the network can impersonate Redis."},
	}
	return section(keys, func(n node) {
		switch cert, key := n.child("cert"), n.child("key"); {
		case cert.value != nil && key.value == nil:
			key.fail("is required with redis.tls.cert")
		case key.value != nil && cert.value == nil:
			cert.fail("is required with redis.tls.key")
		}
	})
}

// setURL sets the URL from one of redis.url, redis.host and REDIS_URL, and the
// password. It returns nil if there is no valid URL.
func (r *Redis) setURL(n node, a redisAddress) *url.URL {
	address := a.url
	switch byURL, byHost, byEnv := n.child("url"), n.child("host"), n.redisVariable(); {
	case byURL.value != nil && byHost.isSet():
		byHost.fail("cannot be combined with redis.url, which already names the host")
	case byHost.isSet():
		address = a.host
	case byEnv.isSet() && byURL.value == nil:
		readInto(byEnv, &address, redisURL)
	case byURL.value == nil:
		byURL.fail("is required unless redis.host or the environment variable %s is set", byEnv.source)
	}
	if address == nil {
		return nil
	}
	if a.password != "" {
		if _, ok := address.User.Password(); ok {
			n.child("password").fail("cannot be combined with a Redis URL that contains a password")
		}
		address.User = url.UserPassword(address.User.Username(), a.password.Reveal())
	}
	r.URL = Secret(address.String())
	return address
}

// clusterProduct returns the AWS product that a host belongs to if it is always a
// Redis Cluster, else "".
func clusterProduct(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if !strings.HasSuffix(host, ".amazonaws.com") && !strings.HasSuffix(host, ".amazonaws.com.cn") {
		return ""
	}
	switch {
	case strings.Contains(host, ".memorydb."):
		return "an Amazon MemoryDB"
	case strings.Contains(host, ".serverless."):
		return "an ElastiCache Serverless"
	case strings.HasPrefix(host, "clustercfg."):
		return "the configuration endpoint of an ElastiCache cluster"
	}
	return ""
}

// redisVariable returns the environment variable with the URL of Redis, as Sidekiq
// does: the one that REDIS_PROVIDER names, or REDIS_URL.
func (n node) redisVariable() node {
	provider := n.variable("REDIS_PROVIDER")
	if provider.value == nil {
		return n.variable("REDIS_URL")
	}
	name := provider.value.Value
	if !envName.MatchString(name) {
		provider.fail("must be the name of the environment variable with the URL of Redis, such as REDISCLOUD_URL")
		return node{document: n.document, source: provider.source}
	}
	return n.variable(name)
}

// redisURL explains what is wrong with a URL more precisely than its parser.
var redisURL = form[*url.URL]{shape: shape{about: "a URL", pattern: "^[A-Za-z]+:"}, parse: func(text string) (*url.URL, error) {
	if strings.ContainsFunc(text, unicode.IsSpace) {
		return nil, errors.New("must be a URL, which contains no blanks; write a blank in a password as %20")
	}
	return sidekiq.ParseURL(text)
}}

// redisHost is the address that Scout 1.x takes, as a URL.
var redisHost = form[*url.URL]{parse: func(text string) (*url.URL, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port, err = net.SplitHostPort(text + ":6379")
	}
	number, portErr := strconv.ParseUint(port, 10, 16)
	_, notIP := netip.ParseAddr(host)
	isName := !strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	if err != nil || portErr != nil || number == 0 || notIP != nil && !isName || strings.Contains(host, "%") {
		return nil, errors.New("must be host:port, such as localhost:6379")
	}
	host = cmp.Or(host, "localhost") // like net.Dial
	return &url.URL{Scheme: "redis", Host: net.JoinHostPort(host, port), Path: "/0"}, nil
}}

// sentinel is the address of a Redis Sentinel. The port is 26379 if absent.
var sentinel = form[string]{parse: func(text string) (string, error) {
	if _, _, err := net.SplitHostPort(text); err != nil {
		text = net.JoinHostPort(strings.Trim(text, "[]"), "26379")
	}
	host, err := redisHost.parse(text)
	if err != nil || host.Hostname() == "localhost" && strings.HasPrefix(text, ":") {
		return "", errors.New("must be the host:port of a Redis Sentinel, such as sentinel.internal:26379")
	}
	return host.Host, nil
}}

// sidekiqVersion is a major version of Sidekiq. Versions before 6 write jobs like 6.
var sidekiqVersion = form[int]{shape: shape{enum: "[6, 7, 8, '6', '7', '8']"}, parse: func(text string) (int, error) {
	switch text {
	case "6", "7", "8":
		return int(text[0] - '0'), nil
	}
	return 0, errors.New("must be 6, 7 or 8")
}}

// dedupTTL is 0, or long enough to span a redelivery. SQS keeps a message for up
// to 14 days in a queue, and as long again in its dead-letter queue.
var dedupTTL = form[time.Duration]{
	shape: durationShape(true),
	parse: func(text string) (time.Duration, error) {
		d, err := duration(0, 28*24*time.Hour).parse(text)
		if err != nil || 0 < d && d < time.Minute {
			return 0, errors.New("must be 0 (off) or a duration in whole seconds from 1m to 672h, such as 24h")
		}
		return d, nil
	},
	show: func(d time.Duration) any { return formatDuration(d) },
}
