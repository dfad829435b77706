package poller

// A demand answers how many polls should be in flight. A poll that receives a full batch is followed by
// two polls, half a batch by one, and no messages by none, so the number of polls follows the load of
// the queue. One poll should always be receiving.
type demand struct {
	inFlight  int     // polls, from their start to their end
	receiving int     // polls whose receive has not returned
	credit    float64 // polls to start because of what earlier ones received
}

// handling returns the number of polls that have received messages.
func (d *demand) handling() int { return d.inFlight - d.receiving }

// received records that a poll received n messages, of at most batch.
func (d *demand) received(n, batch int) {
	d.receiving--
	d.credit += 2 * float64(n) / float64(batch)
	if n == 0 {
		d.credit = 0
	}
}

// take returns how many polls to start, and uses up the credit for them. At most limit polls may be in
// flight; credit beyond that is kept until polls finish.
func (d *demand) take(limit int) int {
	if d.receiving == 0 {
		d.credit = max(d.credit, 1)
	}
	d.credit = min(d.credit, float64(limit))
	polls := max(0, min(int(d.credit), limit-d.inFlight))
	d.credit -= float64(polls)
	return polls
}
