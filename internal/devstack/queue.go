package devstack

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"scout/internal/uuid"
)

// queue is a standard or FIFO queue. Its methods take the current time, so tests need no clock.
// Server.mu guards it.
type queue struct {
	name, arn         string
	created, modified time.Time
	attributes        map[string]string // as GetQueueAttributes returns them
	settings                            // the same, parsed
	onDeadLetter      func(DeadLetter)  // Server.OnDeadLetter

	messages   map[string]*message // by id, every message sent and not deleted
	arrivals   uint64              // number of messages ever added
	groups     groupHeap
	groupsByID map[string]*messageGroup // FIFO queues only
	recent     dedupWindow              // FIFO queues only
	changed    chan struct{}            // nil unless polls wait; wakePolls closes it
}

func newQueue(name, arn string, now time.Time) *queue {
	return &queue{
		name: name, arn: arn, created: now, modified: now,
		attributes: defaultAttributes(isFIFO(name)),
		messages:   make(map[string]*message),
		groupsByID: make(map[string]*messageGroup),
	}
}

// send adds a message. Within the de-duplication window of a FIFO queue, a duplicate adds nothing and
// returns the result of the first message.
func (q *queue) send(in sendInput, now time.Time) (sendResult, error) {
	if err := in.check(q.settings); err != nil {
		return sendResult{}, err
	}
	result := sendResult{id: cmp.Or(in.resent, uuid.New())}
	if q.fifo {
		if in.DeduplicationID == "" {
			in.DeduplicationID = contentID(in.Body)
		}
		key := in.DeduplicationID
		if q.dedupPerGroup {
			key = in.GroupID + " " + key
		}
		if first, ok := q.recent.find(key, now); ok {
			return first, nil
		}
		result.sequence = sequenceNumber(q.arrivals + 1)
		q.recent.remember(key, result, now)
	}
	delay := q.delay
	if in.DelaySeconds != nil {
		delay = time.Duration(*in.DelaySeconds) * time.Second
	}
	q.add(&message{sendInput: in, id: result.id, sequence: result.sequence, sentAt: now, visibleAt: now.Add(delay)})
	return result, nil
}

// contentID returns the de-duplication id of a message that is identified by its content.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// add appends m to its group.
func (q *queue) add(m *message) {
	q.arrivals++
	m.queueARN, m.order = q.arn, q.arrivals
	q.messages[m.id] = m
	if g := q.groupsByID[m.GroupID]; g != nil {
		m.group = g
		g.messages = append(g.messages, m)
		return // the group's first message, and therefore its place in the heap, is unchanged
	}
	m.group = &messageGroup{id: m.GroupID, messages: []*message{m}}
	if q.fifo {
		q.groupsByID[m.GroupID] = m.group
	}
	m.group.update()
	heap.Push(&q.groups, m.group)
	q.wakePolls()
}

// receive hides up to n messages for the visibility timeout and returns copies of them. Messages that
// were received too often go to the dead-letter queue instead.
func (q *queue) receive(n int, visibility time.Duration, now time.Time, deadLetters *queue) []message {
	var received []message
	// The groups return to the heap at the end, because with a visibility of 0 they are ready again at once.
	var visited []*messageGroup
	for len(received) < n && len(q.groups) > 0 && !q.groups[0].readyAt.After(now) {
		g := heap.Pop(&q.groups).(*messageGroup)
		visited = append(visited, g)
		for g.received = 0; g.received < len(g.messages) && len(received) < n; {
			m := g.messages[g.received]
			if !m.visible(now) {
				break // sent with a delay
			}
			if deadLetters != nil && m.receivesHere >= q.maxReceives {
				if q.onDeadLetter != nil {
					q.onDeadLetter(DeadLetter{MessageID: m.id, Queue: q.name, DeadLetterQueue: deadLetters.name, Receives: m.receivesHere})
				}
				q.moveTo(deadLetters, m, now)
				continue
			}
			m.markReceived(visibility, now)
			g.received++
			received = append(received, *m)
		}
	}
	for _, g := range visited {
		if len(g.messages) == 0 {
			delete(q.groupsByID, g.id)
			continue
		}
		g.update()
		heap.Push(&q.groups, g)
	}
	return received
}

