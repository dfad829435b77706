package config

import (
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

func TestOrigins(t *testing.T) {
	for route, want := range map[string]string{
		"OrderWorker": `retry 5 (workers), queue critical (workers), dead false (workers), retry_queue low (workers), x [1.0, null, {"a": "\u00e9"}] (workers)`,
		"{class: OrderWorker, queue: low, retry_for: 1h, dead: true, tags: [\"\\U0001F600\"]}": `retry true (route), retry_for 3600 (route), queue low (route), tags ["😀"] (route), dead true (route), retry_queue low (workers), x [1.0, null, {"a": "\u00e9"}] (workers)`,
		"LockedWorker":                       `retry true (default), queue default (redis.queue), lock until_executed (workers), unique_for false (workers)`,
		"LedgerJob":                          `retry 3 (workers), queue low (workers)`,
		"{class: RoutedJob, queue: default}": `retry true (default), queue default (route)`,
	} {
		t.Run(route, func(t *testing.T) {
			c, err := loadRoute(t, route)
			if err != nil {
				t.Fatal(err)
			}
			m := events.SQSMessage{MessageId: "1", Body: `{"Type":"Notification","TopicArn":"arn:aws:sns:us-east-1:123456789012:t","MessageId":"m","Message":"x",` +
				`"MessageAttributes":{"traceparent":{"Type":"String","Value":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}}}`}
			translation, err := c.Router(c.Queues[0]).Translate(&m, time.Unix(0, 0))
			if err != nil {
				t.Fatal(err)
			}
			check(t, "origins", DescribeOrigins(c.Origins(translation.Jobs[0])), want)
		})
	}
	if origins := mustLoad(t, minimal).Origins(sidekiq.Job{Class: "W", Payload: []byte(`{"retry":true}`)}); origins != nil {
		t.Errorf("without a manifest: %v", origins)
	}
}
