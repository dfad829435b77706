package sqsclient

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// responding is an HTTP client that receives the same response to every request.
type responding []byte

func (r responding) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(r))}, nil
}

// A response that can be decoded is decoded like the SDK does.
func FuzzDecode(f *testing.F) {
	for _, response := range []string{
		oneMessage, oneDeleted, `{}`, ` { } `, `{"Messages":[]}`, `{"Messages":null}`, `{"Messages":[null]}`, `[]`, `"`, `{"a":"\`, `{"a":"\u`,
		`{"Messages":[{"MessageId":"m","MD5OfBody":"1","MD5OfMessageAttributes":"2","MessageAttributes":{"t":{"DataType":"String","StringValue":"s"},"b":{"DataType":"Binary","BinaryValue":"aGk="}}}]}`,
		`{"Messages":[{"MessageAttributes":{"l":{"DataType":"String","StringListValues":["s"],"BinaryListValues":["aGk="]}}}]}`,
		`{"Messages":[{"Body":"\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude00 é 😀"}]}`, `{"Messages":[{"Body":"\ud83d","Body":"\ud83dx"}]}`, "{\"Messages\":[{\"Body\":\"\xff\"}]}",
		`{"New":{"a":[1,-2.5e3,true,false,null,"s",{}]},"Messages":[{"Other":[[]],"Body":"b"}]}`, `{"Failed":[{"SenderFault":false,"Other":1}],"Successful":[{"Other":{}}]}`,
		`{"Messages":[{"Body":"one","Body":"two"}],"Messages":[{"Attributes":{"a":"1","a":"2"}}]}`, `{"Messages":[],}`, `{"Messages":[]}x`, `{"messages":[{"body":"b"}]}`,
		`{"Failed":[{"Id":"-1","Code":"c","SenderFault":false},null],"Successful":null}`, `{"Failed":[{}],"Successful":[{}]}`, `{"Successful":[]}`, `{"Messages":[{},null]}`, `{"Messages":[[[[`,
		`{"Messages":[{"Body":"\\\",[{","MD5OfBody":",,,,"}]}`,
	} {
		f.Add([]byte(response))
	}
	f.Fuzz(func(t *testing.T, response []byte) {
		checkCount(t, response)
		sdk := newSDK("http://sqs.test", func(o *sqs.Options) {
			o.HTTPClient, o.RetryMaxAttempts, o.DisableMessageChecksumValidation = responding(response), 1, true
		})
		if got := decodeReceive(response); got != nil {
			want, err := sdk.ReceiveMessage(context.Background(), &sqs.ReceiveMessageInput{QueueUrl: aws.String("q")})
			if err != nil || !reflect.DeepEqual(got.Messages, want.Messages) {
				t.Errorf("messages = %#v, the SDK's are %#v, %v", got.Messages, want, err)
			}
		}
		if got := decodeDelete(response); got != nil {
			want, err := remove(context.Background(), sdk)
			if err != nil || !reflect.DeepEqual(got.Successful, want.Successful) || !reflect.DeepEqual(got.Failed, want.Failed) {
				t.Errorf("output = %#v, the SDK's is %#v, %v", got, want, err)
			}
		}
	})
}

// checkCount checks that no value of a JSON text escapes from being counted, in
// whatever parts the text arrives.
func checkCount(t *testing.T, text []byte) {
	whole := &limitedBody{ReadCloser: io.NopCloser(bytes.NewReader(text))}
	parts := &limitedBody{ReadCloser: io.NopCloser(iotest.OneByteReader(bytes.NewReader(text)))}
	_, err := io.Copy(io.Discard, whole)
	_, errParts := io.Copy(io.Discard, parts)
	if err != errParts || err == nil && whole.values != parts.values {
		t.Fatalf("%d values, %v; byte by byte %d, %v", whole.values, err, parts.values, errParts)
	}
	var value any
	if json.Unmarshal(text, &value) == nil && err == nil && countValues(value) > whole.values+1 {
		t.Fatalf("%d values were counted, want %d at least", whole.values+1, countValues(value))
	}
}

func countValues(value any) int {
	n := 1
	switch value := value.(type) {
	case []any:
		for _, v := range value {
			n += countValues(v)
		}
	case map[string]any:
		for _, v := range value {
			n += countValues(v)
		}
	}
	return n
}

// A receipt handle, which is needed until the message is deleted, does not keep
// large bodies in memory.
func TestLargeBodiesAreReleased(t *testing.T) {
	text := tenMessages(1 << 20)
	var handles []*string
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 10 {
		for _, m := range decodeReceive(text).Messages {
			handles = append(handles, m.ReceiptHandle)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 8<<20 {
		t.Errorf("the handles of %d messages of 1 MiB occupy %d bytes", len(handles), n)
	}
	runtime.KeepAlive(handles)
}
