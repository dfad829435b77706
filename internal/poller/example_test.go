package poller_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/internal/devstack"
	"scout/internal/poller"
)

// A message that Handle reports as failed stays in the queue; the others are deleted.
func ExamplePoller() {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	defer endpoint.Close()
	defer server.Close()
	client := sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint.URL,
		Credentials:  credentials.NewStaticCredentialsProvider("x", "x", ""),
	})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	queue, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("orders")})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{"apples", "poison", "pears"} {
		if _, err := client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: queue.QueueUrl, MessageBody: &body}); err != nil {
			fmt.Println(err)
			return
		}
	}

	p := &poller.Poller{
		SQS:      client,
		QueueURL: *queue.QueueUrl,
		Ready:    func(context.Context) error { return nil },
		Tuning:   poller.Tuning{Concurrency: 1}, // another poll could receive what this one returns
		Handle: func(_ context.Context, event events.SQSEvent) (response events.SQSEventResponse, _ error) {
			for _, m := range event.Records {
				fmt.Println("received", m.Body)
				if m.Body == "poison" {
					failure := events.SQSBatchItemFailure{ItemIdentifier: m.MessageId}
					response.BatchItemFailures = append(response.BatchItemFailures, failure)
				}
			}
			stop() // a daemon would do so on SIGTERM
			return response, nil
		},
	}
	p.Run(ctx)
	stats := p.Stats()
	fmt.Println(stats.Received, "received,", stats.Deleted, "deleted,", stats.Returned, "returned to the queue")
	// Output:
	// received apples
	// received poison
	// received pears
	// 3 received, 2 deleted, 1 returned to the queue
}
