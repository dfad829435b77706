package devstack

import (
	"net/http"
	"time"
)

type sendOutput struct {
	ID                    string `json:"Id,omitempty"` // in a batch
	MessageID             string `json:"MessageId"`
	MD5OfBody             string `json:"MD5OfMessageBody"`
	MD5OfAttributes       string `json:"MD5OfMessageAttributes,omitempty"`
	MD5OfSystemAttributes string `json:"MD5OfMessageSystemAttributes,omitempty"`
	SequenceNumber        string `json:",omitempty"`
}

func newSendOutput(id string, in sendInput, result sendResult) sendOutput {
	return sendOutput{
		ID:                    id,
		MessageID:             result.id,
		MD5OfBody:             md5Hex(in.Body),
		MD5OfAttributes:       md5Attributes(in.Attributes),
		MD5OfSystemAttributes: md5Attributes(in.SystemAttributes),
		SequenceNumber:        result.sequence,
	}
}

func (s *Server) sqsSendMessage(_ *http.Request, in struct {
	queueInput
	sendInput
}) (any, error) {
	var result sendResult
	err := s.withQueue(in.QueueURL, func(q *queue, now time.Time) (err error) {
		result, err = q.send(in.sendInput, now)
		return err
	})
	return newSendOutput("", in.sendInput, result), err
}

type sendEntry struct {
	entryID
	sendInput
}

func (s *Server) sqsSendMessageBatch(_ *http.Request, in batchInput[sendEntry]) (any, error) {
	size := 0
	for _, e := range in.Entries {
		size += e.size()
	}
	if size > maxMessage {
		return nil, errBatch("BatchRequestTooLong",
			"Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessage, size)
	}
	return sqsBatch(s, in, func(q *queue, e sendEntry, now time.Time) (sendOutput, error) {
		result, err := q.send(e.sendInput, now)
		return newSendOutput(e.ID, e.sendInput, result), err
	})
}

type receiptInput struct {
	ReceiptHandle string
}

func (s *Server) sqsDeleteMessage(_ *http.Request, in struct {
	queueInput
	receiptInput
}) (any, error) {
	return nil, s.withQueue(in.QueueURL, func(q *queue, now time.Time) error {
		return q.delete(in.ReceiptHandle, now)
	})
}

type deleteEntry struct {
	entryID
	receiptInput
}

func (s *Server) sqsDeleteMessageBatch(_ *http.Request, in batchInput[deleteEntry]) (any, error) {
	return sqsBatch(s, in, func(q *queue, e deleteEntry, now time.Time) (entryID, error) {
		return e.entryID, q.delete(e.ReceiptHandle, now)
	})
}

type visibilityChange struct {
	receiptInput
	VisibilityTimeout *int
}

func (v visibilityChange) apply(q *queue, now time.Time) error {
	if v.VisibilityTimeout == nil {
		return errMissing("VisibilityTimeout")
	}
	visibility, err := parseSeconds("VisibilityTimeout", v.VisibilityTimeout, maxVisibility)
	if err != nil {
		return err
	}
	return q.changeVisibility(v.ReceiptHandle, *visibility, now)
}

func (s *Server) sqsChangeMessageVisibility(_ *http.Request, in struct {
	queueInput
	visibilityChange
}) (any, error) {
	return nil, s.withQueue(in.QueueURL, in.apply)
}

type visibilityEntry struct {
	entryID
	visibilityChange
}

func (s *Server) sqsChangeMessageVisibilityBatch(_ *http.Request, in batchInput[visibilityEntry]) (any, error) {
	return sqsBatch(s, in, func(q *queue, e visibilityEntry, now time.Time) (entryID, error) {
		return e.entryID, e.apply(q, now)
	})
}

type batchInput[E interface{ id() string }] struct {
	queueInput
	Entries []E
}

// sqsBatch calls do for each entry of a batch, all with the same time.
func sqsBatch[E interface{ id() string }, R any](
	s *Server, in batchInput[E], do func(q *queue, e E, now time.Time) (R, error),
) (any, error) {
	var out struct {
		Successful []R
		Failed     []batchFailure
	}
	err := s.withQueue(in.QueueURL, func(q *queue, now time.Time) error {
		if err := checkBatch(in.Entries); err != nil {
			return err
		}
		out.Successful, out.Failed = runBatch(in.Entries, func(e E) (R, error) { return do(q, e, now) })
		return nil
	})
	return out, err
}
