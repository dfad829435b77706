package sqsclient

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// calls are what a Client and the SDK's have in common.
type calls interface {
	ReceiveMessage(context.Context, *sqs.ReceiveMessageInput, ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(context.Context, *sqs.DeleteMessageBatchInput, ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// newSDK returns the SDK's client for an endpoint.
func newSDK(endpoint string, configure ...func(*sqs.Options)) *sqs.Client {
	return sqs.New(sqs.Options{
		Region:       "eu-west-1",
		BaseEndpoint: &endpoint,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:   wholeBodies{awshttp.NewBuildableClient()},
		Retryer:      retryFast{sqs.New(sqs.Options{}).Options().Retryer},
	}, configure...)
}

// wholeBodies is an HTTP client that sends bodies from memory. The SDK closes
// a request's body when it has the answer. If that is before net/http is done
// with the body, it finds an error and cuts the connection, and with it the
// answer (smithy-go 1.28.8, safeWriteToReadCloser.WriteTo). Services in the
// same process are that fast.
type wholeBodies struct{ *awshttp.BuildableClient }

func (w wholeBodies) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.WithContext(r.Context())
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	return w.BuildableClient.Do(r)
}

// retryFast retries as usual, but does not wait.
type retryFast struct{ aws.Retryer }

func (retryFast) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

const (
	oneMessage = `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"{\"a\":\"\\u00fc\"}","Attributes":{"ApproximateReceiveCount":"1"}}]}`
	oneDeleted = `{"Successful":[{"Id":"0"}],"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","Message":"no","SenderFault":true}]}`
)

func receive(ctx context.Context, c calls) (*sqs.ReceiveMessageOutput, error) {
	return c.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: aws.String("http://sqs/1/q"), MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount"},
		MessageAttributeNames:       []string{"traceparent"},
	})
}

func remove(ctx context.Context, c calls) (*sqs.DeleteMessageBatchOutput, error) {
	return c.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{
		QueueUrl: aws.String("http://sqs/1/q"),
		Entries: []types.DeleteMessageBatchRequestEntry{
			{Id: aws.String("0"), ReceiptHandle: aws.String("<h&\"\u00fc>")},
			{Id: aws.String("1"), ReceiptHandle: aws.String("h")},
		},
	})
}
