// Package logging keeps a process's log from harming its work. A [Writer] never
// blocks, a [Limiter] replaces a flood of equal messages by their count, and
// [Redirect] sends what the standard library prints through slog.
//
// They go in this order: slog.Logger, Limiter, the JSON or text handler, Writer,
// standard error. At exit, call [Limiter.Flush] and then [Writer.Close].
package logging

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"
)

// maxBuffered bounds the lines that a Writer holds. A longer line is accepted
// only if it is alone.
const maxBuffered = 1 << 20 // bytes

// A Writer is an io.Writer for whole lines that never blocks and never fails,
// whatever happens to Out. It buffers lines while Out blocks. It drops lines when
// the buffer is full or Out returns an error, and logs their number as soon as Out
// accepts lines again.
//
// A Writer with only Out set is ready to use. If Out is standard error, the
// process must ignore SIGPIPE, because Go ends it on a broken pipe otherwise.
type Writer struct {
	Out io.Writer // gets each line in one call of Write, from one goroutine

	// Report, if not nil, logs how many lines were dropped. It must write to Out
	// directly.
	Report slog.Handler

	start sync.Once
	ended chan struct{} // closed when drain has returned

	mu       sync.Mutex // guards the fields below
	wake     *sync.Cond // signals that there are lines or that closed is set
	buffer   lines
	draining int // bytes of the lines that drain has taken and not written yet
	dropped  int64
	closed   bool
}

// lines are lines in one buffer, one after the other.
type lines struct {
	text []byte
	ends []int // in text
}

// Write buffers a line, or drops it. It always returns len(line), nil.
func (w *Writer) Write(line []byte) (int, error) {
	w.start.Do(w.run)
	w.mu.Lock()
	defer w.mu.Unlock()
	held := w.draining + len(w.buffer.text)
	if w.closed || held > 0 && held+len(line) > maxBuffered {
		w.dropped++
		return len(line), nil
	}
	w.buffer.text = append(w.buffer.text, line...)
	w.buffer.ends = append(w.buffer.ends, len(w.buffer.text))
	w.wake.Signal()
	return len(line), nil
}

// Dropped returns the number of lines that were dropped so far.
func (w *Writer) Dropped() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Close waits until the buffered lines are written, but not longer than timeout.
// Later lines are dropped. An error says how many bytes were not written.
func (w *Writer) Close(timeout time.Duration) error {
	w.start.Do(w.run)
	w.mu.Lock()
	w.closed = true
	w.wake.Signal()
	w.mu.Unlock()
	select {
	case <-w.ended:
		return nil
	case <-time.After(timeout):
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Errorf("closing the log: %d bytes not written within %v", w.draining+len(w.buffer.text), timeout)
	}
}

func (w *Writer) run() {
	w.wake = sync.NewCond(&w.mu)
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		w.drain()
	}()
}

// drain writes buffered lines until Close. It has two buffers, which change
// places, so that no line is allocated.
func (w *Writer) drain() {
	var taken lines
	var reported int64
	for w.take(&taken) {
		start := 0
		for _, end := range taken.ends {
			_, err := w.Out.Write(taken.text[start:end])
			w.written(end-start, err)
			start = end
		}
		if n := w.Dropped() - reported; n > 0 && w.report(n) {
			reported += n
		}
	}
}

// take waits for lines and moves them to taken. It returns false when the Writer
// is closed and none are left.
func (w *Writer) take(taken *lines) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.buffer.ends) == 0 && !w.closed {
		w.wake.Wait()
	}
	taken.text, taken.ends = taken.text[:0], taken.ends[:0]
	w.buffer, *taken = *taken, w.buffer
	w.draining = len(taken.text)
	return len(taken.ends) > 0
}

func (w *Writer) written(bytes int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining -= bytes
	if err != nil {
		w.dropped++
	}
}

// report logs the number of dropped lines. It returns false if that failed.
func (w *Writer) report(n int64) bool {
	if w.Report == nil {
		return true
	}
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "log lines dropped", 0)
	r.AddAttrs(slog.Int64("count", n))
	return w.Report.Handle(context.Background(), r) == nil
}
