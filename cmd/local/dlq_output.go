package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"scout/handler"
	"scout/internal/deadletter"
	"scout/internal/explain"
)

// A dlqSummary is the JSON output of scout dlq ls, and part of that of redrive and
// drop. Fields are added, never renamed.
type dlqSummary struct {
	Queue    string     `json:"queue"`
	URL      string     `json:"url"`
	Sources  []string   `json:"source_queues"`
	Messages int        `json:"messages"`
	Oldest   *time.Time `json:"oldest"`
	Complete bool       `json:"complete"` // whether all messages were read that can be
	Hidden   int        `json:"hidden"`   // messages that could not be returned
	NeedIDs  int        `json:"new_ids"`  // messages that redrive skips without --new-ids

	Outcomes map[explain.Outcome]int `json:"outcomes"`
	Reasons  map[handler.Reason]int  `json:"reasons"`
	Groups   []deadletter.Group      `json:"groups"`
}

func (d *dlqCommand) summarize(s *deadletter.Summary, result deadletter.Result) dlqSummary {
	out := dlqSummary{
		Queue: d.scan.Queue.Name(), URL: d.scan.Queue.URL, Sources: d.targets(),
		Messages: s.Count(), Complete: result.Complete, Hidden: result.Hidden, NeedIDs: s.NeedIDs(),
		Outcomes: s.Outcomes(), Reasons: s.Reasons(), Groups: s.Groups(),
	}
	if oldest := s.Oldest(); !oldest.IsZero() {
		out.Oldest = &oldest
	}
	return out
}

// Intervals of what showProgress shows.
const (
	barInterval  = 250 * time.Millisecond
	lineInterval = 30 * time.Second
)

// showProgress shows how many messages have been read, and a text: as a bar on a
// terminal, and otherwise as a line now and then. It ends with the call of stop.
func (d *dlqCommand) showProgress(progress func() (read int, text string)) (stop func()) {
	w := d.cmd.ErrOrStderr()
	total, start := d.scan.Queue.Messages, time.Now()
	interval, isBar := lineInterval, !d.json && isTerminal(w)
	if isBar {
		interval = barInterval
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				if isBar {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			case <-tick.C:
			}
			read, text := progress()
			if isBar {
				fmt.Fprintf(w, "\r\x1b[K%s", bar(read, max(total, read), time.Since(start))+text)
			} else {
				d.note("%d of about %d messages read%s", read, max(total, read), text)
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

// bar returns a line that shows progress.
func bar(read, total int, elapsed time.Duration) string {
	const width = 24
	if total == 0 {
		return "reading"
	}
	filled := width * read / total
	line := fmt.Sprintf("[%s%s] %3d %%  %d of about %d read", strings.Repeat("#", filled), strings.Repeat(".", width-filled), 100*read/total, read, total)
	if read > 0 && elapsed > 5*time.Second {
		left := time.Duration(float64(elapsed) / float64(read) * float64(total-read))
		line += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return line
}
