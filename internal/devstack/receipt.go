package devstack

import (
	"encoding/base64"
	"fmt"
)

// A receipt handle encodes the queue, the message and the receive. The queue therefore stores no
// handles, and still tells the handle of a deleted message from one that never existed.

// receiptHandle returns the receipt handle of the message's last receive.
func (m message) receiptHandle() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %s %d", m.queueARN, m.id, m.receives))
}

// parseReceiptHandle returns the id of the message, and how often it had been received at that time.
func (q *queue) parseReceiptHandle(handle string) (id string, receives int, err error) {
	var arn string
	raw, err := base64.StdEncoding.DecodeString(handle)
	if err == nil {
		_, err = fmt.Sscanf(string(raw), "%s %s %d", &arn, &id, &receives)
	}
	if err != nil || arn != q.arn {
		return "", 0, errReceiptHandle(handle)
	}
	return id, receives, nil
}
