package devstack

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var raw = map[string]string{"RawMessageDelivery": "true"}

// publish publishes a notification and returns its id.
func (c *client) publish(in sns.PublishInput) string {
	c.Helper()
	out, err := c.sns.Publish(c.Context(), &in)
	c.must(err)
	return *out.MessageId
}

// envelope decodes an envelope and checks that it has exactly the given keys.
func (c *client) envelope(m sqstypes.Message, keys ...string) map[string]any {
	c.Helper()
	var envelope map[string]any
	c.must(json.Unmarshal([]byte(*m.Body), &envelope))
	for _, key := range keys {
		if _, ok := envelope[key]; !ok {
			c.Errorf("the envelope has no %s", key)
		}
	}
	if len(envelope) != len(keys) {
		c.Errorf("the envelope has other keys than %v: %s", keys, *m.Body)
	}
	return envelope
}

var envelopeKeys = []string{
	"Type", "MessageId", "TopicArn", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL",
}

// manyAttributes returns n attributes.
func manyAttributes(n int) map[string]types.MessageAttributeValue {
	attributes := map[string]types.MessageAttributeValue{}
	for i := range n {
		attributes[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: aws.String("x")}
	}
	return attributes
}

var notificationTests = []conformanceTest{
	{"a notification is delivered in an envelope", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, nil)
		message := `{"a": "<ä> & \"b\"", "big": 12345678901234567890}`
		id := c.publish(sns.PublishInput{TopicArn: &topic, Message: &message})
		m := c.receiveOne(queue)
		wantEqual(c, "message attributes", len(m.MessageAttributes), 0)
		envelope := c.envelope(m, envelopeKeys...)
		wantEqual(c, "Type", envelope["Type"], any("Notification"))
		wantEqual(c, "MessageId", envelope["MessageId"], any(id))
		wantEqual(c, "TopicArn", envelope["TopicArn"], any(topic))
		wantEqual(c, "Message", envelope["Message"], any(message))
		at, err := time.Parse("2006-01-02T15:04:05.000Z", envelope["Timestamp"].(string))
		if err != nil || time.Since(at).Abs() > time.Minute {
			c.Errorf("Timestamp is %v", envelope["Timestamp"])
		}
	}},
	{"an envelope contains the subject and the attributes", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, nil)
		c.publish(sns.PublishInput{
			TopicArn: &topic, Message: aws.String("x"), Subject: aws.String("Hello"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"text":   {DataType: aws.String("String"), StringValue: aws.String("ä")},
				"number": {DataType: aws.String("Number"), StringValue: aws.String("42")},
				"blob":   {DataType: aws.String("Binary"), BinaryValue: []byte("hello")},
			},
		})
		envelope := c.envelope(c.receiveOne(queue), append(envelopeKeys, "Subject", "MessageAttributes")...)
		wantEqual(c, "Subject", envelope["Subject"], any("Hello"))
		attributes := envelope["MessageAttributes"].(map[string]any)
		attribute := func(name, key string) any { return attributes[name].(map[string]any)[key] }
		wantEqual(c, "type of text", attribute("text", "Type"), any("String"))
		wantEqual(c, "value of text", attribute("text", "Value"), any("ä"))
		wantEqual(c, "type of number", attribute("number", "Type"), any("Number"))
		wantEqual(c, "value of number", attribute("number", "Value"), any("42"))
		wantEqual(c, "type of blob", attribute("blob", "Type"), any("Binary"))
		wantEqual(c, "value of blob", attribute("blob", "Value"), any("aGVsbG8="))
	}},
	{"a raw delivery is the message itself", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, raw)
		c.publish(sns.PublishInput{
			TopicArn: &topic, Message: aws.String("plain"),
			MessageAttributes: map[string]types.MessageAttributeValue{
				"text": {DataType: aws.String("String"), StringValue: aws.String("ä")},
			},
		})
		m := c.receiveOne(queue)
		wantEqual(c, "body", *m.Body, "plain")
		wantEqual(c, "attribute", aws.ToString(m.MessageAttributes["text"].StringValue), "ä")
		wantEqual(c, "MD5", aws.ToString(m.MD5OfMessageAttributes),
			md5Of("\x00\x00\x00\x04text\x00\x00\x00\x06String\x01\x00\x00\x00\x02ä"))
	}},
	{"a raw delivery has up to 10 attributes of SQS", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, raw)
		c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String("x"), MessageAttributes: manyAttributes(maxAttributes)})
		wantEqual(c, "attributes", len(c.receiveOne(queue).MessageAttributes), maxAttributes)
	}},
	{"every subscriber receives a notification with the same id", func(c *client) {
		topic, one, two := c.topic(), c.queue(nil), c.queue(nil)
		c.subscribe(topic, one, nil)
		ended := c.subscribe(topic, two, nil)
		first := c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String("1")})
		wantEqual(c, "one", c.envelope(c.receiveOne(one), envelopeKeys...)["MessageId"], any(first))
		wantEqual(c, "two", c.envelope(c.receiveOne(two), envelopeKeys...)["MessageId"], any(first))
		_, err := c.sns.Unsubscribe(c.Context(), &sns.UnsubscribeInput{SubscriptionArn: &ended})
		c.must(err)
		c.publish(sns.PublishInput{TopicArn: &topic, Message: aws.String("2")})
		c.receiveOne(one)
		c.receiveNone(two)
	}},
	{"a structured message may have a text for queues", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, raw)
		publish := func(message string) {
			c.publish(sns.PublishInput{TopicArn: &topic, Message: &message, MessageStructure: aws.String("json")})
		}
		publish(`{"default": "for all", "sqs": "for queues"}`)
		wantEqual(c, "with sqs", *c.receiveOne(queue).Body, "for queues")
		publish(`{"default": "for all", "email": "x"}`)
		wantEqual(c, "without", *c.receiveOne(queue).Body, "for all")
		_, err := c.sns.Publish(c.Context(), &sns.PublishInput{
			TopicArn: &topic, Message: aws.String("text"), MessageStructure: aws.String("json"),
		})
		wantError[*types.InvalidParameterException](c, err)
	}},
	{"a notification has a maximum of 256 KiB", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, raw)
		longest := strings.Repeat("x", 256<<10)
		c.publish(sns.PublishInput{TopicArn: &topic, Message: &longest})
		wantEqual(c, "length", len(*c.receiveOne(queue).Body), len(longest))
		_, err := c.sns.Publish(c.Context(), &sns.PublishInput{TopicArn: &topic, Message: aws.String(longest + "x")})
		wantError[*types.InvalidParameterException](c, err)
	}},
	{"notifications are published in batches", func(c *client) {
		topic, queue := c.topic(), c.queue(nil)
		c.subscribe(topic, queue, raw)
		entry := func(id, message string) types.PublishBatchRequestEntry {
			return types.PublishBatchRequestEntry{Id: &id, Message: &message}
		}
		publish := func(entries ...types.PublishBatchRequestEntry) (*sns.PublishBatchOutput, error) {
			return c.sns.PublishBatch(c.Context(), &sns.PublishBatchInput{
				TopicArn: &topic, PublishBatchRequestEntries: entries,
			})
		}
		out, err := publish(entry("a", "1"), entry("b", "2"))
		c.must(err)
		wantEqual(c, "successful", len(out.Successful), 2)
		wantEqual(c, "failed", len(out.Failed), 0)
		wantEqual(c, "first id", *out.Successful[0].Id, "a")
		wantEqual(c, "received", len(c.receive(queue)), 2)
		_, err = publish(entry("a", "1"), entry("a", "2"))
		wantError[*types.BatchEntryIdsNotDistinctException](c, err)
		var eleven []types.PublishBatchRequestEntry
		for _, e := range sendEntries(11) {
			eleven = append(eleven, entry(*e.Id, "x"))
		}
		_, err = publish(eleven...)
		wantError[*types.TooManyEntriesInBatchRequestException](c, err)
		c.receiveNone(queue)
	}},
	{"a FIFO topic passes groups and de-duplication ids on", func(c *client) {
		topic, queue := c.fifoTopic(nil), c.fifoQueue(nil)
		c.subscribe(topic, queue, raw)
		for _, message := range []string{"1", "1", "2"} {
			c.publish(sns.PublishInput{
				TopicArn: &topic, Message: &message, MessageGroupId: aws.String("g"), MessageDeduplicationId: &message,
			})
		}
		received := c.receive(queue)
		c.wantBodies("received", received, "1 2")
		wantEqual(c, "group", received[1].Attributes["MessageGroupId"], "g")
		wantEqual(c, "de-duplication id", received[1].Attributes["MessageDeduplicationId"], "2")
	}},
	{"a FIFO topic needs a group and a de-duplication id, and a standard topic rejects the latter", func(c *client) {
		fifo, standard := c.fifoTopic(nil), c.topic()
		publish := func(topic string, group, id *string) error {
			_, err := c.sns.Publish(c.Context(), &sns.PublishInput{
				TopicArn: &topic, Message: aws.String("x"), MessageGroupId: group, MessageDeduplicationId: id,
			})
			return err
		}
		// moto returns MissingParameter for the first; server_test.go checks what AWS returns.
		if err := publish(fifo, nil, aws.String("x")); err == nil {
			c.Error("a FIFO topic accepted a message without a group")
		}
		wantError[*types.InvalidParameterException](c, publish(fifo, aws.String("g"), nil))
		wantError[*types.InvalidParameterException](c, publish(standard, nil, aws.String("x")))
	}},
}
