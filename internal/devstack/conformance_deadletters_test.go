package devstack

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var deadLetterTests = []conformanceTest{
	{"the queues that name a dead-letter queue are listed", func(c *client) {
		deadLetters := c.queue(nil)
		list := func() string {
			out, err := c.sqs.ListDeadLetterSourceQueues(c.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &deadLetters})
			c.must(err)
			slices.Sort(out.QueueUrls)
			return strings.Join(out.QueueUrls, " ")
		}
		wantEqual(c, "without a source", list(), "")
		c.queue(c.redrivePolicy(c.queue(nil), 2))
		sources := []string{c.queue(c.redrivePolicy(deadLetters, 2)), c.queue(c.redrivePolicy(deadLetters, 5))}
		slices.Sort(sources)
		wantEqual(c, "with sources", list(), strings.Join(sources, " "))
		_, err := c.sqs.SetQueueAttributes(c.Context(), &sqs.SetQueueAttributesInput{
			QueueUrl: &sources[0], Attributes: map[string]string{"RedrivePolicy": ""},
		})
		c.must(err)
		wantEqual(c, "without the first", list(), sources[1])
		_, err = c.sqs.ListDeadLetterSourceQueues(c.Context(), &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: aws.String(deadLetters + "x")})
		wantError[*types.QueueDoesNotExist](c, err)
	}},
	{"a group of a FIFO queue is blocked by each of its messages in flight", func(c *client) {
		url := c.fifoQueue(nil)
		c.sendFIFO(url, "g", "1", "2", "3")
		received := c.receive(url, maxMessages(2))
		c.wantBodies("received", received, "1 2")
		c.setVisibility(url, received[1], 0)
		c.receiveNone(url)
		c.setVisibility(url, received[0], 0)
		c.wantBodies("returned", c.receive(url, waiting(2)), "1 2 3")
	}},
}
