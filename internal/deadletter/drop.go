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
	// delete, if there are any. The messages are deleted if it returns true.
	Confirm func(ctx context.Context, selected *Summary) (bool, error)

	Read Summary // of all messages

	mu       sync.Mutex
	selected Summary
	ids      []string
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

func (d *Drop) visit(_ context.Context, messages []*Message) error {
	d.Read.Add(messages...)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range messages {
		if d.Selection.matches(m) && (d.Limit == 0 || d.progress.Selected < d.Limit) {
			d.selected.Add(m)
			d.ids = append(d.ids, strings.Clone(m.ID())) // without the memory of the response
			d.progress.Selected++
		}
	}
	return nil
}

// finish deletes the selected messages, unless the scan was interrupted.
func (d *Drop) finish(ctx context.Context) error {
	if len(d.ids) == 0 || ctx.Err() != nil {
		return nil
	}
	if ok, err := d.Confirm(ctx, &d.selected); err != nil || !ok {
		return err
	}
	var err error
	eachBatch(d.ids, workers, func(ids []string) {
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
