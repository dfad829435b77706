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

// maxEvent is the most that an event may have: "Lambda quotas" in the AWS
// Lambda Developer Guide, invocation payload.
const maxEvent = 6 << 20 // bytes

// A message is one that was received.
type message struct {
	id, handle string
	record     []byte // its part of an event
}

// fitting returns how many of the first messages fit into one event: at least
// one, if there is any.
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

// record is what an event has of a message.
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
		panic(err) // it has nothing that could not be encoded
	}
	return text
}

// failures returns the ids of the messages of a batch that a response reports.
// An error says why the whole batch counts as failed: AWS Lambda Developer
// Guide, "Implementing partial batch responses", success and failure conditions.
func failures(response []byte, batch []message) (failed map[string]bool, err error) {
	if len(bytes.TrimSpace(response)) == 0 {
		return nil, nil
	}
	// Unlike encoding/json, this matches keys exactly.
	var r *struct {
		BatchItemFailures []struct {
			ItemIdentifier *string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := jsonv2.Unmarshal(response, &r); err != nil {
		return nil, fmt.Errorf("the response is not what it should be: %w", err)
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
