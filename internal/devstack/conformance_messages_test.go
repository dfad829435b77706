package devstack

import (
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"scout/internal/uuid"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

var messageTests = []conformanceTest{
	{"the X-Ray header is delivered", func(c *client) {
		queue := c.queue(nil)
		_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
			QueueUrl: &queue, MessageBody: aws.String("x"),
			MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
				traceHeader: {DataType: aws.String("String"), StringValue: aws.String("Root=1-2-3")},
			},
		})
		c.must(err)
		wantEqual(c, traceHeader, c.receiveOne(queue).Attributes[traceHeader], "Root=1-2-3")
	}},
	{"a message is sent, received and deleted", func(c *client) {
		url, body := c.queue(map[string]string{"VisibilityTimeout": "1"}), "Grüße <&> \"日本\"\n\t🙂"
		id := c.send(url, body)
		m := c.receiveOne(url)
		wantEqual(c, "body", *m.Body, body)
		wantEqual(c, "id", *m.MessageId, id)
		sum := md5.Sum([]byte(body))
		wantEqual(c, "MD5", *m.MD5OfBody, hex.EncodeToString(sum[:]))
		c.delete(url, m)
		time.Sleep(1100 * time.Millisecond)
		c.receiveNone(url)
	}},
	{"a message is redelivered after the visibility timeout with another receipt handle", func(c *client) {
		url := c.queue(map[string]string{"VisibilityTimeout": "1"})
		c.send(url, "x")
		first := c.receiveOne(url)
		c.receiveNone(url)
		second := c.receiveOne(url) // waits
		if *first.ReceiptHandle == *second.ReceiptHandle {
			c.Error("the receipt handle is the same")
		}
		wantEqual(c, "first count", first.Attributes["ApproximateReceiveCount"], "1")
		wantEqual(c, "second count", second.Attributes["ApproximateReceiveCount"], "2")
		wantEqual(c, "first receive", second.Attributes["ApproximateFirstReceiveTimestamp"],
			first.Attributes["ApproximateFirstReceiveTimestamp"])
		c.delete(url, first) // a standard queue accepts an old handle
		c.delete(url, first) // deleting again is no error
		time.Sleep(1100 * time.Millisecond)
		c.receiveNone(url)
	}},
	{"a receive may have its own visibility timeout", func(c *client) {
		url := c.queue(nil)
		c.send(url, "x")
		c.receiveOne(url, invisibleFor(1))
		c.receiveNone(url)
		c.receiveOne(url)
	}},
	{"the visibility timeout can be shortened and extended", func(c *client) {
		url := c.queue(map[string]string{"VisibilityTimeout": "1"})
		c.send(url, "x")
		c.setVisibility(url, c.receiveOne(url), 0)
		time.Sleep(10 * time.Millisecond) // moto's clock has milliseconds
		again := c.receive(url)
		wantEqual(c, "received", len(again), 1)
		c.setVisibility(url, again[0], 30)
		time.Sleep(1200 * time.Millisecond)
		c.receiveNone(url)
	}},
	{"a message is hidden for a maximum of 12 hours from its receive", func(c *client) {
		url := c.queue(nil)
		c.send(url, "x")
		m := c.receiveOne(url)
		time.Sleep(1100 * time.Millisecond)
		change := func(seconds int32) error {
			_, err := c.sqs.ChangeMessageVisibility(c.Context(), &sqs.ChangeMessageVisibilityInput{
				QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
			})
			return err
		}
		wantCode(c, change(12*60*60), "InvalidParameterValue")
		c.must(change(12*60*60 - 600))
	}},
	{"a receipt handle that never existed is rejected", func(c *client) {
		for _, url := range []string{c.queue(nil), c.fifoQueue(nil)} {
			_, err := c.sqs.DeleteMessage(c.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: aws.String("nope")})
			wantError[*types.ReceiptHandleIsInvalid](c, err)
			_, err = c.sqs.ChangeMessageVisibility(c.Context(), &sqs.ChangeMessageVisibilityInput{
				QueueUrl: &url, ReceiptHandle: aws.String("nope"), VisibilityTimeout: 1,
			})
			wantError[*types.ReceiptHandleIsInvalid](c, err)
		}
	}},
	{"a delayed message is received after its delay", func(c *client) {
		url := c.queue(nil)
		c.sendDelayed(url, "x", 1)
		c.receiveNone(url)
		c.receiveOne(url)
	}},
	{"a queue delays messages without their own delay", func(c *client) {
		url := c.queue(map[string]string{"DelaySeconds": "1"})
		c.send(url, "x")
		c.receiveNone(url)
		c.receiveOne(url)
	}},
	{"a long poll of an empty queue ends after its wait", func(c *client) {
		url := c.queue(nil)
		c.within(900*time.Millisecond, 4*time.Second, func() {
			wantEqual(c, "received", len(c.receive(url, waiting(1))), 0)
		})
	}},
	{"a queue may have its own wait time", func(c *client) {
		url := c.queue(map[string]string{"ReceiveMessageWaitTimeSeconds": "1"})
		c.within(900*time.Millisecond, 4*time.Second, func() { c.receiveNone(url) })
	}},
	{"a long poll ends when a message arrives", func(c *client) {
		url := c.queue(nil)
		c.within(200*time.Millisecond, 5*time.Second, func() {
			sent := make(chan struct{})
			time.AfterFunc(200*time.Millisecond, func() {
				defer close(sent)
				c.send(url, "x")
			})
			wantEqual(c, "received", len(c.receive(url, waiting(20))), 1)
			<-sent
		})
	}},
	{"a receive returns 1 to 10 messages, each once", func(c *client) {
		url := c.queue(nil)
		for i := range 12 {
			c.send(url, strconv.Itoa(i))
		}
		ten, one, rest := c.receive(url), c.receive(url, maxMessages(1)), c.receive(url)
		if len(ten) != 10 || len(one) != 1 || len(rest) != 1 {
			c.Errorf("received %d, %d and %d messages, want 10, 1 and 1", len(ten), len(one), len(rest))
		}
		_, err := c.sqs.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 11})
		wantCode(c, err, "InvalidParameterValue")
		_, err = c.sqs.ReceiveMessage(c.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 21})
		wantCode(c, err, "InvalidParameterValue")
	}},
	{"message attributes are returned by name, prefix or all", testMessageAttributes},
	{"system attributes are returned for both names of the parameter", testSystemAttributes},
	{"a message that is received too often goes to the dead-letter queue", func(c *client) {
		deadLetters := c.queue(nil)
		attributes := c.redrivePolicy(deadLetters, 2)
		attributes["VisibilityTimeout"] = "1"
		url := c.queue(attributes)
		id := c.send(url, "x")
		c.receiveOne(url)
		c.receiveOne(url)
		wantEqual(c, "third receive", len(c.receive(url, waiting(2))), 0)
		m := c.receiveOne(deadLetters)
		wantEqual(c, "id", *m.MessageId, id)
		wantEqual(c, "body", *m.Body, "x")
		wantEqual(c, "messages left", c.attribute(url, "ApproximateNumberOfMessages"), "0")
	}},
	{"a dead-letter queue must exist", func(c *client) {
		_, err := c.sqs.CreateQueue(c.Context(), &sqs.CreateQueueInput{
			QueueName: aws.String("queue-" + uuid.New()),
			Attributes: map[string]string{
				"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:nope","maxReceiveCount":"3"}`,
			},
		})
		if err == nil { // moto: AWS.SimpleQueueService.NonExistentQueue
			c.Error("it was accepted")
		}
	}},
	{"a message has a maximum of 1 MiB", func(c *client) {
		url := c.queue(nil)
		body := strings.Repeat("x", 1<<20)
		c.send(url, body)
		wantEqual(c, "length", len(*c.receiveOne(url).Body), len(body))
		_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String(body + "x")})
		wantCode(c, err, "InvalidParameterValue")
	}},
	{"a delay has a maximum of 15 minutes", func(c *client) {
		url := c.queue(nil)
		_, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
			QueueUrl: &url, MessageBody: aws.String("x"), DelaySeconds: 901,
		})
		wantCode(c, err, "InvalidParameterValue")
	}},
}

func stringAttribute(dataType, value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: &dataType, StringValue: &value}
}

func testMessageAttributes(c *client) {
	url := c.queue(nil)
	sent, err := c.sqs.SendMessage(c.Context(), &sqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("x"),
		MessageAttributes: map[string]types.MessageAttributeValue{
			"trace.parent": stringAttribute("String", "00-ä"),
			"trace.state":  stringAttribute("String.custom", "b"),
			"count":        stringAttribute("Number", "42"),
			"blob":         {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
		},
	})
	c.must(err)
	// The names in order, each with its type, 1 for a string or 2 for binary, and its value. A length
	// precedes each text.
	count := "\x00\x00\x00\x05count\x00\x00\x00\x06Number\x01\x00\x00\x00\x0242"
	all := "\x00\x00\x00\x04blob\x00\x00\x00\x06Binary\x02\x00\x00\x00\x02\x00\xff" + count +
		"\x00\x00\x00\x0ctrace.parent\x00\x00\x00\x06String\x01\x00\x00\x00\x0500-ä" +
		"\x00\x00\x00\x0btrace.state\x00\x00\x00\x0dString.custom\x01\x00\x00\x00\x01b"
	wantEqual(c, "MD5 when sent", aws.ToString(sent.MD5OfMessageAttributes), md5Of(all))

	for _, test := range []struct {
		ask, want, md5 string
	}{
		{"All", "blob count trace.parent trace.state", md5Of(all)},
		{".*", "blob count trace.parent trace.state", md5Of(all)},
		{"count", "count", md5Of(count)},
		{"trace.*", "trace.parent trace.state", ""},
		{"nope", "", ""},
	} {
		m := c.receiveOne(url, func(in *sqs.ReceiveMessageInput) { in.MessageAttributeNames = []string{test.ask} })
		var names []string
		for _, name := range []string{"blob", "count", "trace.parent", "trace.state"} {
			if _, ok := m.MessageAttributes[name]; ok {
				names = append(names, name)
			}
		}
		wantEqual(c, "attributes for "+test.ask, strings.Join(names, " "), test.want)
		if test.md5 != "" {
			wantEqual(c, "MD5 for "+test.ask, aws.ToString(m.MD5OfMessageAttributes), test.md5)
		}
		if test.ask == "All" {
			wantEqual(c, "string", *m.MessageAttributes["trace.parent"].StringValue, "00-ä")
			wantEqual(c, "type", *m.MessageAttributes["trace.state"].DataType, "String.custom")
			wantEqual(c, "binary", string(m.MessageAttributes["blob"].BinaryValue), "\x00\xff")
		}
		c.setVisibility(url, m, 0)
	}
}

func md5Of(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func testSystemAttributes(c *client) {
	url := c.queue(nil)
	before := time.Now().Add(-time.Second).UnixMilli()
	c.send(url, "x")
	check := func(what string, m types.Message, want ...string) {
		wantEqual(c, what+": number of attributes", len(m.Attributes), len(want))
		for _, name := range want {
			if m.Attributes[name] == "" {
				c.Errorf("%s: %s is missing", what, name)
			}
		}
		c.setVisibility(url, m, 0)
	}
	m := c.receiveOne(url)
	for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
		at, err := strconv.ParseInt(m.Attributes[name], 10, 64)
		if err != nil || at < before || at > time.Now().Add(time.Second).UnixMilli() {
			c.Errorf("%s is %q", name, m.Attributes[name])
		}
	}
	check("All", m, "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp")
	check("the old name", c.receiveOne(url, func(in *sqs.ReceiveMessageInput) {
		in.MessageSystemAttributeNames = nil
		//lint:ignore SA1019 older clients ask for attributes by this name
		in.AttributeNames = []types.QueueAttributeName{"SentTimestamp"}
	}), "SentTimestamp")
	check("the new name", c.receiveOne(url, func(in *sqs.ReceiveMessageInput) {
		in.MessageSystemAttributeNames = []types.MessageSystemAttributeName{"ApproximateReceiveCount", "SenderId"}
	}), "ApproximateReceiveCount", "SenderId")
	check("none", c.receiveOne(url, func(in *sqs.ReceiveMessageInput) { in.MessageSystemAttributeNames = nil }))
}
