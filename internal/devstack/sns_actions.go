package devstack

import (
	"net/http"
	"strconv"
)

type topicResult struct{ TopicArn string }

func (s *Server) snsCreateTopic(r *http.Request, f form) (any, error) {
	arn, err := s.createTopic(region(r), f.get("Name"), f.attributes())
	return topicResult{arn}, err
}

func (s *Server) snsDeleteTopic(_ *http.Request, f form) (any, error) {
	s.deleteTopic(f.get("TopicArn"))
	return nil, nil
}

func (s *Server) snsListTopics(*http.Request, form) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var result struct{ Topics list[topicResult] }
	for _, t := range s.sortedTopics() {
		result.Topics.Members = append(result.Topics.Members, topicResult{t.arn})
	}
	return result, nil
}

func (s *Server) snsGetTopicAttributes(_ *http.Request, f form) (result any, err error) {
	err = s.withTopic(f.get("TopicArn"), func(t *topic) error {
		result = newAttributesResult(t.reportedAttributes())
		return nil
	})
	return result, err
}

type subscriptionResult struct{ SubscriptionArn string }

func (s *Server) snsSubscribe(_ *http.Request, f form) (any, error) {
	if protocol := f.get("Protocol"); protocol != "sqs" {
		return nil, errInvalidParameter("Protocol", protocol+" is not supported here; use sqs")
	}
	arn, err := s.Subscribe(f.get("TopicArn"), f.get("Endpoint"), f.attributes())
	return subscriptionResult{arn}, err
}

func (s *Server) snsUnsubscribe(_ *http.Request, f form) (any, error) {
	s.Unsubscribe(f.get("SubscriptionArn"))
	return nil, nil
}

func (s *Server) snsSetSubscriptionAttributes(_ *http.Request, f form) (any, error) {
	return nil, s.setSubscriptionAttribute(f.get("SubscriptionArn"), f.get("AttributeName"), f.get("AttributeValue"))
}

func (s *Server) snsGetSubscriptionAttributes(_ *http.Request, f form) (result any, err error) {
	err = s.withSubscription(f.get("SubscriptionArn"), func(t *topic, i int) error {
		result = newAttributesResult(t.subscriptions[i].reportedAttributes())
		return nil
	})
	return result, err
}

type subscriptionsResult struct {
	Subscriptions list[listedSubscription]
	NextToken     string `xml:",omitempty"`
}

type listedSubscription struct{ SubscriptionArn, TopicArn, Owner, Protocol, Endpoint string }

func (r *subscriptionsResult) add(t *topic) {
	for _, sub := range t.subscriptions {
		r.Subscriptions.Members = append(r.Subscriptions.Members,
			listedSubscription{sub.arn, t.arn, accountID, "sqs", sub.queueARN})
	}
}

// pageSize is the maximum number of subscriptions in a response.
const pageSize = 100

// page reduces the result to the page that starts at a token, which is an index.
func (r *subscriptionsResult) page(token string) error {
	start := 0
	if token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(r.Subscriptions.Members) {
			return errInvalidParameter("NextToken", "it must be a token from a response")
		}
		start = n
	}
	end := min(start+pageSize, len(r.Subscriptions.Members))
	if end < len(r.Subscriptions.Members) {
		r.NextToken = strconv.Itoa(end)
	}
	r.Subscriptions.Members = r.Subscriptions.Members[start:end]
	return nil
}

func (s *Server) snsListSubscriptions(_ *http.Request, f form) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var result subscriptionsResult
	for _, t := range s.sortedTopics() {
		result.add(t)
	}
	err := result.page(f.get("NextToken"))
	return result, err
}

func (s *Server) snsListSubscriptionsByTopic(_ *http.Request, f form) (any, error) {
	var result subscriptionsResult
	err := s.withTopic(f.get("TopicArn"), func(t *topic) error {
		result.add(t)
		return result.page(f.get("NextToken"))
	})
	return result, err
}

type publishResult struct {
	ID             string `xml:"Id,omitempty"` // in a batch
	MessageID      string `xml:"MessageId"`
	SequenceNumber string `xml:",omitempty"`
}

func (s *Server) snsPublish(r *http.Request, f form) (any, error) {
	target := f.get("TopicArn")
	if target == "" {
		target = f.get("TargetArn")
	}
	if target == "" {
		return nil, errInvalidParameter("TopicArn", "it is missing; phone numbers are not supported here")
	}
	n, err := f.notification()
	if err != nil {
		return nil, err
	}
	n.TraceHeader = r.Header.Get("X-Amzn-Trace-Id")
	result, err := s.publish(target, n)
	return publishResult{MessageID: result.id, SequenceNumber: result.sequence}, err
}

type publishEntry struct {
	entryID
	Notification
}

// checkBatch returns the error with which the topic rejects the batch as a whole.
func (t *topic) checkBatch(entries []publishEntry) error {
	size := 0
	for _, e := range entries {
		size += e.size()
	}
	if size > t.maxSize() {
		return errBatch("BatchRequestTooLong", "The batch has %d bytes, the maximum is %d.", size, t.maxSize())
	}
	return checkBatch(entries)
}

func (s *Server) snsPublishBatch(_ *http.Request, f form) (any, error) {
	topicARN := f.get("TopicArn")
	var entries []publishEntry
	for _, e := range f.elements("PublishBatchRequestEntries.member", "Id") {
		n, err := e.notification()
		if err != nil {
			return nil, err
		}
		entries = append(entries, publishEntry{entryID{e.get("Id")}, n})
	}
	if err := s.withTopic(topicARN, func(t *topic) error { return t.checkBatch(entries) }); err != nil {
		return nil, err
	}
	var result struct {
		Successful list[publishResult]
		Failed     list[batchFailure]
	}
	result.Successful.Members, result.Failed.Members = runBatch(entries, func(e publishEntry) (publishResult, error) {
		published, err := s.publish(topicARN, e.Notification)
		return publishResult{e.ID, published.id, published.sequence}, err
	})
	return result, nil
}
