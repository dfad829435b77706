package deadletter

import (
	"context"
	"errors"
	"strings"
	"sync"
)

// A Drop deletes messages of a dead-letter queue.
type Drop struct {
	Scan      // whose Visit, Enough and Finish are the Drop's own
	Selection Selection
	Limit     int // maximum number of messages to delete; 0 is no limit

	// Confirm is called once all messages are read, with a summary of those to
	// delete, if there are any. If it returns true, they are deleted and, in a FIFO
	// queue, the messages behind them that the Selection selects.
	Confirm func(ctx context.Context, selected *Summary) (bool, error)

	Read Summary // of all messages

	mu       sync.Mutex
	selected Summary
	ids      []string
	agreed   bool // once Confirm has returned true
	progress Progress
}

// Progress returns how far the Drop is. It may be called while it runs.
func (d *Drop) Progress() Progress {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.progress
}

// Run deletes the messages. The error is that of Scan.Run or Confirm; see also Progress.
func (d *Drop) Run(ctx context.Context) (Result, error) {
	d.Visit = d.visit
	d.Enough = func() bool {
		n := d.Progress().Selected
		return d.Limit > 0 && n >= d.Limit || d.Selection.IDs != nil && n >= len(d.Selection.IDs)
	}
	d.Finish = d.finish
	return d.Scan.Run(ctx)
}

// visit selects messages. It deletes them if the user has agreed already.
func (d *Drop) visit(ctx context.Context, messages []*Message) error {
	d.Read.Add(messages...)
	ids := d.choose(messages)
	if d.agreed {
		return d.deleteAll(ctx, ids)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids = append(d.ids, ids...)
	return nil
}

// choose returns the ids of the messages to delete, as many as Limit allows.
func (d *Drop) choose(messages []*Message) (ids []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range messages {
		if d.Selection.matches(m) && (d.Limit == 0 || d.progress.Selected < d.Limit) {
			d.selected.Add(m)
			ids = append(ids, strings.Clone(m.ID())) // without the memory of the response
			d.progress.Selected++
		}
	}
	return ids
}

// finish deletes the selected messages, unless the scan was interrupted. In a FIFO
// queue, it goes on with those behind them.
func (d *Drop) finish(ctx context.Context) error {
	if len(d.ids) == 0 || ctx.Err() != nil {
		return nil
	}
	if ok, err := d.Confirm(ctx, &d.selected); err != nil || !ok {
		return err
	}
	d.agreed = true
	if err := d.deleteAll(ctx, d.ids); err != nil || !d.Queue.FIFO {
		return err
	}
	rest, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	d.receiveAll(rest, fail)
	return failure(rest)
}

// deleteAll deletes messages until ctx ends or a whole call fails.
func (d *Drop) deleteAll(ctx context.Context, all []string) (err error) {
	eachBatch(all, workers, func(ids []string) {
		d.mu.Lock()
		stop := err != nil || ctx.Err() != nil
		d.mu.Unlock()
		if stop {
			return
		}
		failed, lastError, deleteErr := d.delete(ctx, ids)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.progress.countDeleted(len(ids), failed, lastError)
		err = errors.Join(err, deleteErr)
	})
	return err
}
