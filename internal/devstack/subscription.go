package devstack

import (
	"encoding/json"
	"fmt"
	"slices"

	"scout/internal/uuid"
)

// Subscribe subscribes a queue to a topic and returns the subscription's ARN. There are two attributes:
//
//   - RawMessageDelivery, "true" or "false". With it, the attributes of a notification become those of
//     the SQS message, and a queue rejects a notification with more than 10.
//   - RedrivePolicy, a JSON object. The queue in its deadLetterTargetArn replaces a queue that no longer
//     exists.
//
// Subscribing a queue again with the same attributes returns the existing ARN; with other attributes it
// is an error.
func (s *Server) Subscribe(topicARN, queueARN string, attributes map[string]string) (arn string, err error) {
	wanted := subscription{topicARN: topicARN, queueARN: queueARN}
	for name, value := range attributes {
		if err := wanted.set(name, value); err != nil {
			return "", err
		}
	}
	err = s.withTopic(topicARN, func(t *topic) error {
		q := queueByARN(s.queues, queueARN)
		if q == nil { // AWS accepts it and then drops every notification
			return errInvalidParameter("Endpoint", fmt.Sprintf("there is no queue with the ARN %q", queueARN))
		}
		if q.fifo && !t.fifo() {
			return errInvalidParameter("Endpoint", "FIFO SQS Queues can not be subscribed to standard SNS topics")
		}
		arn, err = t.subscribe(wanted)
		return err
	})
	return arn, err
}

// subscribe adds the subscription or finds the existing one.
func (t *topic) subscribe(wanted subscription) (arn string, err error) {
	for _, existing := range t.subscriptions {
		if existing.queueARN != wanted.queueARN {
			continue
		}
		if existing.raw != wanted.raw || existing.redrivePolicy != wanted.redrivePolicy {
			return "", errInvalidParameter("Attributes", "Subscription already exists with different attributes")
		}
		return existing.arn, nil
	}
	wanted.arn = t.arn + ":" + uuid.New()
	t.subscriptions = append(t.subscriptions, &wanted)
	return wanted.arn, nil
}

// set sets the attribute with SNS's name.
func (sub *subscription) set(name, value string) error {
	switch name {
	case "RawMessageDelivery":
		if value != "true" && value != "false" {
			return errInvalidParameter("Attributes", "RawMessageDelivery must be true or false")
		}
		sub.raw = value == "true"
	case "RedrivePolicy":
		var policy struct{ DeadLetterTargetArn string }
		if err := json.Unmarshal([]byte(value), &policy); value != "" && (err != nil || policy.DeadLetterTargetArn == "") {
			return errInvalidParameter("RedrivePolicy", "it is not a JSON object with deadLetterTargetArn")
		}
		sub.redrivePolicy, sub.deadLetterARN = value, policy.DeadLetterTargetArn
	default:
		return errInvalidParameter("Attributes", name+" is not supported here; use RawMessageDelivery or RedrivePolicy")
	}
	return nil
}

// withSubscription calls do with a subscription's topic and its index in the topic, while it holds the
// lock.
func (s *Server) withSubscription(arn string, do func(t *topic, i int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.topics {
		i := slices.IndexFunc(t.subscriptions, func(sub *subscription) bool { return sub.arn == arn })
		if i >= 0 {
			return do(t, i)
		}
	}
	return errNotFound("Subscription " + arn)
}

func (s *Server) setSubscriptionAttribute(arn, name, value string) error {
	return s.withSubscription(arn, func(t *topic, i int) error { return t.subscriptions[i].set(name, value) })
}

// Unsubscribe ends a subscription. It does nothing if the subscription does not exist.
func (s *Server) Unsubscribe(arn string) {
	_ = s.withSubscription(arn, func(t *topic, i int) error {
		t.subscriptions = slices.Delete(t.subscriptions, i, i+1)
		return nil
	})
}

// reportedAttributes returns the subscription's attributes, as AWS does.
func (sub *subscription) reportedAttributes() map[string]string {
	attributes := map[string]string{
		"SubscriptionArn": sub.arn, "TopicArn": sub.topicARN,
		"Protocol": "sqs", "Endpoint": sub.queueARN, "Owner": accountID,
		"RawMessageDelivery":           fmt.Sprint(sub.raw),
		"PendingConfirmation":          "false",
		"ConfirmationWasAuthenticated": "true",
	}
	if sub.redrivePolicy != "" {
		attributes["RedrivePolicy"] = sub.redrivePolicy
	}
	return attributes
}
