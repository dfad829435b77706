package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/gomodule/redigo/redis"
)

// bareCommand is the argument that makes this program run the bare loop.
const bareCommand = "bare"

// bareLoops is the number of loops, the same as the maximum of Scout's polls.
const bareLoops = 64

// bareLoop does the minimum that it takes to move messages from SQS to Redis with
// the AWS SDK: receive ten, push their bodies unchanged, and delete them. It checks
// nothing, and pushes a redelivered message again.
func bareLoop() contender {
	return contender{name: "bare loop", command: func(s *stand, metricsAddr string) ([]string, bool, error) {
		self, err := os.Executable()
		return []string{self, bareCommand, s.sqs.url(), s.sqs.queueURL(), s.socket, metricsAddr}, true, err
	}}
}

// runBare runs the bare loop as a command. It ends with the first error.
func runBare(ctx context.Context, args []string) error {
	endpoint, queueURL, socket, metricsAddr := args[0], args[1], args[2], args[3]
	client := sqs.New(sqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: &endpoint,
		Credentials:  aws.NewCredentialsCache(credentials.NewStaticCredentialsProvider("x", "x", "")),
		HTTPClient: awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConnsPerHost = bareLoops
		}),
		DisableMessageChecksumValidation: true,
	})
	go func() { _ = http.ListenAndServe(metricsAddr, http.HandlerFunc(serveMemory)) }()
	errs := make(chan error)
	var loops sync.WaitGroup
	for range bareLoops {
		loops.Go(func() { errs <- runLoop(ctx, client, queueURL, socket) })
	}
	return <-errs
}

func runLoop(ctx context.Context, client *sqs.Client, queueURL, socket string) error {
	conn, err := redis.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	for {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
		if err != nil {
			return err
		}
		if len(out.Messages) == 0 {
			continue
		}
		push, entries := []any{"queue:default"}, []types.DeleteMessageBatchRequestEntry{}
		for i, m := range out.Messages {
			push = append(push, *m.Body)
			entries = append(entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle})
		}
		if _, err := conn.Do("LPUSH", push...); err != nil {
			return err
		}
		if _, err := client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &queueURL, Entries: entries}); err != nil {
			return err
		}
	}
}

// serveMemory serves the metrics that usage reads, under the names that
// Prometheus's collector for Go gives them.
func serveMemory(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, "go_goroutines %d\ngo_memstats_mallocs_total %d\ngo_memstats_alloc_bytes_total %d\n",
		runtime.NumGoroutine(), m.Mallocs, m.TotalAlloc)
}
