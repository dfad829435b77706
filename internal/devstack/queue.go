package devstack

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// queue is a standard or FIFO queue: what happens to its messages, given the time. Server.mu guards it.
type queue struct {
	name, arn         string
	created, modified time.Time
	attributes        map[string]string // as reported
	settings                            // the same, for use

	messages map[string]*message // by id, all that were sent and not deleted
	arrivals uint64              // how many ever came
	lanes    laneHeap
	groups   map[string]*lane // by message group, in a FIFO queue
	recent   dedupWindow      // in a FIFO queue
	changed  chan struct{}    // nil unless polls wait; notify closes it
}

func newQueue(name, arn string, now time.Time) *queue {
	return &queue{
		name: name, arn: arn, created: now, modified: now,
		attributes: defaultAttributes(isFIFO(name)),
		messages:   make(map[string]*message),
		groups:     make(map[string]*lane),
	}
}

// send adds the draft as a message. Within the de-duplication window of a FIFO queue, the answer to a duplicate is
// that to the first, and nothing is added.
func (q *queue) send(d draft, now time.Time) (accepted, error) {
	if err := d.check(q.settings); err != nil {
		return accepted{}, err
	}
	a := accepted{id: newID()}
	if q.fifo {
		if d.DeduplicationID == "" {
			d.DeduplicationID = contentID(d.Body)
		}
		key := d.DeduplicationID
		if q.dedupPerGroup {
			key = d.GroupID + " " + key
		}
		if first, ok := q.recent.find(key, now); ok {
			return first, nil
		}
		a.sequence = sequenceNumber(q.arrivals + 1)
		q.recent.remember(key, a, now)
	}
	delay := q.delay
	if d.DelaySeconds != nil {
		delay = time.Duration(*d.DelaySeconds) * time.Second
	}
	q.add(&message{draft: d, id: a.id, sequence: a.sequence, sentAt: now, visibleAt: now.Add(delay)})
	return a, nil
}

// contentID is the de-duplication id of a message that is identified by its content.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// add puts m at the end of its lane.
func (q *queue) add(m *message) {
	q.arrivals++
	m.queueARN, m.order = q.arn, q.arrivals
	q.messages[m.id] = m
	if l := q.groups[m.GroupID]; l != nil {
		m.lane = l
		l.messages = append(l.messages, m)
		return // the lane's first message, and so its place, is as it was
	}
	m.lane = &lane{group: m.GroupID, messages: []*message{m}}
	if q.fifo {
		q.groups[m.GroupID] = m.lane
	}
	m.lane.update()
	heap.Push(&q.lanes, m.lane)
	q.notify()
}

// receive takes up to n messages for the visibility timeout, and returns them as they are then.
// Those received too often go to the dead-letter queue instead.
func (q *queue) receive(n int, visibility time.Duration, now time.Time, deadLetters *queue) []message {
	var received []message
	var visited []*lane // put back when all is taken: with a visibility of 0 they are ready again at once
	for len(received) < n && len(q.lanes) > 0 && !q.lanes[0].readyAt.After(now) {
		l := heap.Pop(&q.lanes).(*lane)
		visited = append(visited, l)
		for l.taken = 0; l.taken < len(l.messages) && len(received) < n; {
			m := l.messages[l.taken]
			if !m.visible(now) {
				break // sent with a delay
			}
			if deadLetters != nil && m.receivesHere >= q.maxReceives {
				q.moveTo(deadLetters, m, now)
				continue
			}
			m.take(visibility, now)
			l.taken++
			received = append(received, *m)
		}
	}
	for _, l := range visited {
		if len(l.messages) == 0 {
			delete(q.groups, l.group)
			continue
		}
		l.update()
		heap.Push(&q.lanes, l)
	}
	return received
}

// take marks the message as received.
func (m *message) take(visibility time.Duration, now time.Time) {
	m.receives++
	m.receivesHere++
	m.visibleAt = now.Add(visibility)
	if m.firstReceivedAt.IsZero() {
		m.firstReceivedAt = now
	}
}

// moveTo moves m, whose lane is not in the heap, to the end of the dead-letter queue. It stays the message it was,
// but for a FIFO queue, where its age starts anew (SQS developer guide, "Dead-letter queues").
func (q *queue) moveTo(deadLetters *queue, m *message, now time.Time) {
	delete(q.messages, m.id)
	m.lane.remove(m)
	if q.fifo {
		m.sentAt = now
	}
	m.receivesHere, m.visibleAt, m.source = 0, now, q.arn
	deadLetters.add(m)
}

// byHandle returns the message that a receipt handle is for, nil if it is gone. A standard queue takes any handle that
// the message ever had, a FIFO queue only the last one, while the message is in flight (AWS re:Post, "How do I resolve
// ReceiptHandleIsInvalid").
func (q *queue) byHandle(handle string, now time.Time) (*message, error) {
	id, receives, err := q.parseHandle(handle)
	if err != nil {
		return nil, err
	}
	m := q.messages[id]
	if m != nil && q.fifo && (m.receives != receives || !m.inFlight(now)) {
		return nil, errInvalidFor("ReceiptHandle", handle, "The receipt handle has expired.")
	}
	return m, nil
}

// delete removes the message that a receipt handle is for. It is no error if it is gone already.
func (q *queue) delete(handle string, now time.Time) error {
	m, err := q.byHandle(handle, now)
	if m == nil || err != nil {
		return err
	}
	delete(q.messages, m.id)
	m.lane.remove(m)
	q.reschedule(m.lane)
	return nil
}

// changeVisibility makes a message in flight visible after the given time from now.
func (q *queue) changeVisibility(handle string, visibility time.Duration, now time.Time) error {
	m, err := q.byHandle(handle, now)
	if err != nil {
		return err
	}
	if m == nil {
		return errInvalidFor("ReceiptHandle", handle,
			"Message does not exist or is not available for visibility timeout change.")
	}
	if !m.inFlight(now) {
		return errMessageNotInflight
	}
	m.visibleAt = now.Add(visibility)
	q.reschedule(m.lane)
	return nil
}

// reschedule gives a lane whose messages changed its new place, if it has messages left.
func (q *queue) reschedule(l *lane) {
	if len(l.messages) == 0 {
		heap.Remove(&q.lanes, l.index)
		delete(q.groups, l.group)
		return
	}
	l.update()
	heap.Fix(&q.lanes, l.index)
	q.notify()
}

// purge removes all messages. What a FIFO queue knows of duplicates stays.
func (q *queue) purge() {
	clear(q.messages)
	clear(q.groups)
	q.lanes = nil
}

// notify wakes the long polls when a lane may be ready earlier than it was, so that they look again.
func (q *queue) notify() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// nextEvent returns a channel that is closed on a change, and until when nothing gets ready without one, but not
// later than the latest time.
func (q *queue) nextEvent(latest time.Time) (changed <-chan struct{}, until time.Time) {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	if len(q.lanes) > 0 && q.lanes[0].readyAt.Before(latest) {
		return q.changed, q.lanes[0].readyAt
	}
	return q.changed, latest
}
