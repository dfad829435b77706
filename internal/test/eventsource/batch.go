package eventsource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	jsonv2 "github.com/go-json-experiment/json"
)

// maxEvent is the maximum size of an event: the invocation payload in "Lambda
// quotas", AWS Lambda Developer Guide.
const maxEvent = 6 << 20 // bytes

// A message is a received message.
type message struct {
	id, handle string
	record     []byte // its record in an event
}

// fitting returns how many messages, from the first on, fit into one event. A
// message that is too large on its own still counts as one.
func fitting(messages []message) (n int) {
	size := len(`{"Records":[]}`)
	for ; n < len(messages); n++ {
		if size += len(messages[n].record) + len(","); size > maxEvent && n > 0 {
			break
		}
	}
	return n
}

func event(batch []message) []byte {
	records := make([][]byte, len(batch))
	for i, m := range batch {
		records[i] = m.record
	}
	return slices.Concat([]byte(`{"Records":[`), bytes.Join(records, []byte(",")), []byte("]}"))
}

// record returns the record of a message in an event.
func (m *Mapping) record(r types.Message) []byte {
	record := events.SQSMessage{
		MessageId:              aws.ToString(r.MessageId),
		ReceiptHandle:          aws.ToString(r.ReceiptHandle),
		Body:                   aws.ToString(r.Body),
		Md5OfBody:              aws.ToString(r.MD5OfBody),
		Md5OfMessageAttributes: aws.ToString(r.MD5OfMessageAttributes),
		Attributes:             r.Attributes,
		MessageAttributes:      map[string]events.SQSMessageAttribute{},
		EventSource:            "aws:sqs",
		EventSourceARN:         m.QueueARN,
		AWSRegion:              strings.Split(m.QueueARN, ":")[3],
	}
	for name, a := range r.MessageAttributes {
		record.MessageAttributes[name] = events.SQSMessageAttribute{
			StringValue: a.StringValue, BinaryValue: a.BinaryValue, DataType: aws.ToString(a.DataType),
			StringListValues: []string{}, BinaryListValues: [][]byte{},
		}
	}
	text, err := json.Marshal(record)
	if err != nil {
		panic(err) // everything in it can be encoded
	}
	return text
}

// failures returns the ids of the messages that a response reports as failed. An
// error says why the whole batch counts as failed: see the success and failure
// conditions in "Implementing partial batch responses", AWS Lambda Developer Guide.
func failures(response []byte, batch []message) (failed map[string]bool, err error) {
	if len(bytes.TrimSpace(response)) == 0 {
		return nil, nil
	}
	// Unlike encoding/json, this package matches keys exactly.
	var r *struct {
		BatchItemFailures []struct {
			ItemIdentifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := jsonv2.Unmarshal(response, &r); err != nil {
		return nil, fmt.Errorf("invalid response: %w", err)
	}
	if r == nil {
		return nil, nil
	}
	known := make(map[string]bool, len(batch))
	for _, m := range batch {
		known[m.id] = true
	}
	failed = make(map[string]bool, len(r.BatchItemFailures))
	for _, f := range r.BatchItemFailures {
		switch {
		case f.ItemIdentifier == nil || *f.ItemIdentifier == "":
			return nil, errors.New("the response has a failure without an itemIdentifier")
		case !known[*f.ItemIdentifier]:
			return nil, fmt.Errorf("the batch has no message %q", *f.ItemIdentifier)
		}
		failed[*f.ItemIdentifier] = true
	}
	return failed, nil
}
