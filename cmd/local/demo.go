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
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"scout/events"
	"scout/handler"
	"scout/internal/devstack"
	"scout/sidekiq"
)

// A show prints each new job and counts the outcomes of messages.
type show struct {
	handler.Pusher

	mu     sync.Mutex
	w      io.Writer
	queues map[string]int
	stats  handler.Stats
}

// decorate makes the show push to next.
func (s *show) decorate(next handler.Pusher) handler.Pusher {
	s.Pusher = next
	return s
}

func newShow(w io.Writer) *show {
	return &show{w: w, queues: map[string]int{}, stats: handler.Stats{Failed: map[handler.Reason]int{}}}
}

func (s *show) printf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.w, format, args...)
}

// Push pushes jobs and prints those that are new.
func (s *show) Push(ctx context.Context, jobs []sidekiq.Job) ([]sidekiq.Result, error) {
	results, err := s.Pusher.Push(ctx, jobs)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, result := range results {
		if result.Outcome == sidekiq.Enqueued {
			s.queues[jobs[i].Queue]++
			fmt.Fprintf(s.w, "%s\n", jobs[i].Payload)
		}
	}
	return results, err
}

func (s *show) observe(stats handler.Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Received += stats.Received
	s.stats.Enqueued += stats.Enqueued
	s.stats.Duplicate += stats.Duplicate
	for reason, n := range stats.Failed {
		s.stats.Failed[reason] += n
	}
}

func (s *show) handled() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats.Received
}

// runDemo publishes the sample events, waits until Scout has handled them all, and
// prints a summary.
func (s *stack) runDemo(ctx context.Context, show *show) error {
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
	for deadline := time.Now().Add(time.Minute); show.handled() < published; time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after a minute, Scout has handled %d of %d sample messages", show.handled(), published)
		}
	}
	show.summary(published)
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
		_, err := s.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &s.config.Queues[0].URL, MessageBody: &m.Body})
		return err
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

func (s *show) summary(published int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := tabwriter.NewWriter(s.w, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintf(table, "\nSIDEKIQ QUEUE\tJOBS\n")
	for _, queue := range slices.Sorted(maps.Keys(s.queues)) {
		fmt.Fprintf(table, "%s\t%d\n", queue, s.queues[queue])
	}
	fmt.Fprintf(table, "\nMESSAGES\t\npublished\t%d\nenqueued\t%d\n", published, s.stats.Enqueued)
	for _, reason := range slices.Sorted(maps.Keys(s.stats.Failed)) {
		fmt.Fprintf(table, "rejected, %s\t%d\n", reason, s.stats.Failed[reason])
	}
}
