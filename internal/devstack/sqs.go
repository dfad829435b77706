package devstack

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// sqsAction runs an action of SQS: it decodes the request's body and returns the response to encode, or
// nil if the response is empty.
type sqsAction func(s *Server, r *http.Request, body []byte) (any, error)

var sqsActions = map[string]sqsAction{
	"ChangeMessageVisibility":      action((*Server).sqsChangeMessageVisibility),
	"ChangeMessageVisibilityBatch": action((*Server).sqsChangeMessageVisibilityBatch),
	"CreateQueue":                  action((*Server).sqsCreateQueue),
	"DeleteMessage":                action((*Server).sqsDeleteMessage),
	"DeleteMessageBatch":           action((*Server).sqsDeleteMessageBatch),
	"DeleteQueue":                  action((*Server).sqsDeleteQueue),
	"GetQueueAttributes":           action((*Server).sqsGetQueueAttributes),
	"GetQueueUrl":                  action((*Server).sqsGetQueueURL),
	"ListDeadLetterSourceQueues":   action((*Server).sqsListDeadLetterSourceQueues),
	"ListQueues":                   action((*Server).sqsListQueues),
	"PurgeQueue":                   action((*Server).sqsPurgeQueue),
	"ReceiveMessage":               action((*Server).sqsReceiveMessage),
	"SendMessage":                  action((*Server).sqsSendMessage),
	"SendMessageBatch":             action((*Server).sqsSendMessageBatch),
	"SetQueueAttributes":           action((*Server).sqsSetQueueAttributes),
}

func action[Input any](do func(*Server, *http.Request, Input) (any, error)) sqsAction {
	return func(s *Server, r *http.Request, body []byte) (any, error) {
		var in Input
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, err
		}
		return do(s, r, in)
	}
}

// serveSQS serves a request of the AWS JSON 1.0 protocol. Its target is "AmazonSQS." and the action.
func (s *Server) serveSQS(w http.ResponseWriter, r *http.Request, target string) {
	var out any
	body, err := io.ReadAll(r.Body) // to its end, because only then does net/http notice that the client disconnects
	if err == nil {
		name := strings.TrimPrefix(target, "AmazonSQS.")
		if do := sqsActions[name]; do != nil {
			out, err = do(s, r, body)
		} else {
			err = errInvalidAction(name, "")
		}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if err != nil {
		e := asAPIError(err)
		w.Header().Set("X-Amzn-Query-Error", e.query+";Sender")
		w.WriteHeader(e.status())
		out = map[string]string{"__type": "com.amazonaws.sqs#" + e.code, "message": e.message}
	}
	if out == nil {
		out = struct{}{}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(out) // fails only if the client has disconnected
}

// queueInput is the input of the actions that need only a queue, and a part of most other inputs.
type queueInput struct {
	QueueURL string `json:"QueueUrl"`
}

type queueURLOutput struct {
	QueueURL string `json:"QueueUrl"`
}

func (s *Server) sqsCreateQueue(r *http.Request, in struct {
	QueueName  string
	Attributes map[string]string
}) (any, error) {
	if _, err := s.createQueue(region(r), in.QueueName, in.Attributes); err != nil {
		return nil, err
	}
	return queueURLOutput{QueueURL(r.Host, in.QueueName)}, nil
}

func (s *Server) sqsDeleteQueue(_ *http.Request, in queueInput) (any, error) {
	return nil, s.deleteQueue(in.QueueURL)
}

func (s *Server) sqsPurgeQueue(_ *http.Request, in queueInput) (any, error) {
	return nil, s.withQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		q.purge()
		return nil
	})
}

func (s *Server) sqsGetQueueURL(r *http.Request, in struct{ QueueName string }) (any, error) {
	err := s.withQueue(in.QueueName, func(*queue, time.Time) error { return nil })
	return queueURLOutput{QueueURL(r.Host, in.QueueName)}, err
}

func (s *Server) sqsListQueues(r *http.Request, in struct{ QueueNamePrefix string }) (any, error) {
	var out struct {
		QueueURLs []string `json:"QueueUrls,omitempty"`
	}
	for _, name := range s.queueNames(in.QueueNamePrefix) {
		out.QueueURLs = append(out.QueueURLs, QueueURL(r.Host, name))
	}
	return out, nil
}

func (s *Server) sqsListDeadLetterSourceQueues(r *http.Request, in queueInput) (any, error) {
	var out struct {
		QueueURLs []string `json:"queueUrls"`
	}
	err := s.withQueue(in.QueueURL, func(deadLetters *queue, _ time.Time) error {
		for _, name := range slices.Sorted(maps.Keys(s.queues)) {
			if s.queues[name].deadLetterARN == deadLetters.arn {
				out.QueueURLs = append(out.QueueURLs, QueueURL(r.Host, name))
			}
		}
		return nil
	})
	return out, err
}

func (s *Server) sqsSetQueueAttributes(_ *http.Request, in struct {
	queueInput
	Attributes map[string]string
}) (any, error) {
	return nil, s.withQueue(in.QueueURL, func(q *queue, _ time.Time) error {
		return q.configure(in.Attributes, s.queues)
	})
}

func (s *Server) sqsGetQueueAttributes(_ *http.Request, in struct {
	queueInput
	AttributeNames []string
}) (any, error) {
	var out struct {
		Attributes map[string]string `json:",omitempty"`
	}
	err := s.withQueue(in.QueueURL, func(q *queue, now time.Time) error {
		for _, name := range in.AttributeNames {
			if name != "All" && !isQueueAttribute(name) {
				return errAttributeName(name)
			}
		}
		out.Attributes = q.reportedAttributes(now)
		maps.DeleteFunc(out.Attributes, func(name, _ string) bool {
			return !slices.Contains(in.AttributeNames, name) && !slices.Contains(in.AttributeNames, "All")
		})
		return nil
	})
	return out, err
}
