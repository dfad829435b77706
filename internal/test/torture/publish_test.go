//go:build torture

package torture

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"scout/internal/devstack"
	"scout/internal/uuid"
)

// publishAll publishes messages in step with the progress of the faults, and whenever
// the queue is empty.
func (r *run) publishAll() {
	for !r.isOver() {
		visible, _, err := r.sqs.depth(standardQueue)
		if err != nil {
			r.Errorf("the depth of the queue: %v", err)
			return
		}
		target := int(r.progress.Load()+10) * r.messages / 1000
		if visible == 0 || r.history.published() < target {
			r.publish(5)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// publish publishes n messages, of all kinds.
func (r *run) publish(n int) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	for range n {
		if r.publisher.IntN(3) == 0 {
			r.publishStep(r.publisher.IntN(100))
		} else {
			r.publishOrder()
		}
	}
}

// publishOrder publishes a message for the standard queue, at times twice.
func (r *run) publishOrder() {
	topic, f, list, extra := "orders", becomesJob, "queue:default", ""
	twice := false
	switch k := r.publisher.IntN(200); {
	case k < 4:
		topic, f, list = "noise", becomesNothing, ""
	case k < 5:
		topic, f, list = "unheard", becomesDeadLetter, ""
	case k < 6:
		f, list, extra = becomesDeadLetter, "", `,"x":1e999`
	case k < 10:
		twice = true
	}
	n := r.history.publish(f, list, "")
	text := r.text(n, extra)
	if !twice {
		_, err := r.sqs.server.Publish(devstack.TopicARN(topic), devstack.Notification{Message: text})
		r.checkPublished(n, err)
		return
	}
	// SNS repeats a delivery if it has received no response.
	envelope, _ := json.Marshal(map[string]string{
		"Type": "Notification", "MessageId": uuid.New(), "TopicArn": devstack.TopicARN(topic), "Message": text,
	})
	for range 2 {
		r.checkPublished(n, r.sqs.call("SendMessage", map[string]any{"QueueUrl": standardQueue, "MessageBody": string(envelope)}, nil))
	}
}

// publishBursts publishes messages for the FIFO queue that are received together,
// and returns the number of the first.
func (r *run) publishBursts() (first int) {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	first = r.history.published()
	for i := range 100 {
		r.publishStep(i / 10)
	}
	return first
}

// publishStep publishes a message for the FIFO queue.
func (r *run) publishStep(number int) {
	lane, group := "steps", fmt.Sprint("group-", number)
	if r.publisher.IntN(4) == 0 {
		lane = "low"
	}
	f, list, extra := becomesJob, "queue:"+lane, ""
	if r.publisher.IntN(100) == 0 {
		f, list, extra = becomesDeadEntry, "", `,"x":1e999`
	}
	n := r.history.publish(f, list, group)
	_, err := r.sqs.server.Publish(devstack.TopicARN("steps.fifo"), devstack.Notification{
		Message: r.text(n, extra), GroupID: group, DeduplicationID: fmt.Sprint(n),
		Attributes: map[string]devstack.Attribute{"lane": {DataType: "String", StringValue: lane}},
	})
	r.checkPublished(n, err)
}

// text returns the text of message n, and notes it.
func (r *run) text(n int, extra string) string {
	text := fmt.Sprintf(`{"n":%d,"pad":%q%s}`, n, strings.Repeat("x", r.publisher.IntN(500)), extra)
	r.history.update(n, "", func(m *message) { m.text = digest(text) })
	return text
}

func (r *run) checkPublished(n int, err error) {
	if err != nil {
		r.Errorf("publishing message %d: %v", n, err)
	}
}
