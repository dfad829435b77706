package devstack

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// TestConcurrentProducersAndConsumers checks that each message is received and deleted exactly once.
func TestConcurrentProducersAndConsumers(t *testing.T) {
	const producers, consumers, batches = 4, 8, 50
	const total = producers * batches * maxBatch
	c := newClient(t, startServer(t))
	queue := c.queue(nil)

	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for b := range batches {
				entries := sendEntries(maxBatch)
				for i := range entries {
					entries[i].MessageBody = aws.String(fmt.Sprint(p, b, i))
				}
				if out, err := c.sendBatch(queue, entries); err != nil || len(out.Failed) > 0 {
					t.Errorf("send: %v %v", out, err)
				}
			}
		})
	}
	var received sync.Map // bodies
	var deleted atomic.Int64
	consume := func(messages []types.Message) {
		for _, m := range messages {
			if _, twice := received.LoadOrStore(*m.Body, true); twice {
				t.Errorf("%s was received twice", *m.Body)
			}
		}
		out, err := c.deleteBatch(queue, deleteEntries(messages))
		if err != nil || len(out.Failed) > 0 {
			t.Errorf("delete: %v %v", out, err)
			return
		}
		deleted.Add(int64(len(out.Successful)))
	}
	for range consumers {
		wg.Go(func() {
			for deleted.Load() < total && !t.Failed() {
				if messages := c.receive(queue, waiting(1)); len(messages) > 0 {
					consume(messages)
				}
			}
		})
	}
	wg.Wait()
	wantEqual(c, "deleted", deleted.Load(), total)
	for _, name := range []types.QueueAttributeName{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"} {
		wantEqual(c, string(name), c.attribute(queue, name), "0")
	}
}
