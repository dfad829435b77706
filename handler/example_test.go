package handler_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/handler"
	"scout/internal/devstack"
	"scout/sidekiq"
)

var router = handler.NewRouter(handler.Routes{Topics: []handler.Route{{
	Key: "orders",
	Outcome: handler.Worker{
		JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker", Queue: "critical"},
		Args:        []handler.Arg{handler.ArgMessage},
	},
}}})

// message returns a message as SQS delivers it for a topic.
func message(id, topic, published string) events.SQSMessage {
	return events.SQSMessage{
		MessageId: id,
		Body: fmt.Sprintf(`{"Type":"Notification","MessageId":"sns-%s","TopicArn":"arn:aws:sns:us-east-1:123456789012:%s","Message":%q}`,
			id, topic, published),
	}
}

// A message becomes a job for each worker of its topic. The arguments keep the
// message's JSON to the last digit.
func ExampleRouter_Translate() {
	m := message("1", "orders", `{"id":1001,"total":19.90}`)
	translation, err := router.Translate(&m, time.Unix(1767323045, 0))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(translation.TopicARN)
	for _, job := range translation.Jobs {
		fmt.Printf("%s\n", job.Payload)
	}
	// Output:
	// arn:aws:sns:us-east-1:123456789012:orders
	// {"retry":true,"queue":"critical","class":"OrderWorker","args":[{"id":1001,"total":19.90}],"jid":"5496a44e97aa51c1473af81c","created_at":1767323045.000000,"enqueued_at":1767323045.000000}
}

// The response lists the message that failed. The other message is a job now
// and can be deleted from its SQS queue.
func ExampleHandler_Handle() {
	redis, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer redis.Close()
	client, err := sidekiq.NewClient(sidekiq.Options{URL: "redis://" + redis.Addr(), DedupTTL: 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	h := &handler.Handler{Router: router, Client: client, Log: slog.New(slog.DiscardHandler)}

	response, err := h.Handle(context.Background(), events.SQSEvent{Records: []events.SQSMessage{
		message("1", "orders", `{"id":1001}`),
		message("2", "unknown", `{"id":1002}`),
	}})
	if err != nil {
		log.Fatal(err)
	}
	for _, failure := range response.BatchItemFailures {
		fmt.Println("failed:", failure.ItemIdentifier)
	}
	queue, err := redis.List("queue:critical")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("jobs in queue:critical:", len(queue))
	// Output:
	// failed: 2
	// jobs in queue:critical: 1
}
