package config

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestSlips has what people write when they mean something else. The errors say
// what is there, and what to write.
func TestSlips(t *testing.T) {
	const (
		colons  = "mapping values are not allowed in this context; indent the keys of a mapping equally, put a space after the colon of a key, and quote a value that contains a colon and a space"
		key     = "did not find expected key; indent the keys of a mapping equally, and put nothing after the closing quote of a value"
		start   = "found character that cannot start any token; quote a key or value that starts with @, ` or %"
		rest    = "\nqueue: {name: q, topics: {t: W}}"
		allowed = "allowed: url, host, password, tls, sentinels, sentinel_username, sentinel_password, iam, wait, namespace, queue, sidekiq, timestamps, dedup_ttl"
	)
	tests := map[string]struct{ text, want string }{
		"tab":                     {"redis:\n  host: h\n\tqueue: b" + rest, "3: is not valid YAML: a tab in the indentation; use spaces"},
		"tab after spaces":        {"redis:\n  host: h\n \tqueue: b" + rest, "3: is not valid YAML: a tab in the indentation; use spaces"},
		"tab on a blank line":     {"queue:\n  name: q\n\n\t\n  topics: {t: W}", "4: is not valid YAML: a tab in the indentation; use spaces"},
		"tab after a dash":        {"queues:\n-\tname: q", "2: is not valid YAML: a tab in the indentation; use spaces"},
		"at":                      {"redis:\n  password: @hunter2" + rest, "2: is not valid YAML: " + start},
		"backtick":                {"redis:\n  password: `hunter2`" + rest, "2: is not valid YAML: " + start},
		"percent":                 {"redis:\n  password: %hunter2" + rest, "2: is not valid YAML: " + start},
		"percent first":           {"%hunter2" + rest, "1: is not valid YAML: found unknown directive name; quote a key or value that starts with %"},
		"at first":                {"@redis: {}" + rest, "1: is not valid YAML: " + start},
		"asterisk":                {"queue:\n  topics:\n    *-events: W", "3: is not valid YAML: an alias to an undefined anchor; quote a value that starts with *"},
		"asterisk alone":          {"queue:\n  topics:\n    *: W", "3: is not valid YAML: did not find expected alphabetic or numeric character; quote a key or value that starts with * or &"},
		"ampersand":               {"redis: {host: h, password: &hunter2 }" + rest, "1: redis.password: has no value; quote a value that starts with &"},
		"ampersand on a section":  {"redis: {host: h}\naws: &hunter2" + rest, "2: aws: has no value; must be a mapping"},
		"colon":                   {"redis:\n  password: hunter2: x" + rest, "2: is not valid YAML: " + colons},
		"key of a key":            {"redis: host: h" + rest, "1: is not valid YAML: " + colons},
		"no colon":                {"redis:\n  host h\n  queue: q" + rest, "3: is not valid YAML: " + colons},
		"indentation":             {"redis:\n  host: h\n queue: q" + rest, "3: is not valid YAML: " + key},
		"after a quote":           {"redis:\n  password: 'hun'ter2" + rest, "2: is not valid YAML: " + key},
		"bracket":                 {"redis:\n  password: [hunter2" + rest, "2: is not valid YAML: did not find expected ',' or ']'; close every [ and {, and quote a value that starts with one of them"},
		"open quote":              {"redis:\n  password: \"hunter2" + rest, "2: is not valid YAML: found unexpected end of stream; close every quote"},
		"pipe":                    {"redis:\n  password: |hunter2" + rest, "2: is not valid YAML: did not find expected comment or line break; quote a value that starts with | or >"},
		"block":                   {"redis:\n  host: h\n  password: |\n    hunter2" + rest, "3: redis.password: ends in a blank or a line break; remove it"},
		"backslash":               {"redis:\n  password: \"hunter2\\q\"" + rest, "2: is not valid YAML: found unknown escape character; put a value with backslashes into single quotes"},
		"dash":                    {"redis:\n  password: - hunter2" + rest, "2: is not valid YAML: block sequence entries are not allowed in this context; start a list on the line after its key, and quote a value that starts with a dash and a space"},
		"missing space":           {"redis:\n  host:h" + rest, "1: redis: must be a mapping, not a single value; put a space after the colon of a key"},
		"missing space, braces":   {"redis: {host: h, password:hunter2}" + rest, "1: redis.(not shown): unknown key; is a space missing after its colon? " + allowed},
		"no-break space":          {"redis:\n  host: h\n\u00a0 queue: q" + rest, "3: (not shown): unknown key; it starts with a blank or a line break; remove it; allowed: redis, aws, queue, queues, workers, limits, max_bytes, trace, shutdown_timeout, tests"},
		"topics are a list":       {"redis: {host: h}\nqueue:\n  name: q\n  topics:\n  - orders: W", "4: queue.topics: must be a mapping, not a list; write key: value, without a dash"},
		"topic is a list":         {"redis: {host: h}\nqueue:\n  name: q\n  topics:\n    [orders]: W", "5: queue.topics: has a list as a key; write a plain name before the colon"},
		"topic is a mapping":      {"redis: {host: h}\nqueue:\n  name: q\n  topics:\n    {orders: W}: W", "5: queue.topics: has a mapping as a key; write a plain name before the colon"},
		"key of a worker":         {"redis: {host: h}\nqueue:\n  name: q\n  topics:\n    t: {class: W, [queue]: low}", "5: queue.topics.t: has a list as a key; write a plain name before the colon"},
		"queues are a mapping":    {"redis: {host: h}\nqueues:\n  a: {name: q}", "2: queues: must be a list, not a mapping; start each item with a dash and a space"},
		"redis is a list":         {"redis:\n- host: h" + rest, "1: redis: must be a mapping, not a list; write key: value, without a dash"},
		"control character":       {"redis: {host: h}\n\x07" + rest, "2: contains a control character (U+0007); remove it"},
		"Latin 1":                 {"redis: {host: h} # caf\xe9" + rest, "1: is not UTF-8; save it as UTF-8"},
		"UTF-16 without its mark": {utf16le("redis: {host: h}" + rest), "1: contains a zero byte, perhaps because it is UTF-16; save it as UTF-8"},
		"half of UTF-16":          {"\xff\xfer\x00e\x00", "is not valid YAML: incomplete UTF-16 character; save it as UTF-8"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { checkInvalid(t, test.text, test.want) })
	}
}

