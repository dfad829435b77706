package sqsclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"reflect"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// answering is an HTTP client that gets an answer to all requests.
type answering []byte

func (a answering) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// What we understand of an answer is what the SDK does. What we do not
// understand, it gets itself.
func FuzzDecode(f *testing.F) {
	for _, answer := range []string{
		oneMessage, oneDeleted, `{}`, ` { } `, `{"Messages":[]}`, `{"Messages":null}`, `{"Messages":[null]}`, `[]`, `"`, `{"a":"\`, `{"a":"\u`,
		`{"Messages":[{"MessageId":"m","MD5OfBody":"1","MD5OfMessageAttributes":"2","MessageAttributes":{"t":{"DataType":"String","StringValue":"s"},"b":{"DataType":"Binary","BinaryValue":"aGk="}}}]}`,
		`{"Messages":[{"MessageAttributes":{"l":{"DataType":"String","StringListValues":["s"],"BinaryListValues":["aGk="]}}}]}`,
		`{"Messages":[{"Body":"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00 é 😀"}]}`, `{"Messages":[{"Body":"\ud83d","Body":"\ud83dx"}]}`, "{\"Messages\":[{\"Body\":\"\xff\"}]}",
		`{"New":{"a":[1,-2.5e3,true,false,null,"s",{}]},"Messages":[{"Other":[[]],"Body":"b"}]}`, `{"Failed":[{"SenderFault":false,"Other":1}],"Successful":[{"Other":{}}]}`,
		`{"Messages":[{"Body":"one","Body":"two"}],"Messages":[{"Attributes":{"a":"1","a":"2"}}]}`, `{"Messages":[],}`, `{"Messages":[]}x`, `{"messages":[{"body":"b"}]}`,
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		sdk := newSDK("http://sqs.test", func(o *sqs.Options) {
			o.HTTPClient, o.RetryMaxAttempts, o.DisableMessageChecksumValidation = answering(answer), 1, true
		})
		if got := decodeReceive(answer); got != nil {
			want, err := sdk.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("q")})
			if err != nil || !reflect.DeepEqual(got.Messages, want.Messages) {
				t.Errorf("messages = %#v, the SDK's are %#v, %v", got.Messages, want, err)
			}
		}
		if got := decodeDelete(answer); got != nil {
			want, err := remove(context.Background(), sdk)
			if err != nil || !reflect.DeepEqual(got.Successful, want.Successful) || !reflect.DeepEqual(got.Failed, want.Failed) {
				t.Errorf("output = %#v, the SDK's is %#v, %v", got, want, err)
			}
		}
	})
}
