package config

import (
	"cmp"
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"scout/sidekiq"
)

// Address is the URL without user, password and parameters, fit for a log line.
func (r Redis) Address() string {
	u, err := url.Parse(r.URL.Reveal())
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (r *Redis) read(n node) {
	r.Queue = "default"
	r.DedupTTL = 24 * time.Hour
	var address, hostAddress *url.URL
	var password Secret
	n.fields(
		field{"url", into(&address, sidekiq.ParseURL)},
		field{"host", v1(into(&hostAddress, redisHost))},
		field{"password", v1(into(&password, secret))},
		field{"namespace", v1(into(&r.Namespace, word))},
		field{"queue", v1(into(&r.Queue, word))},
		field{"timestamps", into(&r.Milliseconds, milliseconds)},
		field{"dedup_ttl", into(&r.DedupTTL, dedupTTL)},
	)
	switch byURL, byHost, byEnv := n.child("url"), n.child("host"), n.variable("REDIS_URL"); {
	case byURL.value != nil && byHost.given():
		byHost.fail("cannot be with redis.url, which has a host already")
	case byHost.given():
		address = hostAddress
	case byEnv.given() && byURL.value == nil:
		into(&address, sidekiq.ParseURL)(byEnv)
	case byURL.value == nil:
		byURL.fail("is required, or redis.host, or the environment variable REDIS_URL")
	}
	if address != nil {
		r.URL = withPassword(address, password, n.child("password"))
	}
}

// withPassword puts the password, if any, into a URL that has none yet.
func withPassword(u *url.URL, password Secret, place node) Secret {
	if password != "" {
		if _, ok := u.User.Password(); ok {
			place.fail("cannot be with a Redis URL that has a password already")
		}
		u.User = url.UserPassword(u.User.Username(), password.Reveal())
	}
	return Secret(u.String())
}

// redisHost makes a URL of the address that Scout 1.x took.
func redisHost(text string) (*url.URL, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port, err = net.SplitHostPort(text + ":6379")
	}
	number, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || number == 0 || strings.ContainsAny(host, " /@?#%") {
		return nil, errors.New("must be host:port, such as localhost:6379")
	}
	host = cmp.Or(host, "localhost") // as net.Dial has it
	return &url.URL{Scheme: "redis", Host: net.JoinHostPort(host, port), Path: "/0"}, nil
}

func milliseconds(text string) (bool, error) {
	switch text {
	case "seconds":
		return false, nil
	case "milliseconds":
		return true, nil
	}
	return false, errors.New("must be seconds or milliseconds")
}

// dedupTTL is 0, or long enough to span a redelivery. SQS keeps a message for 14
// days in a queue and as long again in its dead-letter queue.
func dedupTTL(text string) (time.Duration, error) {
	d, err := duration(0, 28*24*time.Hour)(text)
	if err != nil || 0 < d && d < time.Minute {
		return 0, errors.New("must be 0 (off) or a duration of whole seconds from 1m to 672h, such as 24h")
	}
	return d, nil
}
