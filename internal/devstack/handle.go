package devstack

import (
	"encoding/base64"
	"fmt"
)

// A receipt handle says which receive of which message it is from, so that none need be remembered: a handle of a
// message that is gone can be told from one that never was.

// handle returns the receipt handle of the message's last receive.
func (m message) handle() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%s %s %d", m.queueARN, m.id, m.receives))
}

// parseHandle returns the id of the message, and how often it had been received then.
func (q *queue) parseHandle(handle string) (id string, receives int, err error) {
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
