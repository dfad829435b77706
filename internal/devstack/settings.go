package devstack

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// settings are the parsed attributes of a queue that have an effect.
type settings struct {
	fifo          bool
	contentDedup  bool
	dedupPerGroup bool
	visibility    time.Duration
	delay         time.Duration
	wait          time.Duration
	maxSize       int
	deadLetterARN string // "" without a redrive policy
	maxReceives   int    // 0 without a redrive policy
}

const (
	maxMessage    = 1 << 20 // bytes of body and attributes, of a message and of a batch
	maxDelay      = 900     // seconds
	maxVisibility = 43200   // seconds
	maxWait       = 20      // seconds
)

// numericAttributes are the queue attributes with bounds and a default.
var numericAttributes = map[string]struct{ min, max, initial int }{
	"DelaySeconds":                  {0, maxDelay, 0},
	"KmsDataKeyReusePeriodSeconds":  {60, 86400, 300},
	"MaximumMessageSize":            {1024, maxMessage, maxMessage},
	"MessageRetentionPeriod":        {60, 1209600, 345600},
	"ReceiveMessageWaitTimeSeconds": {0, maxWait, 0},
	"VisibilityTimeout":             {0, maxVisibility, 30},
}

// textAttributes are the other queue attributes with their allowed values, the default first. Nil
// allows any value.
var textAttributes = map[string][]string{
	"ContentBasedDeduplication": {"false", "true"},
	"DeduplicationScope":        {"queue", "messageGroup"},
	"FifoQueue":                 {"true"},
	"FifoThroughputLimit":       {"perQueue", "perMessageGroupId"},
	"SqsManagedSseEnabled":      {"true", "false"},
	"KmsMasterKeyId":            nil,
	"Policy":                    nil,
	"RedriveAllowPolicy":        nil,
	"RedrivePolicy":             nil,
}

var fifoAttributes = []string{"ContentBasedDeduplication", "DeduplicationScope", "FifoQueue", "FifoThroughputLimit"}

// defaultAttributes returns the attributes of a new queue, as AWS reports them.
func defaultAttributes(fifo bool) map[string]string {
	attributes := map[string]string{"SqsManagedSseEnabled": "true"}
	for name, limits := range numericAttributes {
		attributes[name] = strconv.Itoa(limits.initial)
	}
	delete(attributes, "KmsDataKeyReusePeriodSeconds") // reported only with a key
	if fifo {
		for _, name := range fifoAttributes {
			attributes[name] = textAttributes[name][0]
		}
	}
	return attributes
}

// readOnlyAttributes are reported but cannot be set.
var readOnlyAttributes = []string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

// isQueueAttribute reports whether any queue may have the attribute.
func isQueueAttribute(name string) bool {
	_, isNumber := numericAttributes[name]
	_, isText := textAttributes[name]
	return isNumber || isText || slices.Contains(readOnlyAttributes, name)
}

// checkAttribute returns an error if the attribute name of a queue cannot be set to value.
func checkAttribute(name, value string, fifo bool) error {
	if limits, ok := numericAttributes[name]; ok {
		n, err := strconv.Atoi(value)
		if err != nil || n < limits.min || n > limits.max {
			return errAttributeValue(name, value)
		}
		return nil
	}
	allowed, ok := textAttributes[name]
	if !ok || !fifo && slices.Contains(fifoAttributes, name) {
		return errAttributeName(name)
	}
	if allowed != nil && !slices.Contains(allowed, value) {
		return errAttributeValue(name, value)
	}
	return nil
}

// configure adds the given attributes to those of the queue. It applies all of them or, on an error,
// none.
func (q *queue) configure(given map[string]string, queues map[string]*queue) error {
	merged := maps.Clone(q.attributes)
	for name, value := range given {
		if err := checkAttribute(name, value, isFIFO(q.name)); err != nil {
			return err
		}
		merged[name] = value
	}
	parsed, err := parseSettings(merged)
	if err != nil {
		return err
	}
	if err := q.checkRedrive(parsed, queues); err != nil {
		return err
	}
	if parsed.deadLetterARN == "" {
		delete(merged, "RedrivePolicy")
	}
	q.attributes, q.settings, q.modified = merged, parsed, time.Now()
	return nil
}

