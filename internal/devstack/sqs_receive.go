package devstack

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	maxReceive = 10
	senderID   = "AIDAEXAMPLEDEVSTACK00" // of every message
)

type receiveInput struct {
	queueInput
	AttributeNames              []string // the deprecated name of MessageSystemAttributeNames
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
}

type receivedMessage struct {
	MessageID         string `json:"MessageId"`
	ReceiptHandle     string
	Body              string
	MD5OfBody         string
	Attributes        map[string]string    `json:",omitempty"`
	MessageAttributes map[string]Attribute `json:",omitempty"`
	MD5OfAttributes   string               `json:"MD5OfMessageAttributes,omitempty"`
}

func (s *Server) sqsReceiveMessage(r *http.Request, in receiveInput) (any, error) {
	options, err := in.options()
	if err != nil {
		return nil, err
	}
	systemNames := append(in.AttributeNames, in.MessageSystemAttributeNames...)
	for _, name := range systemNames {
		if !slices.Contains(systemAttributeNames, name) {
			return nil, errAttributeName(name)
		}
	}
	messages, err := s.receive(r.Context(), in.QueueURL, options)
	var out struct {
		Messages []receivedMessage `json:",omitempty"`
	}
	for _, m := range messages {
		selected := selectAttributes(m.sendInput.Attributes, in.MessageAttributeNames)
		out.Messages = append(out.Messages, receivedMessage{
			MessageID:         m.id,
			ReceiptHandle:     m.receiptHandle(),
			Body:              m.Body,
			MD5OfBody:         md5Hex(m.Body),
			Attributes:        m.systemAttributes(systemNames),
			MessageAttributes: selected,
			MD5OfAttributes:   md5Attributes(selected), // of the attributes returned, because clients verify those
		})
	}
	return out, err
}

func (in receiveInput) options() (o receiveOptions, err error) {
	o.max = 1
	if n := in.MaxNumberOfMessages; n != nil {
		if *n < 1 || *n > maxReceive {
			return o, errInvalidFor("MaxNumberOfMessages", *n,
				fmt.Sprintf("Must be between 1 and %d, if provided.", maxReceive))
		}
		o.max = *n
	}
	if o.visibility, err = parseSeconds("VisibilityTimeout", in.VisibilityTimeout, maxVisibility); err != nil {
		return o, err
	}
	o.wait, err = parseSeconds("WaitTimeSeconds", in.WaitTimeSeconds, maxWait)
	return o, err
}

// parseSeconds returns the seconds as a duration, or nil for nil. Negative values and values above max
// are an error.
func parseSeconds(parameter string, seconds *int, max int) (*time.Duration, error) {
	if seconds == nil {
		return nil, nil
	}
	if *seconds < 0 || *seconds > max {
		return nil, errInvalidFor(parameter, *seconds, fmt.Sprintf("Must be >= 0 and <= %d, if provided.", max))
	}
	d := time.Duration(*seconds) * time.Second
	return &d, nil
}

var systemAttributeNames = []string{
	"All", "ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", traceHeader, "DeadLetterQueueSourceArn",
	"MessageDeduplicationId", "MessageGroupId", "SenderId", "SentTimestamp", "SequenceNumber",
}

// systemAttributes returns the requested attributes that have a value.
func (m message) systemAttributes(names []string) map[string]string {
	milliseconds := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
	all := map[string]string{
		"ApproximateFirstReceiveTimestamp": milliseconds(m.firstReceivedAt),
		"ApproximateReceiveCount":          strconv.Itoa(m.receives),
		traceHeader:                        m.SystemAttributes[traceHeader].StringValue,
		"DeadLetterQueueSourceArn":         m.source,
		"MessageDeduplicationId":           m.DeduplicationID,
		"MessageGroupId":                   m.GroupID,
		"SenderId":                         senderID,
		"SentTimestamp":                    milliseconds(m.sentAt),
		"SequenceNumber":                   m.sequence,
	}
	maps.DeleteFunc(all, func(name, value string) bool {
		return value == "" || !slices.Contains(names, name) && !slices.Contains(names, "All")
	})
	return all
}
