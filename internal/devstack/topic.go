package devstack

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// topic is a standard or FIFO topic. Server.mu guards it.
type topic struct {
	name, arn     string
	attributes    map[string]string // as set
	subscriptions []*subscription
	published     uint64      // number of notifications ever published
	recent        dedupWindow // FIFO topics only
}

// subscription delivers a topic's notifications to a queue.
type subscription struct {
	arn, topicARN, queueARN string
	raw                     bool   // deliver the message itself, without an envelope
	redrivePolicy           string // "" for none
	deadLetterARN           string // of the queue for notifications that cannot be delivered; "" for none
}

func (t *topic) fifo() bool         { return isFIFO(t.name) }
func (t *topic) contentDedup() bool { return t.attributes["ContentBasedDeduplication"] == "true" }

const defaultMaxNotification = 256 << 10

// maxSize returns the maximum size of a notification with its attributes, in bytes.
func (t *topic) maxSize() int {
	if n, err := strconv.Atoi(t.attributes["MaximumMessageSize"]); err == nil {
		return n
	}
	return defaultMaxNotification
}

// CreateTopic creates a topic with SNS's attributes and returns its ARN. A FIFO topic has a name that
// ends in .fifo and the attribute FifoTopic set to true. If the topic exists, CreateTopic only returns
// its ARN.
func (s *Server) CreateTopic(name string, attributes map[string]string) (arn string, err error) {
	return s.createTopic(defaultRegion, name, attributes)
}

// CreateTopicARN creates a topic with the given ARN, which may be in any region and account. See
// CreateTopic.
func (s *Server) CreateTopicARN(arn string, attributes map[string]string) error {
	if err := checkTopic(afterLast(arn, ":"), attributes); err != nil {
		return err
	}
	s.addTopic(arn, attributes)
	return nil
}

var validTopicName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,256}$`)

func (s *Server) createTopic(region, name string, attributes map[string]string) (arn string, err error) {
	arn = topicARN(region, name)
	if err := checkTopic(name, attributes); err != nil {
		return "", err
	}
	for _, existing := range s.TopicARNs() {
		if afterLast(existing, ":") == name {
			return existing, nil
		}
	}
	s.addTopic(arn, attributes)
	return arn, nil
}

// checkTopic returns an error if a topic cannot have the name and attributes.
func checkTopic(name string, attributes map[string]string) error {
	if !validTopicName.MatchString(strings.TrimSuffix(name, ".fifo")) {
		return errInvalidParameter("Topic Name",
			"it must be made up of ASCII letters, numbers, underscores and hyphens, 1 to 256 of them")
	}
	if isFIFO(name) != (attributes["FifoTopic"] == "true") {
		return errInvalidParameter("Topic Name", "the name of a FIFO topic, and no other, must end with .fifo")
	}
	for attribute, value := range attributes {
		if err := checkTopicAttribute(attribute, value); err != nil {
			return err
		}
	}
	return nil
}

// addTopic adds a topic unless it exists.
func (s *Server) addTopic(arn string, attributes map[string]string) {
	s.mu.Lock()
	isNew := s.topics[arn] == nil
	if isNew {
		s.topics[arn] = &topic{name: afterLast(arn, ":"), arn: arn, attributes: maps.Clone(attributes)}
	}
	s.mu.Unlock()
	if isNew && s.OnTopic != nil {
		s.OnTopic(arn)
	}
}

// TopicARNs returns the ARNs of all topics, sorted by name.
func (s *Server) TopicARNs() (arns []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.sortedTopics() {
		arns = append(arns, t.arn)
	}
	return arns
}

// TopicARN returns the ARN of a topic that was created in the default region.
func TopicARN(name string) string { return topicARN(defaultRegion, name) }

func topicARN(region, name string) string {
	return "arn:aws:sns:" + region + ":" + accountID + ":" + name
}

// checkTopicAttribute returns an error if a topic cannot be created with the attribute.
func checkTopicAttribute(name, value string) error {
	switch name {
	case "DisplayName", "FifoTopic", "KmsMasterKeyId", "Policy":
		return nil
	case "ContentBasedDeduplication":
		if value == "true" || value == "false" {
			return nil
		}
	case "MaximumMessageSize":
		if n, err := strconv.Atoi(value); err == nil && n >= 1024 && n <= maxMessage {
			return nil
		}
	default:
		return errInvalidParameter("Attributes", name+" is not supported here")
	}
	return errInvalidParameter("Attributes", fmt.Sprintf("%q is not a value of %s", value, name))
}

// sortedTopics returns the topics sorted by name and ARN. The caller holds s.mu.
func (s *Server) sortedTopics() []*topic {
	return slices.SortedFunc(maps.Values(s.topics), func(a, b *topic) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.arn, b.arn))
	})
}

// withTopic calls do with the topic, while it holds the lock.
func (s *Server) withTopic(arn string, do func(t *topic) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[arn]
	if t == nil {
		return errNotFound("Topic " + arn)
	}
	return do(t)
}

// deleteTopic deletes the topic and its subscriptions. It is no error if the topic does not exist.
func (s *Server) deleteTopic(arn string) {
	_ = s.withTopic(arn, func(t *topic) error {
		delete(s.topics, t.arn)
		return nil
	})
}

// reportedAttributes returns the topic's attributes, as AWS does.
func (t *topic) reportedAttributes() map[string]string {
	attributes := map[string]string{
		"TopicArn": t.arn, "Owner": accountID, "DisplayName": "",
		"MaximumMessageSize":     strconv.Itoa(t.maxSize()),
		"SubscriptionsConfirmed": strconv.Itoa(len(t.subscriptions)),
		"SubscriptionsPending":   "0", "SubscriptionsDeleted": "0",
	}
	if t.fifo() {
		attributes["ContentBasedDeduplication"] = "false"
	}
	maps.Copy(attributes, t.attributes)
	return attributes
}
