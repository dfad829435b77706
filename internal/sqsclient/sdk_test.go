package sqsclient

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// calls are the methods of both a Client and the SDK's client.
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
		HTTPClient:   newHTTPClient(awshttp.NewBuildableClient()),
		Retryer:      retryFast{sqs.New(sqs.Options{}).Options().Retryer},
	}, configure...)
}

// retryFast retries as usual, but without a delay.
type retryFast struct{ aws.Retryer }

func (retryFast) RetryDelay(int, error) (time.Duration, error) { return 0, nil }

const (
	oneMessage = `{"Messages":[{"MessageId":"m","ReceiptHandle":"h","Body":"{\"a\":\"\\u00fc\"}","Attributes":{"ApproximateReceiveCount":"1"}}]}`
	oneDeleted = `{"Successful":[{"Id":"0"}],"Failed":[{"Id":"1","Code":"ReceiptHandleIsInvalid","Message":"no","SenderFault":true}]}`
)

func receive(ctx context.Context, c calls) (*sqs.ReceiveMessageOutput, error) {
	return c.ReceiveMessage(ctx, receiveInput())
}

func receiveInput() *sqs.ReceiveMessageInput {
	return &sqs.ReceiveMessageInput{
		QueueUrl: aws.String("http://sqs/1/q"), MaxNumberOfMessages: 10, WaitTimeSeconds: 20,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"ApproximateReceiveCount"},
		MessageAttributeNames:       []string{"traceparent"},
	}
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