// A DeadLetter is a message that has moved to a dead-letter queue.
type DeadLetter struct {
	MessageID              string // the same in both queues
	Queue, DeadLetterQueue string // names
	Receives               int    // from Queue
}

// moveTo moves m, whose group is not in the heap, to the end of the dead-letter queue. The message
// keeps its identity; only in a FIFO queue does its age restart (SQS developer guide, "Dead-letter
// queues").
func (q *queue) moveTo(deadLetters *queue, m *message, now time.Time) {
	delete(q.messages, m.id)
	m.group.remove(m)
	if q.fifo {
		m.sentAt = now
	}
	m.receivesHere, m.visibleAt, m.source = 0, now, q.arn
	deadLetters.add(m)
}

// messageByHandle returns the message of a receipt handle, or nil if the message is deleted. A standard
// queue accepts every handle that the message ever had. A FIFO queue accepts only the last one, while
// the message is in flight (AWS re:Post, "How do I resolve ReceiptHandleIsInvalid").
func (q *queue) messageByHandle(handle string, now time.Time) (*message, error) {
	id, receives, err := q.parseReceiptHandle(handle)
	if err != nil {
		return nil, err
	}
	m := q.messages[id]
	if m != nil && q.fifo && (m.receives != receives || !m.inFlight(now)) {
		return nil, errInvalidFor("ReceiptHandle", handle, "The receipt handle has expired.")
	}
	return m, nil
}

// delete removes the message of a receipt handle. Deleting a deleted message is no error.
func (q *queue) delete(handle string, now time.Time) error {
	m, err := q.messageByHandle(handle, now)
	if m == nil || err != nil {
		return err
	}
	delete(q.messages, m.id)
	m.group.remove(m)
	q.reschedule(m.group)
	return nil
}

// changeVisibility makes a message in flight visible when the given time has passed. Together with the
// time since its receive, that can be 12 hours (SQS developer guide, "Visibility timeout").
func (q *queue) changeVisibility(handle string, visibility time.Duration, now time.Time) error {
	m, err := q.messageByHandle(handle, now)
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
	if total := now.Sub(m.lastReceivedAt).Truncate(time.Second) + visibility; total > maxVisibility*time.Second {
		return errInvalidFor("VisibilityTimeout", int(visibility.Seconds()),
			fmt.Sprintf("Total VisibilityTimeout for the message is beyond the limit [%d seconds]", maxVisibility))
	}
	m.visibleAt = now.Add(visibility)
	q.reschedule(m.group)
	return nil
}

// reschedule restores the order of the heap after a change to the messages of a group. It removes the
// group if it is empty.
func (q *queue) reschedule(g *messageGroup) {
	if len(g.messages) == 0 {
		heap.Remove(&q.groups, g.index)
		delete(q.groupsByID, g.id)
		return
	}
	g.update()
	heap.Fix(&q.groups, g.index)
	q.wakePolls()
}

// purge removes all messages. A FIFO queue keeps its de-duplication window.
func (q *queue) purge() {
	clear(q.messages)
	clear(q.groupsByID)
	q.groups = nil
}

// wakePolls makes the long polls look again, because a group may be ready earlier than before.
func (q *queue) wakePolls() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// nextChange returns a channel that is closed when the queue changes, and the time until which no
// group becomes ready unless it does. That time is at most latest.
func (q *queue) nextChange(latest time.Time) (changed <-chan struct{}, until time.Time) {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	if len(q.groups) > 0 && q.groups[0].readyAt.Before(latest) {
		return q.changed, q.groups[0].readyAt
	}
	return q.changed, latest
}
