package deadletter

import (
	"context"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// A scan of many messages keeps their ids and handles, but no bodies. The test is not
// parallel, because it measures the heap.
func TestScanKeepsNoBodies(t *testing.T) {
	const messages, size = 2000, 3000
	s := newFixture(t, startServer(t))
	body := envelope("orders", strings.Repeat("x", size))
	for range messages / 10 {
		in := &sqs.SendMessageBatchInput{QueueUrl: &s.dead}
		for i := range 10 {
			id := strconv.Itoa(i)
			in.Entries = append(in.Entries, types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &body})
		}
		_, err := s.client.SendMessageBatch(t.Context(), in)
		s.must(err)
	}
	heap := func() int {
		runtime.GC()
		runtime.GC() // empties what sync.Pools hold
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int(stats.HeapAlloc)
	}
	var summary Summary
	scan := s.scan(Choice{})
	before := heap()
	scan.Visit = func(_ context.Context, messages []*Message) error { summary.Add(messages...); return nil }
	scan.Finish = func(context.Context) error {
		if grown := heap() - before; grown > messages*size/3 {
			t.Errorf("the heap has grown by %d bytes for %d messages of %d bytes", grown, messages, size)
		}
		return nil
	}
	_, err := scan.Run(t.Context())
	s.must(err)
	wantEqual(s, "messages", summary.Count(), messages)
}
