package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"scout/handler"
	"scout/internal/deadletter"
	"scout/internal/explain"
	"scout/internal/printable"
)

// A dlqSummary is the JSON output of scout dlq ls, redrive and drop. Fields are added,
// never renamed.
type dlqSummary struct {
	Queue    string     `json:"queue"`
	URL      string     `json:"url"`
	Sources  []string   `json:"source_queues"`
	Messages int        `json:"messages"`
	Oldest   *time.Time `json:"oldest"`
	Complete bool       `json:"complete"` // whether all messages that can be received were read
	Hidden   int        `json:"hidden"`   // messages that could not be returned
	NeedIDs  int        `json:"new_ids"`  // messages that redrive skips without --new-ids

	Outcomes map[explain.Outcome]int `json:"outcomes"`
	Reasons  map[handler.Reason]int  `json:"reasons"`
	Groups   []deadletter.Group      `json:"groups"`

	*dlqChanges // nil for ls
}

type dlqChanges struct {
	DryRun bool `json:"dry_run"`
	deadletter.Progress
	Returned int `json:"returned"` // messages that are visible again
}

func (d *dlqCommand) summarize() dlqSummary {
	s, total := &d.scan.Read, d.scan.Read.Total()
	out := dlqSummary{
		Queue: d.scan.Queue.Name(), URL: d.scan.Queue.URL, Sources: d.targets(),
		Messages: total.Count, Complete: d.result.Complete, Hidden: d.result.Hidden, NeedIDs: total.NeedIDs,
		Outcomes: s.Outcomes(), Reasons: s.Reasons(), Groups: s.Groups(),
	}
	if total.Count > 0 {
		out.Oldest = &total.Oldest
	}
	if d.cmd.Name() != "ls" {
		out.dlqChanges = &dlqChanges{d.dryRun, d.scan.Progress(), d.result.Returned}
	}
	return out
}

// note writes a note about the scan to standard error.
func (d *dlqCommand) note(format string, args ...any) {
	if d.json {
		d.log.Info("dead-letter queue read", "note", fmt.Sprintf(format, args...))
		return
	}
	fmt.Fprintf(d.cmd.ErrOrStderr(), format+"\n", args...)
}

// noteResult writes notes about the effects of a scan and the messages that it could
// not read.
func (d *dlqCommand) noteResult() {
	q := d.scan.Queue
	if d.scan.Read.Count() > 0 {
		d.note("Reading has raised the receive count of each message by one.")
	}
	if d.result.Full {
		d.note("Not all messages were read, because SQS permits no more hidden messages of a queue. Redrive or drop these, and read again.")
	}
	if q.Hidden > 0 {
		d.note("About %d more messages were hidden by another reader, such as a command that was killed. They become visible when their visibility timeout ends.", q.Hidden)
	}
	if q.FIFO {
		d.note("Only the first messages of each message group can be read. The messages behind them are not counted. They can be read when the first are gone.")
	}
	if d.result.Hidden > 0 {
		d.note("%d messages could not be returned to %s. They become visible within %v.", d.result.Hidden, q.Name(), d.scan.Hide)
	}
}

// targets returns the names of the queues to which messages are sent.
func (d *dlqCommand) targets() []string {
	var names []string
	for _, s := range d.scan.Queue.Sources {
		names = append(names, s.Name())
	}
	return names
}

// printSummary prints a summary of the messages in the queue.
func (d *dlqCommand) printSummary() {
	w, total := d.cmd.OutOrStdout(), d.scan.Read.Total()
	fmt.Fprintf(w, "%s (messages go to %s): %s", d.scan.Queue.Name(), strings.Join(d.targets(), ", "), plural(total.Count, "message"))
	if !d.result.Complete {
		fmt.Fprint(w, " read, and there may be more")
	}
	if total.Count == 0 {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, ", the oldest sent %s\n", sentAt(total.Oldest))
	fmt.Fprintln(w)
	printGroups(w, d.scan.Read.Groups())
	d.printReasons()
	if n := total.NeedIDs; n > 0 {
		fmt.Fprintf(w, "Without --new-ids, redrive skips %s whose only identity is the SQS id.\n", plural(n, "message"))
	}
}

// printGroups prints a table, and an empty line.
func printGroups(w io.Writer, groups []deadletter.Group) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MESSAGES\tSOURCE\tTOPIC\tNOW\tOLDEST")
	for _, g := range groups {
		now := string(g.Outcome)
		if g.Reason != "" {
			now += ", " + string(g.Reason)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", g.Count, cmp.Or(string(g.Source), "-"), cmp.Or(printable.Text(g.Label, maxShown), "-"), now, g.Oldest.Format(time.DateTime))
	}
	_ = table.Flush()
	fmt.Fprintln(w)
}

// printReasons prints the number of messages by outcome and reason.
func (d *dlqCommand) printReasons() {
	w, outcomes := d.cmd.OutOrStdout(), d.scan.Read.Outcomes()
	succeed := outcomes[explain.Job] + outcomes[explain.Ignored]
	fmt.Fprintf(w, "%d would now succeed", succeed)
	if n := outcomes[explain.Ignored]; n > 0 {
		fmt.Fprintf(w, " (%d ignored)", n)
	}
	fmt.Fprintf(w, ", %d would not", d.scan.Read.Count()-succeed)
	separator := ": "
	reasons := d.scan.Read.Reasons()
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "%s%s %d", separator, reason, reasons[reason])
		separator = ", "
	}
	fmt.Fprintln(w)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

func are(n int) string {
	if n == 1 {
		return "1 is"
	}
	return strconv.Itoa(n) + " are"
}

// sentAt returns a time with its age.
func sentAt(t time.Time) string {
	return fmt.Sprintf("%s UTC (%s ago)", t.UTC().Format(time.DateTime), age(time.Since(t)))
}

func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	}
	return plural(max(0, int(d.Seconds())), "second")
}

// Intervals of showProgress.
const (
	barInterval  = 250 * time.Millisecond
	lineInterval = 30 * time.Second
)

// showProgress shows how many messages have been read and sent until stop is called: as
// a bar on a terminal, and otherwise as a line at intervals.
func (d *dlqCommand) showProgress() (stop func()) {
	w := d.cmd.ErrOrStderr()
	start, interval, isBar := time.Now(), lineInterval, !d.json && isTerminal(w)
	if isBar {
		interval = barInterval
	}
	show := func() {
		read, sent := d.scan.Read.Count(), ""
		total := max(d.scan.Queue.Messages, read)
		if n := d.scan.Progress().Sent; n > 0 {
			sent = fmt.Sprintf(", %d sent", n)
		}
		if isBar {
			fmt.Fprintf(w, "\r\x1b[K%s", bar(read, total, time.Since(start))+sent)
		} else {
			d.note("%d of about %d messages read%s", read, total, sent)
		}
	}
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				show()
			}
		}
	})
	return sync.OnceFunc(func() {
		close(done)
		wait.Wait()
		if isBar {
			fmt.Fprint(w, "\r\x1b[K")
		}
	})
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
