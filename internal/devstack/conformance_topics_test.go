package devstack

import (
	"fmt"
	"strings"

	"scout/internal/uuid"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
)

// topic creates a standard topic and returns its ARN.
func (c *client) topic() string {
	c.Helper()
	return c.createTopic("topic-"+uuid.New(), nil)
}

// fifoTopic creates a FIFO topic and returns its ARN.
func (c *client) fifoTopic(attributes map[string]string) string {
	c.Helper()
	all := map[string]string{"FifoTopic": "true"}
	for name, value := range attributes {
		all[name] = value
	}
	return c.createTopic("topic-"+uuid.New()+".fifo", all)
}

func (c *client) createTopic(name string, attributes map[string]string) string {
	c.Helper()
	out, err := c.sns.CreateTopic(c.Context(), &sns.CreateTopicInput{Name: &name, Attributes: attributes})
	c.must(err)
	return *out.TopicArn
}

// subscribe subscribes a queue to a topic and returns the subscription's ARN.
func (c *client) subscribe(topic, queue string, attributes map[string]string) string {
	c.Helper()
	out, err := c.sns.Subscribe(c.Context(), &sns.SubscribeInput{
		TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: aws.String(c.attribute(queue, "QueueArn")),
		Attributes: attributes, ReturnSubscriptionArn: true,
	})
	c.must(err)
	return *out.SubscriptionArn
}