func utf16le(text string) string {
	b := []byte{}
	for _, unit := range utf16.Encode([]rune(text)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return string(b)
}

// TestFileFormats has files as editors save them.
func TestFileFormats(t *testing.T) {
	for name, text := range map[string]string{
		"Windows":         strings.ReplaceAll(minimal, "\n", "\r\n"),
		"old Macintosh":   strings.ReplaceAll(minimal, "\n", "\r"),
		"byte order mark": "\ufeff" + minimal,
		"UTF-16":          "\xff\xfe" + utf16le(minimal),
		"JSON with tabs":  "{\n\t\"redis\": {\n\t\t\"host\": \"h\"\n\t},\n\t\"queue\": {\"name\": \"q\", \"topics\": {\"t\": \"W\"}}\n}",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := (Loader{Env: vars()}).Load(t.Context(), inFile(t, text)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBounds has configurations that are too large, wherever they are from.
func TestBounds(t *testing.T) {
	const tooLarge = ": is larger than 1MiB, the maximum size of a configuration"
	large := minimal + "# " + strings.Repeat("x", 1<<20)

	_, err := load(t, large)
	check(t, "variable", fmt.Sprint(err), "SCOUT_CONFIG"+tooLarge)

	// A file of 100 GB, of which a disk holds almost nothing.
	file := inFile(t, minimal)
	if err := os.Truncate(file, 100e9); err != nil {
		t.Fatal(err)
	}
	_, err = Loader{Env: vars()}.Load(t.Context(), file)
	check(t, "file", fmt.Sprint(err), "scout.yml"+tooLarge)

	_, err = Loader{Env: vars()}.Load(t.Context(), "/dev/zero")
	check(t, "device", fmt.Sprint(err), "/dev/zero"+tooLarge)

	for name, text := range map[string]string{
		"flow":  "redis: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"block": "redis:\n" + strings.Repeat("- ", 5000) + "x",
	} {
		_, err = load(t, text)
		if err == nil || !strings.HasSuffix(err.Error(), ": is nested deeper than 100 levels") {
			t.Errorf("%s: %v", name, err)
		}
	}

	_, err = load(t, "x"+strings.Repeat("y", 10_000)+": 1\n"+minimal)
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("an error of %d bytes shows a long key", len(fmt.Sprint(err)))
	}

	text := minimal
	for i := range 1000 {
		text += fmt.Sprintf("k%d: 1\n", i)
	}
	_, err = load(t, text)
	if err == nil || !strings.HasSuffix(err.Error(), "\nand 900 more errors") || strings.Count(err.Error(), "\n") != 100 {
		t.Errorf("the error is %.300v", err)
	}
}

// TestHugeParameter has a Parameter Store that never stops responding.
func TestHugeParameter(t *testing.T) {
	s := &store{fail: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = fmt.Fprint(w, `{"Parameters": [{"Name": "/a", "Value": "`)
		for {
			if _, err := fmt.Fprint(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	}}
	_, err := s.loader(t).Load(t.Context(), "ssm:/a")
	check(t, "error", fmt.Sprint(err), "--config: parameter /a: the response of Parameter Store is larger than 1MiB")
}
