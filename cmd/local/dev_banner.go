package main

import (
	"cmp"
	"fmt"
	"strings"

	"scout/config"
	"scout/handler"
)

// routesText lists the queues of a configuration and their routes.
func routesText(c *config.Config) string {
	var b strings.Builder
	for _, q := range c.Queues {
		fmt.Fprintf(&b, "Queue        %s\n", q.Name)
		for _, section := range []struct {
			name   string
			routes []handler.Route
		}{{"Topic", q.Topics}, {"EventBridge", q.EventBridge}, {"S3", q.S3}} {
			for _, route := range section.routes {
				note := ""
				if section.name == "Topic" && isPattern(route.Key) {
					note = "  (a pattern: create a topic with such a name)"
				}
				fmt.Fprintf(&b, "%-11s  %s%s\n", section.name, describe(route), note)
			}
		}
		if q.Plain != nil {
			fmt.Fprintf(&b, "Plain        %s\n", strings.Join(describeOutcome(q.Plain), ", "))
		}
	}
	return b.String()
}

// instructions returns commands that point an app at the stack and publish to it. Every
// command works unchanged with versions 1 and 2 of the AWS CLI.
func instructions(c *config.Config, externalRedis bool) string {
	var b strings.Builder
	endpoint := c.AWS.Endpoint
	fmt.Fprintf(&b, `Point your app at it:
  export AWS_ENDPOINT_URL=%s AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=scout AWS_SECRET_ACCESS_KEY=scout
`, endpoint)
	if !externalRedis { // an external one is set already, and may contain a password
		fmt.Fprintf(&b, "  export REDIS_URL=%s\n", c.Redis.Address())
	}
	fmt.Fprintf(&b, "  bundle exec sidekiq -q %s\n", strings.Join(config.SidekiqQueues(c.Queues...), " -q "))
	flags := "--endpoint-url " + endpoint + " --region us-east-1"
	if arn, create := exampleTopic(c); arn != "" {
		fmt.Fprintf(&b, "Publish a message:\n")
		if create {
			fmt.Fprintf(&b, "  aws sns create-topic %s --name %s\n", flags, handler.TopicName(arn))
		}
		order := ""
		if strings.HasSuffix(arn, ".fifo") {
			order = " --message-group-id 1 --message-deduplication-id \"$(date +%s)\""
		}
		fmt.Fprintf(&b, "  aws sns publish %s --topic-arn %s --message '{\"id\":1}'%s\n", flags, arn, order)
	}
	if queue, body := exampleMessage(c); queue != nil {
		order := ""
		if strings.HasSuffix(queue.Name, ".fifo") {
			order = " --message-group-id 1 --message-deduplication-id \"$(date +%s)\""
		}
		fmt.Fprintf(&b, "Send one to the queue, without a topic:\n  aws sqs send-message %s --queue-url %s --message-body '%s'%s\n", flags, queue.URL, body, order)
	}
	return b.String()
}

// exampleTopic returns the ARN of a topic that has a route, and whether it must be
// created first. It prefers topics that exist, and that any message can be published
// to. It returns "" if no topic has a route.
func exampleTopic(c *config.Config) (arn string, create bool) {
	best := 0
	for _, q := range c.Queues {
		for _, route := range q.Topics {
			if score := scoreExample(route); score > best {
				best, arn, create = score, topicARN(exampleName(route.Key)), isPattern(route.Key)
			}
		}
	}
	return arn, create
}

// scoreExample returns how well a topic serves as an example. The minimum is 1.
func scoreExample(route handler.Route) int {
	score := 1
	if !strings.HasSuffix(route.Key, ".fifo") {
		score++
	}
	switch route.Outcome.(type) {
	case handler.Worker, handler.List:
		score += 2
	}
	if !isPattern(route.Key) {
		score += 4
	}
	return score
}

// exampleName returns a name that matches a key of the configuration.
func exampleName(key string) string {
	return strings.NewReplacer("*", "example", "?", "x").Replace(key)
}

// exampleMessage returns a queue that accepts messages without a topic, and such a
// message. It returns nil if no queue does.
func exampleMessage(c *config.Config) (*config.Queue, string) {
	for i := range c.Queues {
		q := &c.Queues[i]
		for _, route := range q.EventBridge {
			source, detailType, _ := strings.Cut(exampleName(route.Key), "/")
			if !strings.ContainsAny(route.Key, `'"\`) {
				return q, fmt.Sprintf(`{"id":"1","source":"%s","detail-type":"%s","detail":{"id":1}}`, source, cmp.Or(detailType, "example"))
			}
		}
		if q.Plain != nil {
			return q, `{"id":1}`
		}
	}
	return nil, ""
}
