package poller

// A demand answers how many polls should be in flight. A poll that brings a full batch is followed
// by two, one that brings half a batch by one, and one that brings nothing by none, so that as many
// polls wait as the queue keeps busy. One poll should always be receiving.
type demand struct {
	inFlight  int     // polls, from their start to their end
	receiving int     // polls whose receive has not returned
	credit    float64 // polls to start because of what earlier ones brought
}

// handling returns the number of polls that have received messages.
func (d *demand) handling() int { return d.inFlight - d.receiving }

// received records that the receive of a poll brought n messages, of at most batch.
func (d *demand) received(n, batch int) {
	d.receiving--
	d.credit += 2 * float64(n) / float64(batch)
	if n == 0 {
		d.credit = 0
	}
}

// take returns how many polls to start while at most limit may be in flight. Credit for more than
// that is kept until polls finish.
func (d *demand) take(limit int) int {
	if d.receiving == 0 {
		d.credit = max(d.credit, 1)
	}
	d.credit = min(d.credit, float64(limit))
	polls := max(0, min(int(d.credit), limit-d.inFlight))
	d.credit -= float64(polls)
	return polls
}
