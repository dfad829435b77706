package devstack

import (
	"strings"

	"scout/internal/uuid"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var queueTests = []conformanceTest{
	{"a queue is found by name until it is deleted", func(c *client) {
		name := "queue-" + uuid.New()
		url := c.createQueue(name, nil)
		found, err := c.sqs.GetQueueUrl(c.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
		c.must(err)
		wantEqual(c, "URL", *found.QueueUrl, url)
		if !strings.HasSuffix(url, "/"+name) {
			c.Errorf("the URL %s does not end in the queue's name", url)
		}
		_, err = c.sqs.DeleteQueue(c.Context(), &sqs.DeleteQueueInput{QueueUrl: &url})
		c.must(err)
		_, err = c.sqs.GetQueueUrl(c.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
		wantError[*types.QueueDoesNotExist](c, err)
		wantCode(c, err, "AWS.SimpleQueueService.NonExistentQueue")
	}},
	{"every action on an unknown queue returns QueueDoesNotExist", func(c *client) {
		url := aws.String("http://localhost/000000000000/nope")
		_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{QueueUrl: url, MessageBody: aws.String("x")})
		wantError[*types.QueueDoesNotExist](c, err)
		_, err = c.sqs.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: url})
		wantError[*types.QueueDoesNotExist](c, err)
		_, err = c.sqs.DeleteMessage(c.Context(), &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: aws.String("x")})
		wantError[*types.QueueDoesNotExist](c, err)
		_, err = c.sqs.GetQueueAttributes(c.Context(), &sqs.GetQueueAttributesInput{QueueUrl: url})
		wantError[*types.QueueDoesNotExist](c, err)
		_, err = c.sqs.PurgeQueue(c.Context(), &sqs.PurgeQueueInput{QueueUrl: url})
		wantError[*types.QueueDoesNotExist](c, err)
	}},
	{"creating a queue again returns its URL unless an attribute differs", func(c *client) {
		name := "queue-" + uuid.New()
		url := c.createQueue(name, map[string]string{"VisibilityTimeout": "7"})
		wantEqual(c, "URL", c.createQueue(name, nil), url)
		wantEqual(c, "URL", c.createQueue(name, map[string]string{"VisibilityTimeout": "7"}), url)
		_, err := c.sqs.CreateQueue(c.Context(), &sqs.CreateQueueInput{
			QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "8"},
		})
		wantCode(c, err, "QueueAlreadyExists")
	}},
	{"an invalid name is rejected", func(c *client) {
		_, err := c.sqs.CreateQueue(c.Context(), &sqs.CreateQueueInput{QueueName: aws.String("a b")})
		wantCode(c, err, "InvalidParameterValue")
	}},
	{"queues are listed by prefix", func(c *client) {
		prefix := "list-" + uuid.New()
		one, two := c.createQueue(prefix+"-1", nil), c.createQueue(prefix+"-2", nil)
		out, err := c.sqs.ListQueues(c.Context(), &sqs.ListQueuesInput{QueueNamePrefix: &prefix})
		c.must(err)
		wantEqual(c, "URLs", strings.Join(out.QueueUrls, " "), one+" "+two)
	}},
	{"attributes have the documented defaults", func(c *client) {
		url := c.queue(nil)
		out, err := c.sqs.GetQueueAttributes(c.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"},
		})
		c.must(err)
		name := url[strings.LastIndex(url, "/")+1:]
		if arn := out.Attributes["QueueArn"]; !strings.HasPrefix(arn, "arn:aws:sqs:us-east-1:") || !strings.HasSuffix(arn, ":"+name) {
			c.Errorf("got ARN %s", arn)
		}
		for attribute, want := range map[string]string{
			"VisibilityTimeout": "30", "DelaySeconds": "0", "ReceiveMessageWaitTimeSeconds": "0",
			"MaximumMessageSize": "1048576", "MessageRetentionPeriod": "345600",
			"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesNotVisible": "0",
			"ApproximateNumberOfMessagesDelayed": "0", "RedrivePolicy": "", "FifoQueue": "",
		} {
			wantEqual(c, attribute, out.Attributes[attribute], want)
		}
	}},
	{"attributes can be set and requested by name", func(c *client) {
		url := c.queue(nil)
		_, err := c.sqs.SetQueueAttributes(c.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: &url, Attributes: map[string]string{"VisibilityTimeout": "12"},
		})
		c.must(err)
		wantEqual(c, "VisibilityTimeout", c.attribute(url, "VisibilityTimeout"), "12")
		wantEqual(c, "DelaySeconds", c.attribute(url, "DelaySeconds"), "0")
		out, err := c.sqs.GetQueueAttributes(c.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url})
		c.must(err)
		wantEqual(c, "attributes without a name", len(out.Attributes), 0)
		_, err = c.sqs.GetQueueAttributes(c.Context(), &sqs.GetQueueAttributesInput{
			QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"Nope"},
		})
		wantError[*types.InvalidAttributeName](c, err)
	}},
	{"a queue has a policy", func(c *client) {
		policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
		got := c.attribute(c.queue(map[string]string{"Policy": policy}), "Policy")
		if !strings.Contains(got, "aws:SecureTransport") {
			c.Errorf("the policy is %q", got)
		}
		wantEqual(c, "without one", c.attribute(c.queue(nil), "Policy"), "")
	}},
	{"a queue has a key of KMS", func(c *client) {
		url := c.queue(map[string]string{"KmsMasterKeyId": "alias/aws/sqs"})
		wantEqual(c, "KmsMasterKeyId", c.attribute(url, "KmsMasterKeyId"), "alias/aws/sqs")
	}},
	{"messages are counted as visible, in flight and delayed", func(c *client) {
		url := c.queue(nil)
		c.send(url, "received")
		c.receiveOne(url)
		c.send(url, "visible")
		c.sendDelayed(url, "delayed", 60)
		wantEqual(c, "visible", c.attribute(url, "ApproximateNumberOfMessages"), "1")
		wantEqual(c, "in flight", c.attribute(url, "ApproximateNumberOfMessagesNotVisible"), "1")
		wantEqual(c, "delayed", c.attribute(url, "ApproximateNumberOfMessagesDelayed"), "1")
	}},
	{"a purge removes all messages", func(c *client) {
		url := c.queue(nil)
		c.send(url, "one")
		c.receiveOne(url)
		c.send(url, "two")
		_, err := c.sqs.PurgeQueue(c.Context(), &sqs.PurgeQueueInput{QueueUrl: &url})
		c.must(err)
		c.receiveNone(url)
		wantEqual(c, "in flight", c.attribute(url, "ApproximateNumberOfMessagesNotVisible"), "0")
	}},
}

func (c *client) sendDelayed(queue, body string, seconds int32) {
	c.Helper()
	_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
		QueueUrl: &queue, MessageBody: &body, DelaySeconds: seconds,
	})
	c.must(err)
}
