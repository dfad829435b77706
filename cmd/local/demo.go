package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lambdaevents "github.com/aws/aws-lambda-go/events"

	"scout/events"
	"scout/handler"
	"scout/internal/devpage"
	"scout/internal/devstack"
)

// A sample is a message of a sample event.
type sample struct {
	topicARN     string // in the stack; "" if the message is no notification
	notification devstack.Notification
	message      lambdaevents.SQSMessage // as the queue receives it
}

// runDemo publishes a sample message of each kind and waits until Scout has handled all
// of them. It then publishes one event again, which is a duplicate.
func (s *stack) runDemo(ctx context.Context, printer *messagePrinter) error {
	samples, err := s.samples()
	if err != nil {
		return err
	}
	expected := 0
	for _, sample := range samples {
		n, err := s.publish(sample)
		if err != nil {
			return fmt.Errorf("publishing a sample message: %w", err)
		}
		expected += n
	}
	if err := printer.waitHandled(ctx, expected); err != nil {
		return err
	}
	i := slices.IndexFunc(samples, s.isJobEvent)
	if i < 0 || ctx.Err() != nil {
		return nil
	}
	if _, err := s.publish(samples[i]); err != nil {
		return fmt.Errorf("publishing a sample message: %w", err)
	}
	return printer.waitHandled(ctx, expected+1)
}

// waitHandled waits until n messages are handled or ctx ends.
func (p *messagePrinter) waitHandled(ctx context.Context, n int) error {
	for deadline := time.Now().Add(time.Minute); p.handled() < n && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("after a minute, Scout has handled %d of %d sample messages", p.handled(), n)
		}
	}
	return nil
}

// isJobEvent reports whether a sample is an EventBridge event that becomes a job.
func (s *stack) isJobEvent(sample sample) bool {
	c := s.current()
	t, err := c.Router(c.Queues[0]).Translate(&sample.message, time.Now())
	return err == nil && t.Source == handler.SourceEventBridge && !t.Ignored
}

// samples returns a message of each kind from the sample events: the first of each
// source, route and outcome. It creates their topics.
func (s *stack) samples() (samples []sample, err error) {
	batches, err := events.Batches()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, batch := range batches {
		for _, m := range batch.Messages {
			sample, err := s.newSample(m)
			if err != nil {
				return nil, fmt.Errorf("events/%s.json: %w", batch.Name, err)
			}
			if kind := s.kindOf(sample); !seen[kind] {
				seen[kind] = true
				samples = append(samples, sample)
			}
		}
	}
	return samples, nil
}

// newSample reads a sample message. A notification belongs to the stack's topic of
// that name, which it creates.
func (s *stack) newSample(m lambdaevents.SQSMessage) (sample, error) {
	var envelope struct {
		Type, TopicArn, Message, Subject string
		MessageAttributes                map[string]struct{ Type, Value string }
	}
	if err := json.Unmarshal([]byte(m.Body), &envelope); err != nil || envelope.Type != "Notification" {
		return sample{message: m}, nil
	}
	name := handler.TopicName(envelope.TopicArn)
	arn, err := s.server.CreateTopic(name, topicAttributes(name))
	if err != nil {
		return sample{}, err
	}
	m.Body = strings.Replace(m.Body, envelope.TopicArn, arn, 1)
	attributes := map[string]devstack.Attribute{}
	for name, a := range envelope.MessageAttributes {
		attributes[name] = devstack.Attribute{DataType: a.Type, StringValue: a.Value} // the samples have no binary attributes
	}
	return sample{arn, devstack.Notification{
		Message:         envelope.Message,
		Subject:         envelope.Subject,
		Attributes:      attributes,
		GroupID:         m.Attributes["MessageGroupId"],
		DeduplicationID: m.Attributes["MessageDeduplicationId"],
	}, m}, nil
}

// kindOf returns the same text for samples of the same kind.
func (s *stack) kindOf(sample sample) string {
	var b strings.Builder
	c := s.current()
	for _, q := range c.Queues {
		t, err := c.Router(q).Translate(&sample.message, time.Now())
		fmt.Fprintf(&b, "%q %q %v", t.Source, t.Route, t.Ignored)
		if rejection, ok := errors.AsType[*handler.Rejection](err); ok {
			fmt.Fprintf(&b, " %s", rejection.Reason)
		}
		for _, job := range t.Jobs {
			fmt.Fprintf(&b, " %q", job.Class)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// publish publishes a notification to its topic, and sends any other sample directly
// to the first queue. It returns the number of messages that queues receive.
func (s *stack) publish(sample sample) (received int, err error) {
	m := sample.message
	if sample.topicARN != "" {
		_, err := s.server.Publish(sample.topicARN, sample.notification)
		return s.subscribers(sample.topicARN), err
	}
	_, err = s.server.Send(s.current().Queues[0].Name, devstack.Message{
		Body: m.Body, Attributes: devpage.AttributesOf(&m), TraceHeader: m.Attributes["AWSTraceHeader"],
	})
	return 1, err
}
