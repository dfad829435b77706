package devstack

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func sendEntries(n int) []types.SendMessageBatchRequestEntry {
	var entries []types.SendMessageBatchRequestEntry
	for i := range n {
		entries = append(entries, types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), MessageBody: aws.String("body " + strconv.Itoa(i)),
		})
	}
	return entries
}

func deleteEntries(messages []types.Message) []types.DeleteMessageBatchRequestEntry {
	var entries []types.DeleteMessageBatchRequestEntry
	for i, m := range messages {
		entries = append(entries, types.DeleteMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle,
		})
	}
	return entries
}

func (c *client) sendBatch(queue string, entries []types.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return c.sqs.SendMessageBatch(c.Context(), &sqs.SendMessageBatchInput{QueueUrl: &queue, Entries: entries})
}

func (c *client) deleteBatch(queue string, entries []types.DeleteMessageBatchRequestEntry) (*sqs.DeleteMessageBatchOutput, error) {
	return c.sqs.DeleteMessageBatch(c.Context(), &sqs.DeleteMessageBatchInput{QueueUrl: &queue, Entries: entries})
}

var batchTests = []conformanceTest{
	{"ten messages are sent and deleted at once", func(c *client) {
		url := c.queue(nil)
		sent, err := c.sendBatch(url, sendEntries(10))
		c.must(err)
		ids := make(map[string]string) // by body
		for _, e := range sent.Successful {
			ids["body "+*e.Id] = *e.MessageId
		}
		received := c.receive(url)
		wantEqual(c, "received", len(received), 10)
		for _, m := range received {
			wantEqual(c, "id of "+*m.Body, *m.MessageId, ids[*m.Body])
		}
		deleted, err := c.deleteBatch(url, deleteEntries(received))
		c.must(err)
		wantEqual(c, "deleted", len(deleted.Successful), 10)
		wantEqual(c, "in flight", c.attribute(url, "ApproximateNumberOfMessagesNotVisible"), "0")
	}},
	{"an entry that cannot be sent fails alone", func(c *client) {
		url := c.queue(nil)
		entries := sendEntries(3)
		entries[1].DelaySeconds = 901
		out, err := c.sendBatch(url, entries)
		c.must(err)
		wantEqual(c, "successful", len(out.Successful), 2)
		if len(out.Failed) != 1 {
			c.Fatalf("%d failed, want 1", len(out.Failed))
		}
		wantEqual(c, "id", *out.Failed[0].Id, "1")
		wantEqual(c, "code", *out.Failed[0].Code, "InvalidParameterValue")
		wantEqual(c, "sender's fault", out.Failed[0].SenderFault, true)
		wantEqual(c, "received", len(c.receive(url)), 2)
	}},
	{"an entry that cannot be deleted fails alone", func(c *client) {
		url := c.queue(nil)
		c.send(url, "x")
		entries := deleteEntries([]types.Message{c.receiveOne(url), {ReceiptHandle: aws.String("nope")}})
		out, err := c.deleteBatch(url, entries)
		c.must(err)
		wantEqual(c, "successful", len(out.Successful), 1)
		wantEqual(c, "failed", len(out.Failed), 1)
		wantEqual(c, "id", *out.Failed[0].Id, "1")
		wantEqual(c, "code", *out.Failed[0].Code, "ReceiptHandleIsInvalid")
	}},
	{"an entry whose visibility cannot be changed fails alone", func(c *client) {
		url := c.queue(nil)
		c.send(url, "x")
		out, err := c.sqs.ChangeMessageVisibilityBatch(c.Context(), &sqs.ChangeMessageVisibilityBatchInput{
			QueueUrl: &url,
			Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
				{Id: aws.String("good"), ReceiptHandle: c.receiveOne(url).ReceiptHandle, VisibilityTimeout: 1},
				{Id: aws.String("bad"), ReceiptHandle: aws.String("nope"), VisibilityTimeout: 1},
			},
		})
		c.must(err)
		wantEqual(c, "successful", len(out.Successful), 1)
		wantEqual(c, "failed", len(out.Failed), 1)
		wantEqual(c, "failed id", *out.Failed[0].Id, "bad")
		c.receiveOne(url) // waits
	}},
	{"a batch is rejected as a whole with typed errors", func(c *client) {
		url := c.queue(nil)
		// moto checks the entries of other batches less strictly; see server_test.go.
		_, err := c.sendBatch(url, []types.SendMessageBatchRequestEntry{})
		wantError[*types.EmptyBatchRequest](c, err)
		_, err = c.sendBatch(url, sendEntries(11))
		wantError[*types.TooManyEntriesInBatchRequest](c, err)
		twice := sendEntries(2)
		twice[1].Id = twice[0].Id
		_, err = c.sendBatch(url, twice)
		wantError[*types.BatchEntryIdsNotDistinct](c, err)
		odd := sendEntries(1)
		odd[0].Id = aws.String("a b")
		_, err = c.sendBatch(url, odd)
		wantError[*types.InvalidBatchEntryId](c, err)
		c.receiveNone(url)
	}},
	{"a batch has a maximum of 1 MiB", func(c *client) {
		url := c.queue(nil)
		entries := sendEntries(2)
		for i := range entries {
			entries[i].MessageBody = aws.String(strings.Repeat("x", 600_000))
		}
		_, err := c.sendBatch(url, entries)
		wantError[*types.BatchRequestTooLong](c, err)
		c.receiveNone(url)
	}},
}
