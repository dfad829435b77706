package deadletter

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/internal/printable"
)

// countDeleted counts messages that were to be deleted, of which some are not.
func (p *Progress) countDeleted(n, failed int, lastError string) {
	p.Deleted += n - failed
	p.DeleteFailed += failed
	if lastError != "" {
		p.LastError = lastError
	}
}

// checkDelete checks the permission to delete, with a receipt handle that no message
// has. SQS rejects that only after it has checked the permission.
func (s *Scan) checkDelete(ctx context.Context) error {
	_, _, err := s.deleteOnce(ctx, []lease{{handle: "scout-check"}})
	return err
}

// delete deletes messages, at most 10, and ends their leases. It returns the number of
// those that it could not delete, and why it could not delete one of them. An error
// means that a whole call failed, so that the next one would.
func (s *Scan) delete(ctx context.Context, ids []string) (failed int, lastError string, err error) {
	pending := s.leases.find(ids)
	for attempt := 0; attempt < attempts && len(pending) > 0; attempt++ {
		backOff(ctx, attempt)
		if pending, lastError, err = s.deleteOnce(ctx, pending); err != nil {
			break
		}
	}
	return len(pending), lastError, err
}

// deleteOnce returns the messages that were not deleted, and why one of them was not.
func (s *Scan) deleteOnce(ctx context.Context, pending []lease) (left []lease, lastError string, err error) {
	ctx, cancel := detach(ctx)
	defer cancel()
	in := &sqs.DeleteMessageBatchInput{QueueUrl: &s.Queue.URL}
	for i := range pending {
		in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: entryID(i), ReceiptHandle: aws.String(pending[i].handle)})
	}
	out, err := s.Client.DeleteMessageBatch(ctx, in)
	if err != nil {
		return pending, "", fmt.Errorf("deleting messages from %s: %w", s.Queue.Name(), err)
	}
	deleted := make([]bool, len(pending))
	for _, e := range out.Successful {
		if i, ok := entryIndex(e.Id, len(pending)); ok {
			deleted[i] = true
		}
	}
	for i, l := range pending {
		failure := failureOf(out.Failed, i, len(pending))
		if deleted[i] && failure == nil {
			s.leases.forget(l.id)
			continue
		}
		left, lastError = append(left, l), "message "+printable.Text(l.id, 100)+": "+describeFailure(failure)
	}
	return left, lastError, nil
}
