package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"scout/config"
	"scout/internal/printable"
	"scout/internal/sqsclient"
)

func checkQueuesOnline(ctx context.Context, c *config.Config, tryReceive bool, r *report) {
	if c.Queues[0].Label() == "" {
		r.ok("no SQS queue is configured; the Lambda function needs none")
		return
	}
	client, err := sqsclient.New(ctx, c.AWS, slog.New(slog.DiscardHandler))
	if err != nil {
		r.fail("%v", err)
		return
	}
	for _, q := range c.Queues {
		checkQueueOnline(ctx, client, q, tryReceive, r)
	}
}

func checkQueueOnline(ctx context.Context, client *sqsclient.Client, q config.Queue, tryReceive bool, r *report) {
	url, err := client.QueueURL(ctx, q)
	if err != nil {
		r.fail("%v", err)
		return
	}
	p := permissions{client: client, url: url, report: r}
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	switch {
	case isDenied(err):
		r.warn("%s; grant it: without it, Scout assumes a visibility timeout of 30 s", p.denied("sqs:GetQueueAttributes", err))
		r.skip("the dead-letter queue and the visibility timeout were not checked")
		p.checkReceive(ctx, tryReceive)
	case err != nil:
		r.fail("reading the attributes of %s: %v", url, err)
		return
	default:
		visible := out.Attributes["ApproximateNumberOfMessages"]
		r.ok("the SQS queue %s exists and holds %s messages", url, visible)
		checkDeadLetters(out.Attributes["RedrivePolicy"], r)
		checkVisibility(q, out.Attributes["VisibilityTimeout"], r)
		p.checkReceive(ctx, tryReceive || visible == "0")
	}
	p.checkDelete(ctx)
	p.checkChangeVisibility(ctx)
}

// permissions tries the calls that Scout makes to a queue.
type permissions struct {
	client *sqsclient.Client
	url    string
	report *report
}

// unknownHandle is a receipt handle that no message has. SQS rejects it only after
// it has checked the permission for the call.
const unknownHandle = "scout-check"

// checkReceive receives a message for a second if try is set. The receive counts
// towards maxReceiveCount, so it can move a message to the dead-letter queue.
func (p permissions) checkReceive(ctx context.Context, try bool) {
	if !try {
		p.report.skip("sqs:ReceiveMessage was not tried, because the queue may hold messages and each receive counts towards maxReceiveCount; use --try-receive")
		return
	}
	_, err := p.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &p.url, MaxNumberOfMessages: 1, VisibilityTimeout: 1, WaitTimeSeconds: 1, // with 0, the SDK sends neither
	})
	p.reportCall("sqs:ReceiveMessage", "Scout cannot work without it", err, p.report.fail)
}

func (p permissions) checkDelete(ctx context.Context) {
	handle := unknownHandle
	_, err := p.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.url, ReceiptHandle: &handle})
	p.reportCall("sqs:DeleteMessage", "without it, messages that became jobs are redelivered until they reach the dead-letter queue", err, p.report.fail)
}

func (p permissions) checkChangeVisibility(ctx context.Context) {
	handle := unknownHandle
	_, err := p.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &p.url, ReceiptHandle: &handle, VisibilityTimeout: 0})
	p.reportCall("sqs:ChangeMessageVisibility", "without it, Scout can neither extend the visibility timeout nor return messages early", err, p.report.warn)
}

// reportCall reports whether a call is permitted. A denied one goes to report.
func (p permissions) reportCall(action, consequence string, err error, report func(format string, args ...any)) {
	switch {
	case err == nil || rejectsHandle(err):
		p.report.ok("%s is permitted", action)
	case isDenied(err):
		report("%s; grant it: %s", p.denied(action, err), consequence)
	default:
		p.report.fail("trying %s on %s: %v", action, p.url, err)
	}
}

// denied describes a denied action, with the reason that AWS gives.
func (p permissions) denied(action string, err error) string {
	denied := action + " on " + p.url + " is denied"
	if e, ok := errors.AsType[smithy.APIError](err); ok && e.ErrorMessage() != "" {
		denied += " (" + printable.Text(e.ErrorMessage(), 300) + ")"
	}
	return denied
}

// isDenied reports whether AWS denied a call for lack of a permission. The code is
// AccessDenied in the Query protocol, AccessDeniedException in the JSON protocol.
func isDenied(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.HasPrefix(e.ErrorCode(), "AccessDenied")
}

// rejectsHandle reports whether a call failed only because of its receipt handle.
func rejectsHandle(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch code := e.ErrorCode(); code {
	case "ReceiptHandleIsInvalid", "InvalidIdFormat":
		return true
	default:
		return strings.HasPrefix(code, "InvalidParameterValue") && strings.Contains(e.ErrorMessage(), "ReceiptHandle")
	}
}

func checkDeadLetters(policy string, r *report) {
	var redrive struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.Number
	}
	if err := json.Unmarshal([]byte(policy), &redrive); err != nil || redrive.DeadLetterTargetArn == "" {
		r.fail("the queue has no dead-letter queue: a message that Scout rejects returns to the queue until its retention period ends, and is then lost; set a RedrivePolicy")
		return
	}
	if n, _ := redrive.MaxReceiveCount.Int64(); n < 5 {
		r.warn("messages go to the dead-letter queue after %d receives: with fewer than 5, a short outage of Redis moves them there; raise maxReceiveCount", n)
		return
	}
	r.ok("rejected messages go to %s after %s receives", redrive.DeadLetterTargetArn, redrive.MaxReceiveCount)
}

func checkVisibility(q config.Queue, attribute string, r *report) {
	seconds, _ := strconv.Atoi(attribute)
	visibility := time.Duration(seconds) * time.Second
	if q.VisibilityTimeout > 0 {
		visibility = q.VisibilityTimeout
	}
	if visibility < 30*time.Second {
		r.warn("failed messages are redelivered after %v: a slow Redis may need longer, and messages are then received twice; set the visibility timeout to 30s or more", visibility)
		return
	}
	r.ok("failed messages are redelivered after %v", visibility)
}
