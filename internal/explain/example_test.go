package explain_test

import (
	"context"
	"fmt"

	"scout/config"
	"scout/internal/explain"
)

func ExampleExplainer_Explain() {
	c, err := config.Loader{LocalRedis: "redis://localhost"}.Load(context.Background(), `
queue:
  name: shop
  topics: {orders: OrderWorker, debug: ignore}
`)
	if err != nil {
		fmt.Println(err)
		return
	}
	explainer := explain.New(c)
	for _, topic := range []string{"orders", "debug", "users"} {
		body := `{"Type": "Notification", "MessageId": "1", "TopicArn": "arn:aws:sns:us-east-1:123456789012:` + topic + `", "Message": "{\"id\": 1.0}"}`
		for _, m := range explain.Parse([]byte(body)) {
			r := explainer.Explain(explainer.Queues(&m.SQSMessage)[0], m.SQSMessage)
			fmt.Printf("%s: %s\n", topic, r.Outcome())
			if r.Rejection != nil {
				fmt.Println(r.Rejection.Reason)
			}
		}
	}
	// Output:
	// orders: job
	// debug: ignored
	// users: rejected
	// no_route
}