// subscriptions returns the ARNs of a topic's subscriptions.
func (c *client) subscriptions(topic string) string {
	c.Helper()
	out, err := c.sns.ListSubscriptionsByTopic(c.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
	c.must(err)
	var arns []string
	for _, s := range out.Subscriptions {
		arns = append(arns, *s.SubscriptionArn)
	}
	return strings.Join(arns, " ")
}

var topicTests = []conformanceTest{
	{"a topic exists from its creation to its deletion", func(c *client) {
		name := "topic-" + uuid.New()
		arn := c.createTopic(name, nil)
		if !strings.HasPrefix(arn, "arn:aws:sns:us-east-1:") || !strings.HasSuffix(arn, ":"+name) {
			c.Errorf("got ARN %s", arn)
		}
		wantEqual(c, "ARN of the same again", c.createTopic(name, nil), arn)
		listed := func() bool {
			topics := sns.NewListTopicsPaginator(c.sns, &sns.ListTopicsInput{})
			for topics.HasMorePages() {
				page, err := topics.NextPage(c.Context())
				c.must(err)
				for _, t := range page.Topics {
					if *t.TopicArn == arn {
						return true
					}
				}
			}
			return false
		}
		wantEqual(c, "listed", listed(), true)
		for range 2 { // deleting a deleted topic is no error
			_, err := c.sns.DeleteTopic(c.Context(), &sns.DeleteTopicInput{TopicArn: &arn})
			c.must(err)
		}
		wantEqual(c, "listed", listed(), false)
		_, err := c.sns.GetTopicAttributes(c.Context(), &sns.GetTopicAttributesInput{TopicArn: &arn})
		wantError[*types.NotFoundException](c, err)
		_, err = c.sns.Publish(c.Context(), &sns.PublishInput{TopicArn: &arn, Message: aws.String("x")})
		wantError[*types.NotFoundException](c, err)
	}},
	{"a topic has attributes", func(c *client) {
		arn := c.topic()
		c.subscribe(arn, c.queue(nil), nil)
		out, err := c.sns.GetTopicAttributes(c.Context(), &sns.GetTopicAttributesInput{TopicArn: &arn})
		c.must(err)
		wantEqual(c, "TopicArn", out.Attributes["TopicArn"], arn)
		wantEqual(c, "SubscriptionsPending", out.Attributes["SubscriptionsPending"], "0")
		// moto does not count SubscriptionsConfirmed; server_test.go checks it.
	}},
	{"the name of a FIFO topic ends with .fifo", func(c *client) {
		arn := c.fifoTopic(nil)
		out, err := c.sns.GetTopicAttributes(c.Context(), &sns.GetTopicAttributesInput{TopicArn: &arn})
		c.must(err)
		wantEqual(c, "FifoTopic", out.Attributes["FifoTopic"], "true")
		_, err = c.sns.CreateTopic(c.Context(), &sns.CreateTopicInput{
			Name: aws.String("topic-" + uuid.New()), Attributes: map[string]string{"FifoTopic": "true"},
		})
		wantCode(c, err, "InvalidParameter")
		_, err = c.sns.CreateTopic(c.Context(), &sns.CreateTopicInput{Name: aws.String("a b")})
		wantCode(c, err, "InvalidParameter")
	}},
	{"a queue is subscribed once", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		arn := c.subscribe(topic, queue, nil)
		if !strings.HasPrefix(arn, topic+":") {
			c.Errorf("got ARN %s for the topic %s", arn, topic)
		}
		wantEqual(c, "ARN of the same again", c.subscribe(topic, queue, nil), arn)
		wantEqual(c, "subscriptions", c.subscriptions(topic), arn)
		for range 2 { // ending an ended subscription is no error
			_, err := c.sns.Unsubscribe(c.Context(), &sns.UnsubscribeInput{SubscriptionArn: &arn})
			c.must(err)
		}
		wantEqual(c, "subscriptions", c.subscriptions(topic), "")
	}},
	{"subscriptions of all topics are listed", func(c *client) {
		one, two := c.subscribe(c.topic(), c.queue(nil), nil), c.subscribe(c.topic(), c.queue(nil), nil)
		found := 0
		pages := sns.NewListSubscriptionsPaginator(c.sns, &sns.ListSubscriptionsInput{})
		for pages.HasMorePages() {
			page, err := pages.NextPage(c.Context())
			c.must(err)
			for _, s := range page.Subscriptions {
				if *s.SubscriptionArn == one || *s.SubscriptionArn == two {
					wantEqual(c, "protocol", *s.Protocol, "sqs")
					found++
				}
			}
		}
		wantEqual(c, "found", found, 2)
	}},
	{"a subscription has attributes that can be set", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		arn := c.subscribe(topic, queue, nil)
		get := func() map[string]string {
			out, err := c.sns.GetSubscriptionAttributes(c.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
			c.must(err)
			return out.Attributes
		}
		wantEqual(c, "SubscriptionArn", get()["SubscriptionArn"], arn)
		wantEqual(c, "TopicArn", get()["TopicArn"], topic)
		wantEqual(c, "Endpoint", get()["Endpoint"], c.attribute(queue, "QueueArn"))
		wantEqual(c, "RawMessageDelivery", get()["RawMessageDelivery"], "false")
		_, err := c.sns.SetSubscriptionAttributes(c.Context(), &sns.SetSubscriptionAttributesInput{
			SubscriptionArn: &arn, AttributeName: aws.String("RawMessageDelivery"), AttributeValue: aws.String("true"),
		})
		c.must(err)
		wantEqual(c, "RawMessageDelivery", get()["RawMessageDelivery"], "true")
		_, err = c.sns.SetSubscriptionAttributes(c.Context(), &sns.SetSubscriptionAttributesInput{
			SubscriptionArn: &arn, AttributeName: aws.String("Nope"), AttributeValue: aws.String("true"),
		})
		wantError[*types.InvalidParameterException](c, err)
	}},
	{"a subscription can have a dead-letter queue", func(c *client) {
		policy := fmt.Sprintf(`{"deadLetterTargetArn":%q}`, c.attribute(c.queue(nil), "QueueArn"))
		get := func(arn string) string {
			out, err := c.sns.GetSubscriptionAttributes(c.Context(), &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
			c.must(err)
			return out.Attributes["RedrivePolicy"]
		}
		topic, queue := c.topic(), c.queue(nil)
		wantEqual(c, "as subscribed", get(c.subscribe(topic, queue, map[string]string{"RedrivePolicy": policy})), policy)
		arn := c.subscribe(c.topic(), queue, nil)
		wantEqual(c, "without one", get(arn), "")
		_, err := c.sns.SetSubscriptionAttributes(c.Context(), &sns.SetSubscriptionAttributesInput{
			SubscriptionArn: &arn, AttributeName: aws.String("RedrivePolicy"), AttributeValue: &policy,
		})
		c.must(err)
		wantEqual(c, "as set", get(arn), policy)
	}},
	{"subscriptions are listed in pages of 100", func(c *client) {
		topic := c.topic()
		want := map[string]bool{}
		for range 101 {
			want[c.subscribe(topic, c.queue(nil), nil)] = true
		}
		pages := sns.NewListSubscriptionsByTopicPaginator(c.sns, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
		for _, size := range []int{100, 1} {
			page, err := pages.NextPage(c.Context())
			c.must(err)
			wantEqual(c, "subscriptions on the page", len(page.Subscriptions), size)
			for _, s := range page.Subscriptions {
				delete(want, *s.SubscriptionArn)
			}
		}
		wantEqual(c, "more pages", pages.HasMorePages(), false)
		wantEqual(c, "subscriptions that were not listed", len(want), 0)
	}},
	{"the subscriptions of an unknown topic cannot be listed", func(c *client) {
		_, err := c.sns.ListSubscriptionsByTopic(c.Context(), &sns.ListSubscriptionsByTopicInput{TopicArn: aws.String(c.topic() + "x")})
		wantError[*types.NotFoundException](c, err)
	}},
	{"only a standard queue can be subscribed to a standard topic, which must exist", func(c *client) {
		topic, queueARN := c.topic(), c.attribute(c.fifoQueue(nil), "QueueArn")
		_, err := c.sns.Subscribe(c.Context(), &sns.SubscribeInput{
			TopicArn: &topic, Protocol: aws.String("sqs"), Endpoint: &queueARN,
		})
		wantError[*types.InvalidParameterException](c, err)
		_, err = c.sns.Subscribe(c.Context(), &sns.SubscribeInput{
			TopicArn: aws.String(topic + "x"), Protocol: aws.String("sqs"), Endpoint: &queueARN,
		})
		wantError[*types.NotFoundException](c, err)
	}},
}
