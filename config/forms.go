package config

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"scout/handler"
	"scout/sidekiq"
)

// What values look like: each function here parses one kind of value, and its
// error says what is allowed.

// matching parses texts of a pattern and a length in bytes. The length is not
// left to the pattern, for {1,256} is compiled into 256 copies, at each start
// of the Lambda function.
func matching(pattern string, most int, message string) func(string) (string, error) {
	re := regexp.MustCompile(pattern)
	return func(text string) (string, error) {
		if len(text) > most || !re.MatchString(text) {
			return "", errors.New(message)
		}
		return text, nil
	}
}

var (
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
	sqsName = matching(`^[A-Za-z0-9_-]+(\.fifo)?$`, 80,
		"must be the name of an SQS queue: 1 to 80 letters, digits, - or _, with .fifo at the end if it is one; its URL goes into queue.url")

	// https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
	topicARN  = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:`)
	topicName = matching(`^[A-Za-z0-9_-]+(\.fifo)?$|^[A-Za-z0-9_.*?-]*[*?][A-Za-z0-9_.*?-]*$`, 256, topicForms)

	class = matching(`^[A-Z]\w*(::[A-Z]\w*)*$`, 1024, "must be a Ruby class, such as FooWorker or Orders::SyncJob")
)

const topicForms = "must be a topic's name, its full ARN, or a pattern over names with * and ?"

// topic is what stands for topics in the configuration.
func topic(text string) (string, error) {
	arn := topicARN.FindString(text)
	name, err := topicName(text[len(arn):])
	if err == nil && arn != "" && strings.ContainsAny(name, "*?") {
		err = errors.New(topicForms)
	}
	return text, err
}

func word(text string) (string, error) {
	if _, err := words(text); err != nil || strings.ContainsFunc(text, unicode.IsSpace) {
		return "", errors.New("must be a text without spaces")
	}
	return text, nil
}

func words(text string) (string, error) {
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "", errors.New("must be a text of one line")
	}
	return text, nil
}

func secret(text string) (Secret, error) { return Secret(text), nil }

func boolean(text string) (bool, error) {
	switch text {
	case "true", "True", "TRUE":
		return true, nil
	case "false", "False", "FALSE":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

// boolOrInt is true, false, or a number from least.
func boolOrInt(least int) func(string) (sidekiq.BoolOrInt, error) {
	return func(text string) (sidekiq.BoolOrInt, error) {
		if b, err := boolean(text); err == nil {
			return sidekiq.Bool(b), nil
		}
		if i, err := strconv.Atoi(text); err == nil && i >= least {
			return sidekiq.Int(i), nil
		}
		return sidekiq.BoolOrInt{}, fmt.Errorf("must be true, false, or a whole number from %d", least)
	}
}

func integer(least, most int) func(string) (int, error) {
	return func(text string) (int, error) {
		i, err := strconv.Atoi(text)
		if err != nil || i < least || i > most {
			return 0, fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		return i, nil
	}
}

// duration is a Go duration of whole seconds.
func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		d, err := time.ParseDuration(text)
		if err != nil || d < least || d > most || d%time.Second != 0 {
			return 0, fmt.Errorf("must be a duration of whole seconds from %s to %s, such as %s", short(least), short(most), short(min(most, time.Hour)))
		}
		return d, nil
	}
}

// seconds is a duration as a bare number, as Scout 1.x has them in the environment.
func seconds(least, most time.Duration) func(string) (time.Duration, error) {
	return func(text string) (time.Duration, error) {
		i, err := integer(int(least/time.Second), int(most/time.Second))(text)
		if err != nil {
			return 0, fmt.Errorf("%w (seconds)", err)
		}
		return time.Duration(i) * time.Second, nil
	}
}

// short is d without the zeroes that [time.Duration.String] ends in: 12h, not 12h0m0s.
func short(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func arg(text string) (handler.Arg, error) {
	for _, a := range []handler.Arg{handler.ArgMessage, handler.ArgMetadata} {
		if text == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("must be %s or %s", handler.ArgMessage, handler.ArgMetadata)
}

func httpURL(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", errors.New("must be a URL that begins with http:// or https://, without a user or password")
	}
	return text, nil
}
