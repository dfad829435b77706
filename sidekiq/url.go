package sidekiq

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// ParseURL parses the URL of a Redis; see Options for its forms. An error says
// what is wrong or allowed and shows nothing of the URL, because it may hold a
// password.
func ParseURL(text string) (*url.URL, error) {
	if err := checkStray(text); err != nil {
		return nil, err
	}
	scheme, _, _ := strings.Cut(text, ":")
	switch scheme {
	case "redis", "rediss", "valkey", "valkeys", "unix":
	default:
		return nil, errors.New("must begin with redis://, rediss:// (TLS) or unix:// (a socket's path)")
	}
	u, err := url.Parse(text)
	switch {
	case scheme != "unix" && hasWrongIPv6(text, err):
		return nil, errors.New("must have an IPv6 address in brackets, with %25 before its zone if it has one, such as redis://[::1]:6379/0 or redis://[fe80::1%25eth0]:6379/0")
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
	case !isNumber(u.Port()) || strings.Trim(u.Port(), "0") == "" && u.Port() != "":
		return nil, errors.New("must have a port from 1 to 65535, or none for 6379")
	case !isNumber(strings.TrimPrefix(u.Path, "/")):
		return nil, errors.New("must end after the host, or in the number of a database, such as redis://localhost:6379/0")
	}
	return u, nil
}

// checkStray rejects characters that come with a URL from files, shells and
// templates and are not part of it.
func checkStray(text string) error {
	const quotes = "\"'`“”‘’<>"
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == "":
		return nil
	case trimmed != text:
		return errors.New("has a blank or a line break before or after it")
	case strings.TrimLeft(text, quotes) != text || strings.TrimRight(text, quotes) != text:
		return errors.New("has quotes around it")
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return errors.New("has a blank or a control character in it; special characters in the password must be percent-encoded")
	}
	return nil
}

// hasWrongIPv6 reports whether the host of a URL is an IPv6 address without
// brackets, or has brackets around anything else. parseErr is url.Parse's.
func hasWrongIPv6(text string, parseErr error) bool {
	_, rest, _ := strings.Cut(text, "://")
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
		if strings.Contains(rest[end:], "@") { // it is not the end but a character of the password
			return false
		}
	}
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	if strings.HasPrefix(host, "[") {
		return parseErr != nil
	}
	return strings.Count(host, ":") > 1
}

// isNumber reports whether the text is a number of up to 16 bits, or empty.
func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil
}
