package sqsclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/internal/printable"
)

// timeout is the maximum duration of a call about a queue, with its retries.
const timeout = 10 * time.Second

// QueueURL returns the URL of the configured queue. It asks SQS if only the
// name is configured.
func (c *Client) QueueURL(ctx context.Context, q config.Queue) (string, error) {
	if q.URL != "" {
		return q.URL, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := c.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &q.Name})
	if _, ok := errors.AsType[*types.QueueDoesNotExist](err); ok {
		return "", fmt.Errorf("there is no SQS queue %q in region %s of this AWS account: check queue.name, aws.region and the credentials", q.Name, c.Options().Region)
	}
	if err != nil {
		return "", fmt.Errorf("looking for the SQS queue %q: %w", q.Name, err)
	}
	url := aws.ToString(out.QueueUrl)
	if url == "" || url != printable.Text(url, 1024) {
		return "", fmt.Errorf("looking for the SQS queue %q: the response has no usable URL", q.Name)
	}
	return url, nil
}

// A Queue holds the attributes of a queue that Scout needs.
type Queue struct {
	ARN               string
	VisibilityTimeout time.Duration // 0 if unknown
	WaitTime          time.Duration // of receives that do not specify one
	MaxReceiveCount   int           // of the redrive policy; 0 if there is none or it is unknown
}

// DescribeQueue asks SQS about the queue with the given URL. If it returns an
// error, only the ARN is set, which is then derived from the URL and the region.
func (c *Client) DescribeQueue(ctx context.Context, queueURL string) (Queue, error) {
	attributes, err := c.queueAttributes(ctx, queueURL, types.QueueAttributeNameQueueArn,
		types.QueueAttributeNameVisibilityTimeout, types.QueueAttributeNameReceiveMessageWaitTimeSeconds, types.QueueAttributeNameRedrivePolicy)
	seconds := func(name types.QueueAttributeName) time.Duration {
		n, err := strconv.ParseUint(attributes[string(name)], 10, 31)
		if err != nil {
			return 0
		}
		return time.Duration(n) * time.Second
	}
	queue := Queue{
		ARN:               attributes[string(types.QueueAttributeNameQueueArn)],
		VisibilityTimeout: seconds(types.QueueAttributeNameVisibilityTimeout),
		WaitTime:          seconds(types.QueueAttributeNameReceiveMessageWaitTimeSeconds),
		MaxReceiveCount:   maxReceiveCount(attributes[string(types.QueueAttributeNameRedrivePolicy)]),
	}
	if len(queue.ARN) > 256 || !strings.HasPrefix(queue.ARN, "arn:") || !strings.HasSuffix(queue.ARN, ":"+config.QueueName(queueURL)) {
		queue.ARN = deriveARN(queueURL, c.Options().Region)
	}
	return queue, err
}

// maxReceiveCount returns the maxReceiveCount of a redrive policy, which is a
// number or a string, or 0 if there is none.
func maxReceiveCount(policy string) int {
	var p struct{ MaxReceiveCount json.Number }
	if json.Unmarshal([]byte(policy), &p) != nil {
		return 0
	}
	n, err := strconv.ParseUint(p.MaxReceiveCount.String(), 10, 16)
	if err != nil {
		return 0
	}
	return int(n)
}

// deriveARN returns the ARN of the queue with the given URL, which ends in
// /account/name, or "" if it does not.
func deriveARN(queueURL, region string) string {
	parts := strings.Split(strings.TrimRight(queueURL, "/"), "/")
	if len(parts) < 2 {
		return ""
	}
	account, name := parts[len(parts)-2], parts[len(parts)-1]
	return strings.Join([]string{"arn", partition(region), "sqs", region, account, name}, ":")
}

// partition returns the partition of a region: aws, except for regions that are
// separate from AWS's others.
func partition(region string) string {
	for prefix, partition := range map[string]string{
		"cn-": "aws-cn", "us-gov-": "aws-us-gov", "eusc-": "aws-eusc",
		"us-iso-": "aws-iso", "us-isob-": "aws-iso-b", "eu-isoe-": "aws-iso-e", "us-isof-": "aws-iso-f",
	} {
		if strings.HasPrefix(region, prefix) {
			return partition
		}
	}
	return "aws"
}

// QueueAttributes returns those of the named attributes of a queue that are
// integers. Attributes that the queue does not have are missing.
func (c *Client) QueueAttributes(ctx context.Context, queueURL string, names ...types.QueueAttributeName) (map[types.QueueAttributeName]int, error) {
	attributes, err := c.queueAttributes(ctx, queueURL, names...)
	if err != nil {
		return nil, err
	}
	numbers := map[types.QueueAttributeName]int{}
	for name, text := range attributes {
		if number, err := strconv.Atoi(text); err == nil {
			numbers[types.QueueAttributeName(name)] = number
		}
	}
	return numbers, nil
}

func (c *Client) queueAttributes(ctx context.Context, queueURL string, names ...types.QueueAttributeName) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: names})
	if err != nil {
		return nil, fmt.Errorf("reading the attributes of the SQS queue %s: %w", config.QueueName(queueURL), err)
	}
	return out.Attributes, nil
}
