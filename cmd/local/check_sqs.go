package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go"

	"scout/config"
	"scout/internal/audit"
	"scout/internal/sqsclient"
)

// queueTimeout is the maximum duration of the audit of a queue.
const queueTimeout = 2 * time.Minute

func checkQueuesOnline(ctx context.Context, c *config.Config, tryReceive bool, r *report) {
	if c.Queues[0].Label() == "" {
		r.begin(audit.AreaQueue, "", "SQS")
		r.OK("no SQS queue is configured; the Lambda function needs none")
		return
	}
	auditor, err := audit.New(ctx, c)
	if err != nil {
		r.begin(audit.AreaQueue, "aws", "AWS")
		r.Fail("", "%v", err)
		return
	}
	for _, q := range c.Queues {
		r.begin(audit.AreaQueue, q.Label(), "SQS queue "+q.Label())
		checkQueueOnline(ctx, auditor, q, tryReceive, r)
	}
}

func checkQueueOnline(ctx context.Context, auditor *audit.Auditor, q config.Queue, tryReceive bool, r *report) {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	url, err := auditor.SQS.QueueURL(ctx, q)
	if err != nil {
		r.Fail("", "%v", err)
		return
	}
	p := permissions{client: auditor.SQS, url: url, report: r}
	facts := auditor.Facts(ctx, q, url)
	switch {
	case sqsclient.IsDenied(facts.Err):
		r.Unknown("allow it: without it, Scout assumes a visibility timeout of 30 s", "%s", p.denied("sqs:GetQueueAttributes", facts.Err))
		r.Unknown("", "the dead-letter queue, the visibility timeout, the policy and the subscriptions were not checked")
	case facts.Err != nil:
		r.Fail("", "reading the attributes of %s: %v", url, facts.Err)
	default:
		visible := facts.Attributes["ApproximateNumberOfMessages"]
		r.OK("the SQS queue %s exists and holds %s messages", url, visible)
		tryReceive = tryReceive || visible == "0"
	}
	for _, f := range facts.Findings() {
		r.add(f)
	}
	if facts.Err != nil && !sqsclient.IsDenied(facts.Err) {
		return
	}
	p.checkReceive(ctx, tryReceive)
	p.checkHandles(ctx)
}

// permissions tries the calls that Scout makes to a queue.
type permissions struct {
	client *sqsclient.Client
	url    string
	report *report
}

// checkReceive receives a message for a second if try is set. The receive counts
// towards maxReceiveCount, so it can move a message to the dead-letter queue.
func (p permissions) checkReceive(ctx context.Context, try bool) {
	if !try {
		p.report.Unknown("use --try-receive", "sqs:ReceiveMessage was not tried, because the queue may hold messages and each receive counts towards maxReceiveCount")
		return
	}
	_, err := p.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &p.url, MaxNumberOfMessages: 1, VisibilityTimeout: 1, WaitTimeSeconds: 1, // with 0, the SDK sends neither
	})
	p.reportCall("sqs:ReceiveMessage", "Scout cannot work without it", err, p.report.Fail)
}

// checkHandles tries the calls that need a receipt handle, with one that no message
// has. SQS rejects it only after it has checked the permission for the call.
func (p permissions) checkHandles(ctx context.Context) {
	handle := "scout-check"
	_, err := p.client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.url, ReceiptHandle: &handle})
	p.reportCall("sqs:DeleteMessage", "without it, messages that became jobs are redelivered until they reach the dead-letter queue", err, p.report.Fail)
	_, err = p.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: &p.url, ReceiptHandle: &handle, VisibilityTimeout: 0})
	p.reportCall("sqs:ChangeMessageVisibility", "without it, Scout can neither extend the visibility timeout nor return messages early", err, p.report.Warn)
}

// reportCall reports whether a call is permitted. A denied one goes to report.
func (p permissions) reportCall(action, consequence string, err error, report func(fix, format string, args ...any)) {
	switch {
	case err == nil || rejectsHandle(err):
		p.report.OK("%s is permitted", action)
	case sqsclient.IsDenied(err):
		report("allow it", "%s: %s", p.denied(action, err), consequence)
	default:
		p.report.Fail("", "trying %s on %s: %v", action, p.url, err)
	}
}

// denied describes a denied action, with the reason that AWS gives.
func (p permissions) denied(action string, err error) string {
	return action + " on " + p.url + " is denied" + sqsclient.Reason(err)
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
