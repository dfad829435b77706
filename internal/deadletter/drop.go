package deadletter

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// A Drop deletes the selected messages of a dead-letter queue.
type Drop struct {
	*Scan // whose Visit and Finish are the Drop's own

	// Confirm is called once all messages are read, with a summary of the messages to
	// delete, if there are any. If it returns true, the Drop deletes them. In a FIFO
	// queue, it also deletes the messages behind them that the Selection selects.
	Confirm func(ctx context.Context, selected *Summary) (bool, error)

	selected Summary
	ids      []string
	agreed   bool // once Confirm has returned true
}

// Run deletes the messages. The error is that of Scan.Run or Confirm; see also Progress.
func (d *Drop) Run(ctx context.Context) (Result, error) {
	d.Visit, d.Finish = d.visit, d.finish
	return d.Scan.Run(ctx)
}

// visit keeps the ids of messages to delete. If the user has already agreed, it deletes
// the messages.
func (d *Drop) visit(ctx context.Context, selected []*Message) error {
	var ids []string
	for _, m := range selected {
		ids = append(ids, strings.Clone(m.ID())) // shares no memory with the response
	}
	if d.agreed {
		return d.deleteAll(ctx, ids)
	}
	d.selected.Add(selected...)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids = append(d.ids, ids...)
	return nil
}

// finish deletes the selected messages unless the scan was interrupted. In a FIFO
// queue, it then reads and deletes the messages behind them.
func (d *Drop) finish(ctx context.Context) error {
	if len(d.ids) == 0 || ctx.Err() != nil {
		return nil
	}
	if ok, err := d.Confirm(ctx, &d.selected); err != nil || !ok {
		return err
	}
	d.agreed = true
	if err := d.deleteAll(ctx, d.ids); err != nil || !d.Queue.FIFO {
		return err
	}
	rest, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	d.receiveAll(rest, fail)
	return failureOf(rest)
}

// deleteAll deletes messages until ctx ends or a whole call fails.
func (d *Drop) deleteAll(ctx context.Context, all []string) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	eachBatch(all, workers, func(ids []string) {
		if ctx.Err() != nil {
			return
		}
		if err := d.delete(ctx, ids); err != nil {
			fail(err)
		}
	})
	return failureOf(ctx)
}

// checkDelete checks the permission to delete with an invalid receipt handle. SQS
// rejects the handle only after it has checked the permission.
func (s *Scan) checkDelete(ctx context.Context) error {
	_, err := s.callDelete(ctx, []lease{{handle: "scout-check"}})
	return err
}

// delete deletes messages, at most 10, even if ctx has ended, and counts them. An error
// means that a whole call failed, and that the next one would fail, too.
func (s *Scan) delete(ctx context.Context, ids []string) error {
	a, err := attempt(context.WithoutCancel(ctx), s.leases.find(ids), s.callDelete)
	s.leases.forget(a.done)
	left := append(a.failed, a.left...)
	s.count(func(p *Progress) {
		p.Deleted += len(ids) - len(left)
		p.DeleteFailed += len(left)
		if len(a.failed) > 0 {
			p.LastError = "message " + printable.Text(a.failed[0].id, 100) + ": " + a.reason
		}
	})
	return err
}

func (s *Scan) callDelete(ctx context.Context, messages []lease) ([]*failure, error) {
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &s.Queue.URL}
	for i := range messages {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: aws.String(messages[i].handle)})
	}
	out, err := s.Client.DeleteMessageBatch(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("deleting messages from %s: %w", s.Queue.Name(), err)
	}
	return failures(len(messages), out.Successful, func(e *types.DeleteMessageBatchResultEntry) *string { return e.Id }, out.Failed), nil
}
