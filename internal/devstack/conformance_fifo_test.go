package devstack

import (
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// sendFIFO sends messages to a group. The body of each is its de-duplication id.
func (c *client) sendFIFO(queue, group string, bodies ...string) {
	c.Helper()
	for _, body := range bodies {
		_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
			QueueUrl: &queue, MessageBody: &body, MessageGroupId: &group, MessageDeduplicationId: &body,
		})
		c.must(err)
	}
}

func (c *client) wantBodies(what string, messages []types.Message, want string) {
	c.Helper()
	wantEqual(c, what, strings.Join(bodies(messages), " "), want)
}

var fifoTests = []conformanceTest{
	{"messages of a group arrive in order and with their ids", func(c *client) {
		url := c.fifoQueue(nil)
		c.sendFIFO(url, "g", "1", "2", "3")
		received := c.receive(url)
		c.wantBodies("received", received, "1 2 3")
		wantEqual(c, "group", received[1].Attributes["MessageGroupId"], "g")
		wantEqual(c, "de-duplication id", received[1].Attributes["MessageDeduplicationId"], "2")
		wantEqual(c, "length of sequence number", len(received[1].Attributes["SequenceNumber"]), 20)
		wantEqual(c, "FifoQueue", c.attribute(url, "FifoQueue"), "true")
	}},
	{"a group with a message in flight is blocked until the message is deleted", func(c *client) {
		url := c.fifoQueue(nil)
		c.sendFIFO(url, "a", "a1", "a2")
		c.sendFIFO(url, "b", "b1")
		first := c.receive(url, maxMessages(1))
		c.wantBodies("first", first, "a1")
		c.wantBodies("while a is blocked", c.receive(url), "b1")
		c.receiveNone(url)
		c.delete(url, first[0])
		c.wantBodies("after the delete", c.receive(url, waiting(2)), "a2")
	}},
	{"a group continues with the same message after the visibility timeout", func(c *client) {
		url := c.fifoQueue(map[string]string{"VisibilityTimeout": "1"})
		c.sendFIFO(url, "g", "1", "2")
		c.wantBodies("first", c.receive(url, maxMessages(1)), "1")
		c.receiveNone(url)
		c.wantBodies("then", c.receive(url, waiting(3)), "1 2")
	}},
	{"a visibility of 0 unblocks a group", func(c *client) {
		url := c.fifoQueue(nil)
		c.sendFIFO(url, "g", "1", "2")
		c.setVisibility(url, c.receiveOne(url, maxMessages(1)), 0)
		time.Sleep(10 * time.Millisecond) // moto's clock has milliseconds
		c.wantBodies("then", c.receive(url, waiting(2)), "1 2")
	}},
	{"a duplicate is accepted and not delivered", func(c *client) {
		url := c.fifoQueue(nil)
		c.sendFIFO(url, "g", "1", "1", "2")
		c.wantBodies("received", c.receive(url), "1 2")
	}},
	{"a queue may use the content as the de-duplication id", func(c *client) {
		url := c.fifoQueue(map[string]string{"ContentBasedDeduplication": "true"})
		for _, body := range []string{"1", "2", "1"} {
			_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
				QueueUrl: &url, MessageBody: &body, MessageGroupId: aws.String("g"),
			})
			c.must(err)
		}
		c.wantBodies("received", c.receive(url), "1 2")
	}},
	{"a message needs a group and a de-duplication id", func(c *client) {
		url := c.fifoQueue(nil)
		_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String("x"), MessageDeduplicationId: aws.String("x"),
		})
		wantCode(c, err, "MissingParameter")
		_, err = c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String("x"), MessageGroupId: aws.String("g"),
		})
		wantCode(c, err, "InvalidParameterValue")
	}},
	{"a batch keeps its order", func(c *client) {
		url := c.fifoQueue(nil)
		entries := sendEntries(10)
		for i := range entries {
			entries[i].MessageBody = entries[i].Id
			entries[i].MessageGroupId = aws.String("g")
			entries[i].MessageDeduplicationId = entries[i].Id
		}
		_, err := c.sendBatch(url, entries)
		c.must(err)
		c.wantBodies("received", c.receive(url), "0 1 2 3 4 5 6 7 8 9")
	}},
	{"messages of a group that are received too often go to the dead-letter queue", func(c *client) {
		deadLetters := c.fifoQueue(nil)
		attributes := c.redrivePolicy(deadLetters, 1)
		attributes["VisibilityTimeout"] = "1"
		url := c.fifoQueue(attributes)
		c.sendFIFO(url, "g", "1", "2", "3")
		c.wantBodies("received", c.receive(url), "1 2 3")
		c.wantBodies("received again", c.receive(url, waiting(2)), "")
		// AWS keeps the order, moto does not always; queue_test.go checks it.
		wantEqual(c, "dead-letter messages", len(c.receive(deadLetters)), 3)
	}},
}
