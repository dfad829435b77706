package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	lambdaevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/events"
	"scout/handler"
	"scout/internal/devstack"
	"scout/sidekiq"
)

// A jobPrinter prints each new job and counts the outcomes of messages.
type jobPrinter struct {
	handler.Pusher

	mu     sync.Mutex
	w      io.Writer
	queues map[string]int
	stats  handler.Stats
}

// decorate makes the printer push to next.
func (p *jobPrinter) decorate(next handler.Pusher) handler.Pusher {
	p.Pusher = next
	return p
}

func newJobPrinter(w io.Writer) *jobPrinter {
	return &jobPrinter{w: w, queues: map[string]int{}, stats: handler.Stats{Failed: map[handler.Reason]int{}}}
}

func (p *jobPrinter) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}

// Push pushes jobs and prints those that are new.
func (p *jobPrinter) Push(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
	results, err := p.Pusher.Push(ctx, jobs)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, result := range results {
		if result.Outcome == sidekiq.Enqueued {
			p.queues[jobs[i].Queue]++
			fmt.Fprintf(p.w, "%s\n", displayJSON(jobs[i].Payload))
		}
	}
	return results, err
}

func (p *jobPrinter) observe(stats handler.Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Received += stats.Received
	p.stats.Enqueued += stats.Enqueued
	p.stats.Duplicate += stats.Duplicate
	p.stats.Ignored += stats.Ignored
	p.stats.Dead += stats.Dead
	for reason, n := range stats.Failed {
		p.stats.Failed[reason] += n
	}
}

func (p *jobPrinter) handled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats.Received
}

// runDemo publishes the sample events, waits until Scout has handled them all, and
// prints a summary.
func (s *stack) runDemo(ctx context.Context, printer *jobPrinter) error {
	files, err := events.Files.ReadDir(".")
	if err != nil {
		return err
	}
	published := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".json") {
			continue
		}
		n, err := s.publishFile(ctx, file.Name())
		if err != nil {
			return fmt.Errorf("publishing events/%s: %w", file.Name(), err)
		}
		published += n
	}
	for deadline := time.Now().Add(time.Minute); printer.handled() < published; time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after a minute, Scout has handled %d of %d sample messages", printer.handled(), published)
		}
	}
	printer.summary(published)
	return nil
}

// publishFile publishes the messages of a sample event and returns their number.
func (s *stack) publishFile(ctx context.Context, name string) (int, error) {
	text, err := events.Files.ReadFile(name)
	if err != nil {
		return 0, err
	}
	var event lambdaevents.SQSEvent
	if err := json.Unmarshal(text, &event); err != nil {
		return 0, err
	}
	for _, m := range event.Records {
		if err := s.publish(ctx, m); err != nil {
			return 0, err
		}
	}
	return len(event.Records), nil
}

// publish publishes a sample message: a notification to its topic, any other body
// directly to the queue.
func (s *stack) publish(ctx context.Context, m lambdaevents.SQSMessage) error {
	var envelope struct {
		Type, TopicArn, Message, Subject string
		MessageAttributes                map[string]struct{ Type, Value string }
	}
	if err := json.Unmarshal([]byte(m.Body), &envelope); err != nil || envelope.Type != "Notification" {
		return s.send(ctx, m)
	}
	topic, err := s.createTopic(handler.TopicName(envelope.TopicArn))
	if err != nil {
		return err
	}
	attributes := map[string]devstack.Attribute{}
	for name, a := range envelope.MessageAttributes {
		attributes[name] = devstack.Attribute{DataType: a.Type, StringValue: a.Value} // the samples have no binary attributes
	}
	_, err = s.server.Publish(topic, devstack.Notification{
		Message:         envelope.Message,
		Subject:         envelope.Subject,
		Attributes:      attributes,
		GroupID:         m.Attributes["MessageGroupId"],
		DeduplicationID: m.Attributes["MessageDeduplicationId"],
	})
	return err
}

// send sends a sample message to the queue, with its attributes and its X-Ray header.
func (s *stack) send(ctx context.Context, m lambdaevents.SQSMessage) error {
	in := &sqs.SendMessageInput{
		QueueUrl:                &s.config.Queues[0].URL,
		MessageBody:             &m.Body,
		MessageAttributes:       map[string]types.MessageAttributeValue{},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{},
	}
	for name, a := range m.MessageAttributes {
		in.MessageAttributes[name] = types.MessageAttributeValue{DataType: &a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue}
	}
	const trace = string(types.MessageSystemAttributeNameAWSTraceHeader)
	if header, ok := m.Attributes[trace]; ok {
		in.MessageSystemAttributes[trace] = types.MessageSystemAttributeValue{DataType: aws.String("String"), StringValue: &header}
	}
	_, err := s.client.SendMessage(ctx, in)
	return err
}

func (p *jobPrinter) summary(published int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintf(table, "\nSIDEKIQ QUEUE\tJOBS\n")
	for _, queue := range slices.Sorted(maps.Keys(p.queues)) {
		fmt.Fprintf(table, "%s\t%d\n", queue, p.queues[queue])
	}
	fmt.Fprintf(table, "\nMESSAGES\t\npublished\t%d\nenqueued\t%d\n", published, p.stats.Enqueued)
	if p.stats.Ignored > 0 {
		fmt.Fprintf(table, "ignored\t%d\n", p.stats.Ignored)
	}
	if p.stats.Dead > 0 {
		fmt.Fprintf(table, "rejected, in the dead set\t%d\n", p.stats.Dead)
	}
	for _, reason := range slices.Sorted(maps.Keys(p.stats.Failed)) {
		fmt.Fprintf(table, "rejected, %s\t%d\n", reason, p.stats.Failed[reason])
	}
}