// parseSettings parses a complete set of attributes that checkAttribute accepted one by one.
func parseSettings(attributes map[string]string) (settings, error) {
	number := func(name string) int {
		n, _ := strconv.Atoi(attributes[name])
		return n
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Second }
	s := settings{
		fifo:          attributes["FifoQueue"] == "true",
		contentDedup:  attributes["ContentBasedDeduplication"] == "true",
		dedupPerGroup: attributes["DeduplicationScope"] == "messageGroup",
		visibility:    seconds("VisibilityTimeout"),
		delay:         seconds("DelaySeconds"),
		wait:          seconds("ReceiveMessageWaitTimeSeconds"),
		maxSize:       number("MaximumMessageSize"),
	}
	var err error
	s.deadLetterARN, s.maxReceives, err = parseRedrivePolicy(attributes["RedrivePolicy"])
	return s, err
}

// parseRedrivePolicy returns the parts of a RedrivePolicy. An empty policy means no dead-letter queue.
func parseRedrivePolicy(policy string) (arn string, maxReceives int, err error) {
	if policy == "" || policy == "{}" {
		return "", 0, nil
	}
	var p struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.Number // AWS accepts a number or a string
	}
	invalid := func(reason string) error { return errInvalidFor("RedrivePolicy", policy, reason) }
	if err := json.Unmarshal([]byte(policy), &p); err != nil {
		return "", 0, invalid("It is not a JSON object with deadLetterTargetArn and maxReceiveCount.")
	}
	n, err := p.MaxReceiveCount.Int64()
	if err != nil || n < 1 || n > 1000 {
		return "", 0, invalid("maxReceiveCount must be an integer from 1 to 1000.")
	}
	if p.DeadLetterTargetArn == "" {
		return "", 0, invalid("It has no deadLetterTargetArn.")
	}
	return p.DeadLetterTargetArn, int(n), nil
}

// checkRedrive returns an error if the queue cannot have the dead-letter queue in s.
func (q *queue) checkRedrive(s settings, queues map[string]*queue) error {
	if s.deadLetterARN == "" {
		return nil
	}
	target := queueByARN(queues, s.deadLetterARN)
	switch {
	case target == nil:
		return errInvalidFor("RedrivePolicy", s.deadLetterARN, "Dead letter target does not exist.")
	case target == q:
		return errInvalidFor("RedrivePolicy", s.deadLetterARN, "A queue cannot be its own dead letter target.")
	case target.fifo != s.fifo:
		return errInvalidFor("RedrivePolicy", s.deadLetterARN, "Dead-letter queue must be same type of queue as the source.")
	}
	return nil
}

// reportedAttributes returns all attributes of the queue, including the read-only ones.
func (q *queue) reportedAttributes(now time.Time) map[string]string {
	visible, delayed, inFlight := 0, 0, 0
	for _, m := range q.messages {
		switch {
		case m.visible(now):
			visible++
		case m.inFlight(now):
			inFlight++
		default:
			delayed++
		}
	}
	attributes := maps.Clone(q.attributes)
	maps.Copy(attributes, map[string]string{
		"QueueArn":                              q.arn,
		"CreatedTimestamp":                      fmt.Sprint(q.created.Unix()),
		"LastModifiedTimestamp":                 fmt.Sprint(q.modified.Unix()),
		"ApproximateNumberOfMessages":           fmt.Sprint(visible),
		"ApproximateNumberOfMessagesDelayed":    fmt.Sprint(delayed),
		"ApproximateNumberOfMessagesNotVisible": fmt.Sprint(inFlight),
	})
	return attributes
}
