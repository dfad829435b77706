package devstack

import "time"

// dedupPeriod is how long a FIFO queue or topic remembers the messages that it accepted.
const dedupPeriod = 5 * time.Minute

// sendResult is what SQS or SNS returns to the sender of a message.
type sendResult struct {
	id       string
	sequence string // FIFO queues and topics only
}

// dedupWindow remembers the messages of the last dedupPeriod by de-duplication id. The zero value is
// an empty window.
type dedupWindow struct {
	byKey map[string]sendResult
	keys  []dedupKey // oldest first
}

type dedupKey struct {
	key string
	at  time.Time
}

// find forgets all expired keys, then returns the result remembered for key.
func (w *dedupWindow) find(key string, now time.Time) (sendResult, bool) {
	for len(w.keys) > 0 && now.Sub(w.keys[0].at) >= dedupPeriod {
		delete(w.byKey, w.keys[0].key)
		w.keys = w.keys[1:]
	}
	result, ok := w.byKey[key]
	return result, ok
}

// remember records the result for a key that find did not find.
func (w *dedupWindow) remember(key string, result sendResult, now time.Time) {
	if w.byKey == nil {
		w.byKey = make(map[string]sendResult)
	}
	w.byKey[key] = result
	w.keys = append(w.keys, dedupKey{key, now})
}
