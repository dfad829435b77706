package sqsclient

import (
	"encoding/base64"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// decodeReceive decodes the response of ReceiveMessage. It returns nil if the
// response holds anything unexpected: then the SDK has to decode it.
func decodeReceive(text []byte) *sqs.ReceiveMessageOutput {
	r := newReader(text)
	out := &sqs.ReceiveMessageOutput{}
	r.object(func(key string) {
		switch key {
		case "Messages":
			out.Messages = make([]types.Message, 0, 10)
			r.array(func() { out.Messages = append(out.Messages, r.message()) })
		default:
			r.failed = true
		}
	})
	if !r.done() {
		return nil
	}
	return out
}

// decodeDelete decodes the response of DeleteMessageBatch like decodeReceive.
func decodeDelete(text []byte) *sqs.DeleteMessageBatchOutput {
	r := newReader(text)
	out := &sqs.DeleteMessageBatchOutput{}
	r.object(func(key string) {
		switch key {
		case "Successful":
			out.Successful = make([]types.DeleteMessageBatchResultEntry, 0, 10)
			r.array(func() { out.Successful = append(out.Successful, r.deleted()) })
		case "Failed":
			out.Failed = []types.BatchResultErrorEntry{}
			r.array(func() { out.Failed = append(out.Failed, r.notDeleted()) })
		default:
			r.failed = true
		}
	})
	if !r.done() {
		return nil
	}
	return out
}

func (r *reader) message() (m types.Message) {
	fields := new([5]string) // in one allocation
	r.object(func(key string) {
		switch key {
		case "MessageId":
			m.MessageId = r.stringAt(&fields[0])
		case "ReceiptHandle":
			m.ReceiptHandle = r.stringAt(&fields[1])
		case "Body":
			m.Body = r.stringAt(&fields[2])
		case "MD5OfBody":
			m.MD5OfBody = r.stringAt(&fields[3])
		case "MD5OfMessageAttributes":
			m.MD5OfMessageAttributes = r.stringAt(&fields[4])
		case "Attributes":
			m.Attributes = make(map[string]string, 4)
			r.object(func(name string) { m.Attributes[name] = r.string() })
		case "MessageAttributes":
			m.MessageAttributes = map[string]types.MessageAttributeValue{}
			r.object(func(name string) { m.MessageAttributes[name] = r.attribute() })
		default:
			r.failed = true
		}
	})
	return m
}

func (r *reader) attribute() (a types.MessageAttributeValue) {
	r.object(func(key string) {
		switch key {
		case "DataType":
			a.DataType = r.stringAt(new(string))
		case "StringValue":
			a.StringValue = r.stringAt(new(string))
		case "BinaryValue":
			var err error
			if a.BinaryValue, err = base64.StdEncoding.DecodeString(r.string()); err != nil {
				r.failed = true
			}
		default: // the API Reference calls the lists "Not implemented. Reserved for future use."
			r.failed = true
		}
	})
	return a
}

func (r *reader) deleted() (e types.DeleteMessageBatchResultEntry) {
	r.object(func(key string) {
		switch key {
		case "Id":
			e.Id = r.stringAt(new(string))
		default:
			r.failed = true
		}
	})
	return e
}

func (r *reader) notDeleted() (e types.BatchResultErrorEntry) {
	r.object(func(key string) {
		switch key {
		case "Id":
			e.Id = r.stringAt(new(string))
		case "Code":
			e.Code = r.stringAt(new(string))
		case "Message":
			e.Message = r.stringAt(new(string))
		case "SenderFault":
			e.SenderFault = r.bool()
		default:
			r.failed = true
		}
	})
	return e
}
