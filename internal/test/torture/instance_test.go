package torture

import (
	"fmt"
	"sync"
	"time"
)

const visibility = 10 // seconds, of both queues

// An instance is what a process of Scout, or an event source mapping, has done
// with SQS. Its process may end while calls of it still run.
type instance struct {
	name    string
	key     string // its access key
	mapping bool   // AWS's part, by whose rules Scout is not judged

	mu       sync.Mutex // guards what follows
	killed   bool
	calm     bool                 // SQS does not fail
	receives int                  // calls
	gaveUp   bool                 // messages were returned during an outage of Redis
	held     map[string]heldOut   // by receipt handle: received, and neither deleted nor returned
	deletes  map[string]deleteTry // by receipt handle
}

type heldOut struct {
	n  int
	at time.Time
}

type deleteTry struct {
	n      int
	tries  int
	failed bool // the last of them, although another may succeed
}

func newInstance(name, key string) *instance {
	return &instance{name: name, key: key, held: map[string]heldOut{}, deletes: map[string]deleteTry{}}
}

// hold records that the instance has received message n.
func (i *instance) hold(handle string, n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.held[handle] = heldOut{n, time.Now()}
}

// hide records that the instance sets the visibility timeout of a message, in seconds.
// The queue's own extends the lease of a message that is still being handled, and any
// other returns the message: at once, or later after a failure.
func (i *instance) hide(handle string, timeout int, redisAway bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if timeout == visibility {
		return
	}
	delete(i.held, handle)
	if timeout > visibility && redisAway {
		i.gaveUp = true
	}
}

// remove records that the instance deletes a message, and whether that fails in a
// way that it must repeat.
func (i *instance) remove(handle string, failed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	d, known := i.deletes[handle]
	if h, ok := i.held[handle]; ok {
		d.n = h.n
	} else if !known {
		d.n = -1
	}
	d.tries++
	d.failed = failed
	i.deletes[handle] = d
	delete(i.held, handle)
}

// checkHeld returns what is wrong with the messages that the instance, which has
// ended, has received since a time from which on nothing failed. Those that must be
// rejected stay hidden.
func (i *instance) checkHeld(since time.Time, fateOf func(n int) fate) (found []violation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, h := range i.held {
		if h.at.After(since) && fateOf(h.n) != becomesDeadLetter {
			found = append(found, violation{ruleStranded, h.n, i.name + " has received it, stopped, and neither deleted nor returned it"})
		}
	}
	return found
}

// checkDeletes returns the deletions that failed and that the instance, which has
// ended, has not repeated.
func (i *instance) checkDeletes() (found []violation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, d := range i.deletes {
		if d.failed && d.tries < 3 {
			found = append(found, violation{ruleDelete, d.n, fmt.Sprintf("%s has tried to delete it only %d times, in vain", i.name, d.tries)})
		}
	}
	return found
}
