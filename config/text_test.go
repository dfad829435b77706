package config

import (
	"fmt"
	"strings"
	"testing"
)

// texts are the keys that hold text, each in a configuration in which VALUE is
// its value.
var texts = map[string]string{
	"redis.url":       "redis: {url: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"redis.host":      "redis: {host: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"redis.namespace": "redis: {host: h, namespace: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"redis.queue":     "redis: {host: h, queue: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"aws.region":      "redis: {host: h}\naws: {region: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"aws.endpoint":    "redis: {host: h}\naws: {endpoint: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"queue.name":      "redis: {host: h}\nqueue: {name: VALUE, topics: {t: W}}\n",
	"queue.url":       "redis: {host: h}\nqueue: {url: VALUE, topics: {t: W}}\n",
	"queue.wait_time": "redis: {host: h}\nqueue: {name: q, wait_time: VALUE, topics: {t: W}}\n",
	"class":           "redis: {host: h}\nqueue: {name: q, topics: {t: VALUE}}\n",
	"queue of a job":  "redis: {host: h}\nqueue: {name: q, topics: {t: {class: W, queue: VALUE}}}\n",
	"tag":             "redis: {host: h}\nqueue: {name: q, topics: {t: {class: W, tags: [VALUE]}}}\n",
	"topic":           "redis: {host: h}\nqueue: {name: q, topics: {VALUE: W}}\n",
}

// secrets are the keys that hold secrets, like texts.
var secrets = map[string]string{
	"redis.password": "redis: {host: h, password: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
	"aws.access_key": "redis: {host: h}\naws: {access_key: VALUE, secret_key: s}\nqueue: {name: q, topics: {t: W}}\n",
	"aws.secret_key": "redis: {host: h}\naws: {access_key: a, secret_key: VALUE}\nqueue: {name: q, topics: {t: W}}\n",
}

// loadValue loads a configuration with a value, which is in the file, in an
// environment variable or in a parameter.
func loadValue(t *testing.T, text, value, from string) error {
	t.Helper()
	reference := map[string]string{"file": fmt.Sprintf("%q", value), "variable": "env:VARIABLE", "parameter": "ssm:/value"}[from]
	loader := Loader{Env: vars("VARIABLE", value)}
	if from == "parameter" {
		loader = (&store{parameters: map[string]string{"/value": value}}).loader(t)
	}
	_, err := loader.Load(t.Context(), strings.ReplaceAll(text, "VALUE", reference))
	return err
}

func sources(text string) []string {
	if strings.Contains(text, "{VALUE: W}") {
		return []string{"file"} // a key is never a reference
	}
	return []string{"file", "variable", "parameter"}
}

const placeholderError = "is or contains a placeholder that another tool should have filled in; Scout replaces only env:NAME and ssm:/path/name, as the whole value"

// TestPlaceholders puts the placeholders of other tools everywhere.
func TestPlaceholders(t *testing.T) {
	whole := []string{"${NS}", "${env:NS}", "${NS:-default}", "<%= ENV['NS'] %>", "{{ ns }}", "{{resolve:ssm:/ns}}", "%{ns}", "$(NS)", "$NS", "$ns_2", "#{ns}", "{% ns %}", "${A}${B}"}
	for key, text := range texts {
		for _, value := range whole {
			checkPlaceholder(t, key, text, value)
			if !strings.HasPrefix(value, "$N") && !strings.HasPrefix(value, "$n") {
				checkPlaceholder(t, key, text, "a-"+value)
				checkPlaceholder(t, key, text, value+"-b")
			}
		}
	}
	for key, text := range secrets {
		for _, value := range whole {
			checkPlaceholder(t, key, text, value)
		}
	}
	for _, url := range []string{
		"redis://:${PW}@h", "redis://:$PW@h", "redis://:$(PW)@h", "redis://:{{ pw }}@h", "redis://:<%= pw %>@h", "redis://user:%{pw}@h:1/0",
		"redis://$USER:pw@h", "redis://$HOST", "redis://$HOST:6379/0", "redis://h:$PORT/0", "redis://h/$DB", "redis://${HOST}:6379", "rediss://u:p@{{ host }}/0",
	} {
		checkPlaceholder(t, "redis.url", texts["redis.url"], url)
	}
	checkPlaceholder(t, "redis.host", texts["redis.host"], "$HOST:6379")
	checkPlaceholder(t, "queue.url", texts["queue.url"], "https://sqs.$REGION.amazonaws.com/123456789012/q${STAGE}")
	checkPlaceholder(t, "aws.endpoint", texts["aws.endpoint"], "http://$HOST:4566")
}

func checkPlaceholder(t *testing.T, key, text, value string) {
	t.Helper()
	for _, from := range sources(text) {
		t.Run(key+" "+from+" "+value, func(t *testing.T) {
			err := loadValue(t, text, value, from)
			if err == nil || !strings.Contains(err.Error(), placeholderError) || strings.Contains(err.Error(), value) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestUnquotedPlaceholder has one that YAML takes for a mapping in a mapping.
func TestUnquotedPlaceholder(t *testing.T) {
	const hint = "; {{ }} is a placeholder that another tool should have filled in"
	checkInvalid(t, "redis: {host: h}\nqueue:\n  name: {{ q }}\n  topics: {t: W}", "3: queue.name: must be a single value, not a mapping"+hint)
	checkInvalid(t, "redis: {host: h}\nqueue:\n  name: q\n  topics:\n    {{ t }}: W",
		"5: queue.topics: has a mapping as a key; write a plain name before the colon"+hint)
}

// TestTextThatIsAllowed has values that look like placeholders or references, but
// are none, or belong to a secret.
func TestTextThatIsAllowed(t *testing.T) {
	for _, value := range []string{"a${b}c", "$a$b", "a$PW", "100%", "a{{b", "$1", "{a}", "a env:B", "x'", `"`, "p@:/?#[]%+ é", "$", "🔒"} {
		for key, text := range secrets {
			for _, from := range sources(text) {
				t.Run(key+" "+from+" "+value, func(t *testing.T) {
					if err := loadValue(t, text, value, from); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
	for key, values := range map[string][]string{
		"redis.url": {"redis://:a$PW@h", "redis://:a$(b)c@h", "redis://:%24PW@h", "redis://:%7B%7Bpw%7D%7D@h", "redis://env:6379/0", "redis://ssm:6379", "redis://user:xenv:y@h"},
		"tag":       {"a$b", "50%", "it's", "environment", "a:b", "naïve"},
		// redis-namespace nests namespaces, and Sidekiq's queues may have colons.
		"redis.namespace": {"a:b", "my_env"}, "redis.queue": {"mailers:low", "queue", "low_2"},
		"aws.endpoint": {"http://env:4566"},
	} {
		for _, value := range values {
			t.Run(key+" "+value, func(t *testing.T) {
				if err := loadValue(t, texts[key], value, "file"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestReferencesInsideValues(t *testing.T) {
	const want = "contains a reference that is not resolved; env:NAME or ssm:/path/name must be the whole value of a key in the configuration"
	for key, values := range map[string][]string{
		"redis.url":       {"redis://:env:REDIS_PASSWORD@h", "redis://:ssm:/app/pw@h", "redis://user:env:PW@h:1/0", "redis://env:REDIS_PASSWORD@h", "redis://env:HOST:6379/0", "redis://ssm:/app/host/0"},
		"redis.host":      {"tcp-env:HOST"},
		"redis.namespace": {"a-env:B"}, "redis.queue": {"a.ssm:/b"},
		"aws.region": {"eu-env:REGION"}, "aws.endpoint": {"http://env:HOST"},
		"queue.url": {"https://h/1/env:NAME"}, "queue.name": {"q-env:STAGE"}, "tag": {"a env:B"}, "topic": {"t-env:STAGE"},
	} {
		for _, value := range values {
			for _, from := range sources(texts[key]) {
				t.Run(key+" "+from+" "+value, func(t *testing.T) {
					err := loadValue(t, texts[key], value, from)
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("the error is %v", err)
					}
				})
			}
		}
	}
	_, err := Loader{Env: vars("REDIS_URL", "env:OTHER")}.Load(t.Context(), "queue: {topics: {t: W}}\n")
	check(t, "error", fmt.Sprint(err), "REDIS_URL: "+want)
}

// TestStrayCharacters adds to every value what files, shells and the clipboard add.
func TestStrayCharacters(t *testing.T) {
	const value = "hunter2"
	tests := map[string]struct{ value, want string }{
		"two line breaks":  {value + "\n\n", "ends in a blank or a line break; remove it"},
		"carriage return":  {value + "\r", "ends in a blank or a line break; remove it"},
		"blank at the end": {value + " ", "ends in a blank or a line break; remove it"},
		"blank, break":     {value + " \n", "ends in a blank or a line break; remove it"},
		"no-break space":   {value + "\u00a0", "ends in a blank or a line break; remove it"},
		"blank first":      {" " + value, "starts with a blank or a line break; remove it"},
		"tab first":        {"\t" + value, "starts with a blank or a line break; remove it"},
		"line break first": {"\n" + value, "starts with a blank or a line break; remove it"},
		"byte order mark":  {"\ufeff" + value, "contains an invisible character (U+FEFF); remove it"},
		"zero width":       {"hun\u200bter2", "contains an invisible character (U+200B); remove it"},
		"right to left":    {"hun\u202eter2", "contains an invisible character (U+202E); remove it"},
		"line break":       {"hun\nter2", "contains an invisible character (U+000A); remove it"},
		"escape":           {"hun\x1bter2", "contains an invisible character (U+001B); remove it"},
		"quotes":           {`"` + value + `"`, "is enclosed in quotes that are part of the value; remove them"},
		"single quotes":    {"'" + value + "'", "is enclosed in quotes that are part of the value; remove them"},
		"backticks":        {"`" + value + "`", "is enclosed in quotes that are part of the value; remove them"},
		"curly quotes":     {"“" + value + "”", "is enclosed in quotes that are part of the value; remove them"},
	}
	for name, test := range tests {
		for _, keys := range []map[string]string{texts, secrets} {
			for key, text := range keys {
				for _, from := range sources(text) {
					t.Run(name+" "+key+" "+from, func(t *testing.T) {
						err := loadValue(t, text, test.value, from)
						if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), value) {
							t.Errorf("the error is %v", err)
						}
					})
				}
			}
		}
		for _, variable := range []string{"REDIS_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SQS",
			"SCOUT_SQS_CLIENT", "SCOUT_SQS_MAX_NUMBER_OF_MESSAGES", "SCOUT_SQS_WAIT_TIME_SECONDS", "SCOUT_SQS_VISIBILITY_TIMEOUT"} {
			t.Run(name+" "+variable, func(t *testing.T) {
				_, err := Loader{Env: vars(variable, test.value)}.Load(t.Context(), "queue: {topics: {t: W}}\n")
				want := variable + ": " + test.want
				if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), value) {
					t.Errorf("the error is %v", err)
				}
			})
		}
	}
	if err := loadValue(t, secrets["redis.password"], "hun\xffter2", "variable"); err == nil || !strings.HasSuffix(err.Error(), "is not UTF-8 text") {
		t.Errorf("the error is %v", err)
	}
}

// TestLineBreakAtTheEnd has values that were made of files.
func TestLineBreakAtTheEnd(t *testing.T) {
	for name, end := range map[string]string{"line feed": "\n", "Windows": "\r\n"} {
		t.Run(name, func(t *testing.T) {
			s := &store{parameters: map[string]string{"/secret": "s" + end, "/config": "redis: {password: env:PW}\nqueue: {topics: {t: W}}" + end}}
			l := s.loader(t, "REDIS_URL", "redis://h"+end, "PW", "p"+end, "ACCESS", "a"+end, "AWS_REGION", "us-east-1"+end,
				"AWS_ENDPOINT_URL_SQS", "http://h"+end, "SCOUT_SQS_WAIT_TIME_SECONDS", "7"+end)
			c, err := l.Load(t.Context(), "redis: {password: env:PW}\naws: {access_key: env:ACCESS, secret_key: ssm:/secret}\nqueue: {topics: {t: W}}\n")
			if err != nil {
				t.Fatal(err)
			}
			check(t, "URL", c.Redis.URL.Reveal(), "redis://:p@h")
			check(t, "AWS", c.AWS, AWS{Region: "us-east-1", AccessKey: "a", SecretKey: "s", Endpoint: "http://h"})
			check(t, "wait time", c.Queues[0].WaitTime.Seconds(), 7.0)

			if _, err := l.Load(t.Context(), "ssm:/config"+end); err != nil {
				t.Errorf("from a parameter: %v", err)
			}
			l.Env = vars("SCOUT_CONFIG", inFile(t, minimal)+end)
			if _, err := l.Load(t.Context(), ""); err != nil {
				t.Errorf("from a file: %v", err)
			}
			l.Env = vars("SCOUT_CONFIG", "{redis: {host: h}, queue: {topics: {t: W}}}"+end)
			if _, err := l.Load(t.Context(), ""); err != nil {
				t.Errorf("YAML in one line: %v", err)
			}
		})
	}
}

// TestNamesInRedis has names that no Sidekiq process would read.
func TestNamesInRedis(t *testing.T) {
	const (
		redisKey  = "must be the name of the queue alone, without the queue: of its Redis key"
		weight    = "must be the name of one queue, without a weight or a comma"
		colon     = "must be the name of a queue, without a colon at its start or end"
		namespace = "must be the namespace alone, without a colon at its start or end; Scout adds the colon that follows it in Redis keys"
	)
	tests := map[string]string{
		"queue:critical": redisKey, "myapp:queue:critical": redisKey, "queue:": redisKey,
		"critical,2": weight, "critical,low": weight, ",": weight,
		":critical": colon, "critical:": colon,
		"critical 2": "must be text without spaces", "a\u00a0b": "must be text without spaces",
	}
	for value, want := range tests {
		for _, key := range []string{"redis.queue", "queue of a job"} {
			t.Run(key+" "+value, func(t *testing.T) { checkSuffix(t, loadValue(t, texts[key], value, "file"), want) })
		}
	}
	for value, want := range map[string]string{
		"myapp:": namespace, ":myapp": namespace, "a:b:": namespace, ":": namespace,
		"my app": "must be text without spaces", "myapp:queue:default": "must be the namespace alone, not the Redis key of a queue",
	} {
		t.Run("namespace "+value, func(t *testing.T) { checkSuffix(t, loadValue(t, texts["redis.namespace"], value, "file"), want) })
	}
	for _, value := range []string{"US-EAST-1", "us east 1", "us-east-1/x", "https://sqs.us-east-1.amazonaws.com"} {
		t.Run("region "+value, func(t *testing.T) {
			checkSuffix(t, loadValue(t, texts["aws.region"], value, "file"), "must be the name of an AWS region, such as us-east-1")
		})
	}
	for _, value := range []string{"a,b", "h:1,i:1", "h;i", "<h>", "::1", "[::1", "$h"} {
		t.Run("host "+value, func(t *testing.T) {
			if err := loadValue(t, texts["redis.host"], value, "file"); err == nil {
				t.Error("no error")
			}
		})
	}
	checkSuffix(t, loadValue(t, texts["redis.url"], "redis://:hunter 2@h", "file"), "must be a URL, which contains no blanks; write a blank in a password as %20")
}

func checkSuffix(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
		t.Errorf("the error is %v, not %s", err, want)
	}
}
