package sidekiq

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// ParseURL parses the URL of a Redis; see Options for its forms. An error says
// what is allowed and shows nothing of the URL, because it may hold a password.
func ParseURL(text string) (*url.URL, error) {
	scheme, _, _ := strings.Cut(text, ":")
	if scheme != "redis" && scheme != "rediss" && scheme != "unix" {
		return nil, errors.New("must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)")
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.Fragment != "":
		return nil, errors.New("must be a URL such as redis://user:password@host:6379/0; special characters in the password must be percent-encoded")
	case scheme == "unix" && (u.Host != "" || u.Path == ""):
		return nil, errors.New("must be the path of a socket, such as unix:///run/redis.sock")
	case scheme == "unix" && !isNumber(u.Query().Get("db")):
		return nil, errors.New("must have a number as its database, such as unix:///run/redis.sock?db=0")
	case scheme == "unix":
		return u, nil
	case u.RawQuery != "":
		return nil, errors.New("must have nothing after a question mark; the database is the path, such as redis://localhost:6379/0")
	case u.Hostname() == "":
		return nil, errors.New("must have a host, such as redis://localhost:6379/0")
	case !isNumber(u.Port()):
		return nil, errors.New("must have a port up to 65535, or none for 6379")
	case !isNumber(strings.TrimPrefix(u.Path, "/")):
		return nil, errors.New("must end after the host, or in the number of a database, such as redis://localhost:6379/0")
	}
	return u, nil
}

// isNumber reports whether the text is a number of up to 16 bits, or empty.
func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil
}
