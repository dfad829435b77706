package sqsclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
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
	return *out.QueueUrl, nil
}

// QueueARN returns the ARN of the queue with the given URL, whose path is
// /account/name.
func (c *Client) QueueARN(queueURL string) string {
	u, err := url.Parse(queueURL)
	if err != nil {
		return ""
	}
	return "arn:aws:sqs:" + c.Options().Region + strings.ReplaceAll(strings.TrimSuffix(u.Path, "/"), "/", ":")
}

// QueueAttributes returns those of the named attributes of a queue that are
// integers. Attributes that the queue does not have are missing.
func (c *Client) QueueAttributes(ctx context.Context, queueURL string, names ...types.QueueAttributeName) (map[types.QueueAttributeName]int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	out, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &queueURL, AttributeNames: names})
	if err != nil {
		return nil, fmt.Errorf("reading the attributes of the SQS queue %s: %w", config.QueueName(queueURL), err)
	}
	numbers := map[types.QueueAttributeName]int{}
	for name, text := range out.Attributes {
		if number, err := strconv.Atoi(text); err == nil {
			numbers[types.QueueAttributeName(name)] = number
		}
	}
	return numbers, nil
}
