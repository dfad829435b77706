// Package sqsevent decodes the event with which Lambda invokes a function for
// an SQS queue. Start at [Decode].
//
// encoding/json rejects a whole event for one odd value in one record, which
// fails messages that are fine. Decode leaves the odd value out, so its message
// can fail alone. It also takes a fraction of the time.
package sqsevent

import (
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/internal/printable"
)

// maxRecords is the maximum batch size of a Lambda event source mapping.
const maxRecords = 10_000

// Decode decodes an event. It matches keys exactly and tolerates odd records:
//
//   - A messageId, body or other field that is not a string is left empty.
//   - An attribute that is a number or boolean has its JSON text for a value.
//     Any other attribute that is not a string is left out.
//   - Values of message attributes other than stringValue are not decoded.
//
// An error means that the payload is not JSON or not an SQS event: it has no
// Records array, none of its records has a messageId or a body, or there are
// more than 10,000.
func Decode(payload []byte) (events.SQSEvent, error) {
	d := decoder{reader: jsonscan.NewReader(payload)}
	d.reader.Object(d.readEventMember)
	if err := d.reader.Close(); err != nil {
		return events.SQSEvent{}, fmt.Errorf("decoding the SQS event: %w", err)
	}
	if err := d.check(); err != nil {
		return events.SQSEvent{}, fmt.Errorf("the payload is not an SQS event: %w", err)
	}
	return events.SQSEvent{Records: d.records}, nil
}

// A decoder is the state of one call of Decode.
type decoder struct {
	reader  *jsonscan.Reader
	records []events.SQSMessage // nil without a Records array
	tooMany bool
	isSQS   bool   // whether any record has a messageId or a body
	source  string // the eventSource of the last record that has one
}

func (d *decoder) check() error {
	switch {
	case d.records == nil:
		return errors.New("it has no Records array")
	case d.tooMany:
		return fmt.Errorf("it has more than %d records", maxRecords)
	case len(d.records) > 0 && !d.isSQS && d.source != "":
		return fmt.Errorf("its records are of %s", printable.Text(d.source, 100))
	case len(d.records) > 0 && !d.isSQS:
		return errors.New("its records have neither a messageId nor a body")
	}
	return nil
}

func (d *decoder) readEventMember(key []byte) {
	if string(key) != "Records" {
		d.reader.Skip()
		return
	}
	isArray := d.reader.Array(func() {
		if len(d.records) == maxRecords {
			d.tooMany = true
			d.reader.Skip()
			return
		}
		d.records = append(d.records, d.readRecord())
	})
	if isArray && d.records == nil {
		d.records = []events.SQSMessage{}
	}
}

func (d *decoder) readRecord() (m events.SQSMessage) {
	var previous events.SQSMessage
	if n := len(d.records); n > 0 {
		previous = d.records[n-1]
	}
	d.reader.Object(func(key []byte) {
		switch string(key) {
		case "messageId":
			m.MessageId = d.readString("")
			d.isSQS = d.isSQS || m.MessageId != ""
		case "receiptHandle":
			m.ReceiptHandle = d.readString("")
		case "body":
			m.Body = d.readString("")
			d.isSQS = true
		case "md5OfBody":
			m.Md5OfBody = d.readString("")
		case "md5OfMessageAttributes":
			m.Md5OfMessageAttributes = d.readString("")
		case "attributes":
			m.Attributes = d.readAttributes()
		case "messageAttributes":
			m.MessageAttributes = d.readMessageAttributes()
		case "eventSourceARN":
			m.EventSourceARN = d.readString(previous.EventSourceARN)
		case "eventSource":
			m.EventSource = d.readString(previous.EventSource)
			d.source = m.EventSource
		case "EventSource": // of records of SNS
			d.source = d.readString("")
		case "awsRegion":
			m.AWSRegion = d.readString(previous.AWSRegion)
		default:
			d.reader.Skip()
		}
	})
	return m
}

// readString reads a string, "" if the value is not one. The values of some
// fields are likely the same in all records, and need no memory of their own.
func (d *decoder) readString(likely string) string {
	value, _ := d.reader.String()
	if string(value) == likely {
		return likely
	}
	return string(value)
}

func (d *decoder) readAttributes() map[string]string {
	var attributes map[string]string
	isObject := d.reader.Object(func(key []byte) {
		name := attributeName(key)
		if value, ok := d.reader.Text(); ok {
			if attributes == nil {
				attributes = make(map[string]string, 8)
			}
			attributes[name] = string(value)
		}
	})
	if isObject && attributes == nil {
		return map[string]string{}
	}
	return attributes
}

// attributeName returns the key as a string, without allocating one for the
// attributes that most messages have.
func attributeName(key []byte) string {
	for _, name := range [...]string{
		"ApproximateReceiveCount", "SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp",
		"SequenceNumber", "MessageGroupId", "MessageDeduplicationId", "AWSTraceHeader",
	} {
		if string(key) == name {
			return name
		}
	}
	return string(key)
}

func (d *decoder) readMessageAttributes() map[string]events.SQSMessageAttribute {
	var attributes map[string]events.SQSMessageAttribute
	isObject := d.reader.Object(func(key []byte) {
		name := string(key)
		var a events.SQSMessageAttribute
		if !d.reader.Object(func(key []byte) { d.readMessageAttribute(key, &a) }) {
			return
		}
		if attributes == nil {
			attributes = map[string]events.SQSMessageAttribute{}
		}
		attributes[name] = a
	})
	if isObject && attributes == nil {
		return map[string]events.SQSMessageAttribute{}
	}
	return attributes
}

func (d *decoder) readMessageAttribute(key []byte, a *events.SQSMessageAttribute) {
	switch string(key) {
	case "stringValue":
		if value, ok := d.reader.Text(); ok {
			text := string(value)
			a.StringValue = &text
		}
	case "dataType":
		a.DataType = d.readString("")
	default:
		d.reader.Skip()
	}
}
