package config

import "time"

// The limits of SQS: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
const (
	maxMessages          = 10
	maxWaitTime          = 20 * time.Second
	maxVisibilityTimeout = 12 * time.Hour
)

// read fills q. Workers that name no Sidekiq queue get sidekiqQueue.
func (q *Queue) read(n node, sidekiqQueue string, needQueue bool) {
	q.WaitTime = maxWaitTime
	q.MaxMessages = maxMessages
	q.Concurrency = 64
	n.fields(
		field{"name", v1(into(&q.Name, sqsName))},
		field{"url", into(&q.URL, httpURL)},
		field{"wait_time", into(&q.WaitTime, duration(0, maxWaitTime))},
		field{"visibility_timeout", into(&q.VisibilityTimeout, duration(0, maxVisibilityTimeout))},
		field{"max_messages", into(&q.MaxMessages, integer(1, maxMessages))},
		field{"concurrency", into(&q.Concurrency, integer(1, 1000))},
		field{"topics", v1(required(topicsInto(&q.Topics, sidekiqQueue)))},
	)
	switch byName, byURL := n.child("name"), n.child("url"); {
	case byName.given() && byURL.value != nil:
		byURL.fail("cannot be with queue.name")
	case needQueue && !byName.given() && byURL.value == nil:
		byName.fail("is required, or queue.url")
	}
	into(&q.MaxMessages, integer(1, maxMessages))(n.variable("SCOUT_SQS_MAX_NUMBER_OF_MESSAGES"))
	into(&q.WaitTime, seconds(0, maxWaitTime))(n.variable("SCOUT_SQS_WAIT_TIME_SECONDS"))
	into(&q.VisibilityTimeout, seconds(0, maxVisibilityTimeout))(n.variable("SCOUT_SQS_VISIBILITY_TIMEOUT"))
}
