package sqsclient

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/internal/jsonscan"
)

// appendReceive appends the request body of ReceiveMessage. As in the SDK, a
// number of 0 is left out.
func appendReceive(b []byte, in *sqs.ReceiveMessageInput) []byte {
	b = append(b, '{')
	//lint:ignore SA1019 callers may still use it
	b = appendStrings(b, "AttributeNames", in.AttributeNames)
	b = appendNumber(b, "MaxNumberOfMessages", in.MaxNumberOfMessages)
	b = appendStrings(b, "MessageAttributeNames", in.MessageAttributeNames)
	b = appendStrings(b, "MessageSystemAttributeNames", in.MessageSystemAttributeNames)
	b = appendString(b, "QueueUrl", in.QueueUrl)
	b = appendString(b, "ReceiveRequestAttemptId", in.ReceiveRequestAttemptId)
	b = appendNumber(b, "VisibilityTimeout", in.VisibilityTimeout)
	b = appendNumber(b, "WaitTimeSeconds", in.WaitTimeSeconds)
	return append(b, '}')
}

// appendDelete appends the request body of DeleteMessageBatch.
func appendDelete(b []byte, in *sqs.DeleteMessageBatchInput) []byte {
	b = append(b, `{"Entries":[`...)
	for i, e := range in.Entries {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = appendString(b, "Id", e.Id)
		b = appendString(b, "ReceiptHandle", e.ReceiptHandle)
		b = append(b, '}')
	}
	b = append(b, ']')
	b = appendString(b, "QueueUrl", in.QueueUrl)
	return append(b, '}')
}

// appendKey appends the key of the next member to the object that b ends in.
func appendKey(b []byte, key string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(append(append(b, '"'), key...), `":`...)
}

func appendString(b []byte, key string, value *string) []byte {
	if value == nil {
		return b
	}
	return jsonscan.AppendQuote(appendKey(b, key), *value)
}

func appendNumber(b []byte, key string, value int32) []byte {
	if value == 0 {
		return b
	}
	return strconv.AppendInt(appendKey(b, key), int64(value), 10)
}

func appendStrings[T ~string](b []byte, key string, values []T) []byte {
	if values == nil {
		return b
	}
	b = append(appendKey(b, key), '[')
	for i, value := range values {
		if i > 0 {
			b = append(b, ',')
		}
		b = jsonscan.AppendQuote(b, string(value))
	}
	return append(b, ']')
}
