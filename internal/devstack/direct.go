package devstack

import "time"

// Message is a message to send directly to a queue, without a topic.
type Message struct {
	Body            string
	Attributes      map[string]Attribute
	TraceHeader     string // the X-Ray header of the sender's request; optional
	GroupID         string // required for FIFO queues
	DeduplicationID string // FIFO queues only; required there

	// ID, if set, is the id of a message that was received before. Unless the queue still has that
	// message, it receives the message again under the same id, as after a visibility timeout.
	ID string
}

// Send sends a message to the queue with the given name and returns its id.
func (s *Server) Send(name string, m Message) (id string, err error) {
	in := sendInput{Body: m.Body, Attributes: m.Attributes, GroupID: m.GroupID, DeduplicationID: m.DeduplicationID, resent: m.ID}
	if m.TraceHeader != "" {
		in.SystemAttributes = map[string]Attribute{traceHeader: {DataType: "String", StringValue: m.TraceHeader}}
	}
	err = s.withQueue(name, func(q *queue, now time.Time) error {
		if q.messages[m.ID] != nil {
			return errInvalidValue("The message is still in the queue, which delivers it again after its visibility timeout.")
		}
		result, err := q.send(in, now)
		id = result.id
		return err
	})
	return id, err
}
