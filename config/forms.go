package config

import (
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"scout/handler"
	"scout/sidekiq"
)

// A form is what single values of one kind look like.
type form[T any] struct {
	shape
	secret bool // see checkText

	// parse returns the value of a text. Its error says what is allowed, and
	// never shows the text, which may be a misplaced secret.
	parse func(text string) (T, error)

	// show returns the value for YAML; nil shows it as it is.
	show func(T) any
}

// shown returns a value for YAML.
func (f form[T]) shown(v T) any {
	if f.show == nil {
		return v
	}
	return f.show(v)
}

// matching is a text with a pattern and a maximum length in bytes. The pattern
// does not limit the length itself, because {1,256} is compiled into 256 copies,
// at each start of the Lambda function.
func matching(pattern string, maximum int, message string) form[string] {
	re := regexp.MustCompile(pattern)
	return form[string]{shape: shape{pattern: pattern, maxLength: maximum}, parse: func(text string) (string, error) {
		if len(text) > maximum || !re.MatchString(text) {
			return "", errors.New(message)
		}
		return text, nil
	}}
}

var (
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
	sqsName = matching(`^[A-Za-z0-9_-]+(\.fifo)?$`, 80,
		"must be the name of an SQS queue: 1 to 80 letters, digits, - or _, then .fifo for a FIFO queue; a URL belongs in queue.url")

	// https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
	topicARN  = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:`)
	topicName = matching(`^[A-Za-z0-9_-]+(\.fifo)?$|^[A-Za-z0-9_.*?-]*[*?][A-Za-z0-9_.*?-]*$`, 256, topicForms)

	className = matching(`^[A-Z]\w*(::[A-Z]\w*)*$`, 1024, "must be a Ruby class, such as FooWorker or Orders::SyncJob")
)

// topicKey is the pattern of keys that checkTopic accepts.
const topicKey = `^(arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:)?[A-Za-z0-9_-]+(\.fifo)?$|^[A-Za-z0-9_.*?-]*[*?][A-Za-z0-9_.*?-]*$`

const topicForms = "must be the name of a topic, its full ARN, or a pattern for names with * and ?"

// checkTopic checks a key of queue.topics.
func checkTopic(text string) error {
	arn := topicARN.FindString(text)
	name, err := topicName.parse(text[len(arn):])
	if err == nil && arn != "" && strings.ContainsAny(name, "*?") {
		err = errors.New(topicForms)
	}
	return err
}

// checkEvent checks a key of queue.eventbridge.
func checkEvent(text string) error {
	source, _, ok := strings.Cut(text, "/")
	if isPattern := strings.Contains(text, "*"); !isPattern && (!ok || source == "") {
		return errors.New("must be source/detail-type, such as shop.billing/Invoice Paid, or a pattern for it with * and ?")
	}
	return nil
}

// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html, and
// older names, which may be longer.
var bucketName = matching(`^[A-Za-z0-9._*?-]+$`, 255, "must be the name of an S3 bucket, or a pattern with * and ?")

// checkBucket checks a key of queue.s3.
func checkBucket(text string) error {
	_, err := bucketName.parse(text)
	return err
}

// selector is a place in a message.
var selector = form[handler.Selector]{
	shape: shape{pattern: "^(attribute:.|body:/)"},
	parse: handler.ParseSelector,
	show:  func(s handler.Selector) any { return s.String() },
}

// messageID is a selector, or sqs for none.
var messageID = form[handler.Selector]{
	shape: shape{pattern: "^(sqs$|attribute:.|body:/)"},
	parse: func(text string) (handler.Selector, error) {
		if text == "sqs" {
			return handler.Selector{}, nil
		}
		s, err := handler.ParseSelector(text)
		if err != nil {
			return s, errors.New("must be sqs, attribute:NAME, or body: and a JSON pointer, such as body:/order/id")
		}
		return s, nil
	},
	show: selector.show,
}

// word is printable text without spaces.
var word = form[string]{shape: shape{pattern: "^[^ ]+$"}, parse: func(text string) (string, error) {
	if _, err := line.parse(text); err != nil || strings.ContainsFunc(text, unicode.IsSpace) {
		return "", errors.New("must be text without spaces")
	}
	return text, nil
}}

// queueName is the name of a Sidekiq queue. Slips make it a name that no Sidekiq
// process reads: a Redis key, or the name and weight of Sidekiq's configuration.
var queueName = form[string]{shape: shape{pattern: "^[^ ,]+$"}, parse: func(text string) (string, error) {
	switch {
	case strings.HasPrefix(text, "queue:") || strings.Contains(text, ":queue:"):
		return "", errors.New("must be the name of the queue alone, without the queue: of its Redis key")
	case strings.Contains(text, ","):
		return "", errors.New("must be the name of one queue, without a weight or a comma")
	case strings.Trim(text, ":") != text:
		return "", errors.New("must be the name of a queue, without a colon at its start or end")
	}
	return word.parse(text)
}}

// namespace is a prefix of Redis keys. It may contain colons, as in redis-namespace.
var namespace = form[string]{shape: word.shape, parse: func(text string) (string, error) {
	switch {
	case strings.Trim(text, ":") != text:
		return "", errors.New("must be the namespace alone, without a colon at its start or end; Scout adds the colon that follows it in Redis keys")
	case strings.HasPrefix(text, "queue:") || strings.Contains(text, ":queue:"):
		return "", errors.New("must be the namespace alone, not the Redis key of a queue")
	}
	return word.parse(text)
}}

// line is printable text.
var line = form[string]{shape: shape{pattern: "."}, parse: func(text string) (string, error) {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("must be a single line of text")
	}
	return text, nil
}}

var secret = form[Secret]{shape: shape{about: "text"}, secret: true, parse: func(text string) (Secret, error) { return Secret(text), nil }}

var boolean = form[bool]{shape: shape{types: "boolean"}, parse: parseBool}

// negated is a boolean that is stored as its opposite.
var negated = form[bool]{
	shape: shape{types: "boolean"},
	parse: func(text string) (bool, error) {
		b, err := parseBool(text)
		return !b, err
	},
	show: func(b bool) any { return !b },
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

// boolOrInt is true, false, or a number.
func boolOrInt(minimum int) form[sidekiq.BoolOrInt] {
	return form[sidekiq.BoolOrInt]{
		shape: shape{types: "boolean integer", limits: limits{int64(minimum), math.MaxInt64}},
		parse: func(text string) (sidekiq.BoolOrInt, error) {
			if b, err := parseBool(text); err == nil {
				return sidekiq.Bool(b), nil
			}
			if i, err := strconv.Atoi(text); err == nil && i >= minimum {
				return sidekiq.Int(i), nil
			}
			return sidekiq.BoolOrInt{}, fmt.Errorf("must be true, false, or a whole number of at least %d", minimum)
		},
		show: func(o sidekiq.BoolOrInt) any {
			if i, err := strconv.Atoi(o.String()); err == nil {
				return i
			}
			return o == sidekiq.Bool(true)
		},
	}
}

func integer(minimum, maximum int) form[int] {
	return form[int]{shape: shape{types: "integer", limits: limits{int64(minimum), int64(maximum)}}, parse: func(text string) (int, error) {
		i, err := strconv.Atoi(text)
		if err != nil || i < minimum || i > maximum {
			return 0, fmt.Errorf("must be a whole number from %d to %d", minimum, maximum)
		}
		return i, nil
	}}
}

// byteUnits are the units of sizes, the largest first.
var byteUnits = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// byteSize is a number of bytes, with or without a unit.
func byteSize(minimum, maximum int64) form[int64] {
	return form[int64]{
		shape: shape{types: "string integer", pattern: `^\+?[0-9]+(B|KiB|MiB|GiB)?$`, limits: limits{minimum, maximum}},
		parse: func(text string) (int64, error) {
			number, unit := text, int64(1)
			for _, u := range byteUnits {
				if before, ok := strings.CutSuffix(text, u.name); ok {
					number, unit = before, u.bytes
					break
				}
			}
			i, err := strconv.ParseInt(number, 10, 64)
			if err != nil || i > maximum/unit || i*unit < minimum {
				return 0, fmt.Errorf("must be a size from %s to %s, such as 64MiB; the units are B, KiB, MiB and GiB",
					formatBytes(minimum), formatBytes(maximum))
			}
			return i * unit, nil
		},
		show: func(i int64) any { return formatBytes(i) },
	}
}

// formatBytes uses the largest unit that leaves a whole number.
func formatBytes(i int64) string {
	for _, u := range byteUnits {
		if i%u.bytes == 0 {
			return strconv.FormatInt(i/u.bytes, 10) + u.name
		}
	}
	return "" // never: the last unit is one byte
}

// percent is a number with a percent sign.
var percent = form[int]{
	shape: shape{pattern: `^\+?0*[1-9][0-9]?%$`},
	parse: func(text string) (int, error) {
		number, ok := strings.CutSuffix(text, "%")
		i, err := integer(1, 99).parse(number)
		if !ok || err != nil {
			return 0, errors.New("must be a percentage of Redis's maxmemory from 1% to 99%, such as 80%")
		}
		return i, nil
	},
	show: func(i int) any { return strconv.Itoa(i) + "%" },
}

// duration is a Go duration in whole seconds.
func duration(minimum, maximum time.Duration) form[time.Duration] {
	return form[time.Duration]{
		shape: durationShape(minimum == 0),
		parse: func(text string) (time.Duration, error) {
			d, err := time.ParseDuration(text)
			if err != nil || d < minimum || d > maximum || d%time.Second != 0 {
				return 0, fmt.Errorf("must be a duration in whole seconds from %s to %s, such as %s",
					formatDuration(minimum), formatDuration(maximum), formatDuration(min(maximum, time.Hour)))
			}
			return d, nil
		},
		show: func(d time.Duration) any { return formatDuration(d) },
	}
}

// durationShape is that of Go durations. A 0 needs no unit.
func durationShape(zero bool) shape {
	s := shape{pattern: `^[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$|^[+-]?0$`}
	if zero {
		s.types = "string integer"
	}
	return s
}

// seconds is a duration as a bare number, which Scout 1.x reads from the environment.
func seconds(minimum, maximum time.Duration) form[time.Duration] {
	return form[time.Duration]{parse: func(text string) (time.Duration, error) {
		i, err := integer(int(minimum/time.Second), int(maximum/time.Second)).parse(text)
		if err != nil {
			return 0, fmt.Errorf("%w (seconds)", err)
		}
		return time.Duration(i) * time.Second, nil
	}}
}

// formatDuration omits the zeroes that [time.Duration.String] ends in: 12h, not 12h0m0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

// choice is one of two texts, each of which stands for a value.
func choice[T comparable](text1 string, value1 T, text2 string, value2 T) form[T] {
	return form[T]{
		shape: shape{enum: "[" + text1 + ", " + text2 + "]"},
		parse: func(text string) (v T, err error) {
			switch text {
			case text1:
				return value1, nil
			case text2:
				return value2, nil
			}
			return v, fmt.Errorf("must be %s or %s", text1, text2)
		},
		show: func(v T) any {
			if v == value1 {
				return text1
			}
			return text2
		},
	}
}

var httpURL = form[string]{shape: shape{pattern: "^[hH][tT][tT][pP][sS]?://"}, parse: func(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", errors.New("must be an http:// or https:// URL without a user name or password")
	}
	return text, nil
}}
