package devstack

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// QueueURL returns the URL of the queue with a name, on a Server that clients reach at host, which
// includes the port.
func QueueURL(host, name string) string {
	return "http://" + host + "/" + accountID + "/" + name
}

// CreateQueue creates a queue with SQS's attributes and returns its ARN. A FIFO queue has a name that
// ends in .fifo and the attribute FifoQueue set to true. Creating an existing queue again is an error
// only if one of the attributes has another value.
func (s *Server) CreateQueue(name string, attributes map[string]string) (arn string, err error) {
	return s.createQueue(defaultRegion, name, attributes)
}

var validQueueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func (s *Server) createQueue(region, name string, attributes map[string]string) (arn string, err error) {
	if !validQueueName.MatchString(strings.TrimSuffix(name, ".fifo")) || len(name) > 80 {
		return "", errInvalidValue("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	if isFIFO(name) != (attributes["FifoQueue"] == "true") {
		return "", errInvalidValue("The name of a FIFO queue must end with the .fifo suffix, and its attribute FifoQueue must be true")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[name]; q != nil {
		for attribute, value := range attributes {
			if q.attributes[attribute] != value {
				return "", errQueueNameExists(name, attribute)
			}
		}
		return q.arn, nil
	}
	q := newQueue(name, fmt.Sprintf("arn:aws:sqs:%s:%s:%s", region, accountID, name), time.Now())
	if err := q.configure(attributes, s.queues); err != nil {
		return "", err
	}
	q.onDeadLetter = s.OnDeadLetter
	s.queues[name] = q
	return q.arn, nil
}

// withQueue calls do with the queue that a URL or a name refers to, while it holds the lock.
func (s *Server) withQueue(url string, do func(q *queue, now time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[afterLast(url, "/")]
	if q == nil {
		return errQueueDoesNotExist
	}
	return do(q, time.Now())
}

// queueByARN returns nil if there is no such queue.
func queueByARN(queues map[string]*queue, arn string) *queue {
	if q := queues[afterLast(arn, ":")]; q != nil && q.arn == arn {
		return q
	}
	return nil
}

// deleteQueue deletes the queue and wakes its long polls, which then report that it does not exist.
func (s *Server) deleteQueue(url string) error {
	return s.withQueue(url, func(q *queue, _ time.Time) error {
		delete(s.queues, q.name)
		q.wakePolls()
		return nil
	})
}

// queueNames returns the names with the prefix, sorted.
func (s *Server) queueNames(prefix string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Sorted(maps.Keys(s.queues))
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, prefix) })
}

// receiveOptions are the limits of a receive. Nil means the queue's own setting.
type receiveOptions struct {
	max        int
	visibility *time.Duration
	wait       *time.Duration
}

// receive returns messages as soon as there are any. It returns none after the wait, when the Server
// is closed, and when ctx is done, in which case all messages stay in the queue.
func (s *Server) receive(ctx context.Context, url string, o receiveOptions) (received []message, err error) {
	start := time.Now()
	for ctx.Err() == nil {
		var changed <-chan struct{}
		var pause time.Duration
		err := s.withQueue(url, func(q *queue, now time.Time) error {
			visibility, wait := orDefault(o.visibility, q.visibility), orDefault(o.wait, q.wait)
			received = q.receive(o.max, visibility, now, queueByARN(s.queues, q.deadLetterARN))
			var until time.Time
			changed, until = q.nextChange(start.Add(wait))
			pause = until.Sub(now)
			return nil
		})
		if err != nil || len(received) > 0 || pause <= 0 {
			return received, err
		}
		select {
		case <-changed:
		case <-time.After(pause):
		case <-ctx.Done():
		case <-s.closed:
			return nil, nil
		}
	}
	return nil, nil
}

func orDefault(value *time.Duration, fallback time.Duration) time.Duration {
	if value != nil {
		return *value
	}
	return fallback
}
