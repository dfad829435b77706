package devstack

import "time"

// dedupTime is how long a FIFO queue or topic remembers what it has accepted.
const dedupTime = 5 * time.Minute

// accepted is what the sender of a message is told.
type accepted struct {
	id       string
	sequence string // "" but for FIFO
}

// dedupWindow remembers what was accepted in the last five minutes, by de-duplication id. The zero value is empty.
type dedupWindow struct {
	byKey map[string]accepted
	keys  []dedupKey // oldest first
}

type dedupKey struct {
	key string
	at  time.Time
}

// find returns what was accepted for the key, and forgets all that is too old.
func (w *dedupWindow) find(key string, now time.Time) (accepted, bool) {
	for len(w.keys) > 0 && now.Sub(w.keys[0].at) >= dedupTime {
		delete(w.byKey, w.keys[0].key)
		w.keys = w.keys[1:]
	}
	a, ok := w.byKey[key]
	return a, ok
}

// remember records what was accepted for a key that find did not find.
func (w *dedupWindow) remember(key string, a accepted, now time.Time) {
	if w.byKey == nil {
		w.byKey = make(map[string]accepted)
	}
	w.byKey[key] = a
	w.keys = append(w.keys, dedupKey{key, now})
}
