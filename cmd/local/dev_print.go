package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"scout/config"
	"scout/handler"
	"scout/internal/devpage"
	"scout/internal/devstack"
	"scout/internal/printable"
	"scout/sidekiq"
)

// A messagePrinter prints a line for each message, or for each of its jobs, and
// counts the outcomes of messages. It is safe for concurrent use.
type messagePrinter struct {
	w       io.Writer
	verbose bool // also print the JSON of each job
	color   bool
	width   func() int // of the terminal in characters; 0 if w is not a terminal

	mu       sync.Mutex
	labels   int // the minimum width of the column of topics
	queues   map[string]int
	stats    handler.Stats
	dead     int
	rejected map[string]shownMessage // by SQS id
}

// A shownMessage has the label and the id by which lines name a message.
type shownMessage struct{ label, id string }

const (
	maxLine     = 160    // of a line that goes to no terminal, in characters
	maxLabels   = 28     // of the column of topics, in characters, and at most a fifth of the line
	maxRejected = 10_000 // messages remembered in case they become dead letters
	shownID     = 8      // characters
)

// newMessagePrinter returns a printer that uses colors if w is a terminal, unless
// the environment says otherwise (https://no-color.org).
func newMessagePrinter(w io.Writer, verbose bool) *messagePrinter {
	p := &messagePrinter{
		w: w, verbose: verbose, width: func() int { return 0 },
		queues: map[string]int{}, stats: handler.Stats{Failed: map[handler.Reason]int{}}, rejected: map[string]shownMessage{},
	}
	file, ok := w.(*os.File)
	if !ok {
		return p
	}
	p.width = func() int {
		size, err := unix.IoctlGetWinsize(int(file.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0
		}
		return int(size.Col)
	}
	p.color = p.width() > 0 && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return p
}

func (p *messagePrinter) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}

// align makes the column of topics as wide as the names in a configuration.
func (p *messagePrinter) align(c *config.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.labels = 0
	for _, q := range c.Queues {
		for _, route := range slices.Concat(q.Topics, q.EventBridge, q.S3) {
			if !isPattern(route.Key) {
				p.labels = min(max(p.labels, utf8.RuneCountInString(handler.TopicName(route.Key))), maxLabels, p.maxLength()/5)
			}
		}
	}
}

// The styles of a line's parts, as parameters of SGR (ECMA-48, 8.3.117).
const (
	plain  = ""
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// A line is a line of output whose length is known.
type line struct {
	b      strings.Builder
	length int // in characters
	color  bool
}

func (l *line) add(style, text string) {
	l.length += utf8.RuneCountInString(text)
	if style != plain && l.color {
		text = "\x1b[" + style + "m" + text + "\x1b[0m"
	}
	l.b.WriteString(text)
}

// addCut adds text, cut to a maximum length of the line.
func (l *line) addCut(style, text string, length int) {
	if room := length - l.length; utf8.RuneCountInString(text) > room {
		runes := []rune(text)
		text = string(runes[:max(0, room-1)]) + "…"
	}
	l.add(style, text)
}

// begin begins the line of a message.
func (p *messagePrinter) begin(style, mark, label, id string) *line {
	l := &line{color: p.color}
	l.add(dim, time.Now().Format("15:04:05")+" ")
	l.add(style, mark+" ")
	l.add(plain, label+strings.Repeat(" ", max(0, p.labels-utf8.RuneCountInString(label)))+" ")
	l.add(dim, id+" ")
	return l
}

func (p *messagePrinter) end(l *line) { fmt.Fprintln(p.w, l.b.String()) }

// maxLength returns the maximum length of a line.
func (p *messagePrinter) maxLength() int { return cmp.Or(p.width(), maxLine) }

// observe prints and counts the messages of a batch.
func (p *messagePrinter) observe(stats handler.Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range stats.Results {
		p.printResult(&stats.Results[i])
	}
	p.stats.Received += stats.Received
	p.stats.Enqueued += stats.Enqueued
	p.stats.Duplicate += stats.Duplicate
	p.stats.Ignored += stats.Ignored
	p.stats.Dead += stats.Dead
	for reason, n := range stats.Failed {
		p.stats.Failed[reason] += n
	}
}

func (p *messagePrinter) printResult(r *handler.Result) {
	label, id := labelOf(r), printable.Text(r.Message.MessageId, shownID+len("…"))
	if r.Translation.MessageID != "" {
		id = r.Translation.MessageID
	}
	id = shorten(id)
	delete(p.rejected, r.Message.MessageId)
	switch {
	case r.Err != nil && (len(r.Pushed) == 0 || r.Dead):
		if len(p.rejected) < maxRejected && !r.Dead {
			p.rejected[r.Message.MessageId] = shownMessage{label, id}
		}
		l := p.begin(red, "✗", label, id)
		l.add(red, failureText(r))
		p.end(l)
	case r.Translation.Ignored:
		l := p.begin(dim, "·", label, id)
		l.add(dim, "ignored")
		p.end(l)
	default:
		for i, result := range r.Pushed[:min(len(r.Pushed), len(r.Translation.Jobs))] {
			p.printJob(label, &r.Translation.Jobs[i], result)
		}
	}
}

// labelOf returns the label of a message's origin.
func labelOf(r *handler.Result) string {
	return cmp.Or(r.Translation.Label, string(r.Translation.Source), handler.TopicName(r.Message.EventSourceARN))
}

// shorten returns the beginning of an id.
func shorten(id string) string {
	id = printable.Text(id, 0)
	if len(id) <= shownID {
		return id
	}
	return printable.Text(id, shownID-1)
}

// failureText describes why a message was rejected or failed.
func failureText(r *handler.Result) string {
	details := string(r.Reason())
	if n, err := strconv.Atoi(r.Message.Attributes["ApproximateReceiveCount"]); err == nil && n > 1 {
		details += fmt.Sprintf(", receive %d of %d", n, maxReceives)
	}
	if r.Dead {
		details += ", in the dead set"
	}
	return fmt.Sprintf("%s: %s (%s)", failureWord(r.Reason()), printable.Text(r.Err.Error(), 0), details)
}

// failureWord returns "failed" if a retry may succeed, and "rejected" otherwise.
func failureWord(reason handler.Reason) string {
	switch reason {
	case handler.ReasonHeldBack, handler.ReasonQueue, handler.ReasonRedis, handler.ReasonDeadline:
		return "failed"
	}
	return "rejected"
}

// printJob prints the result of a job.
func (p *messagePrinter) printJob(label string, job *sidekiq.Job, result sidekiq.Result) {
	style, mark, note := green, "✓", ""
	switch {
	case result.Err != nil:
		style, mark, note = red, "✗", "failed: "+printable.Text(result.Err.Error(), 0)
	case result.Outcome == sidekiq.Duplicate:
		style, mark, note = yellow, "=", "duplicate"
	default:
		p.queues[job.Queue]++
	}
	l := p.begin(style, mark, label, job.JID[:min(shownID, len(job.JID))])
	l.add(plain, "→ ")
	l.add(bold, printable.Text(job.Class, 0))
	l.add(plain, " ("+printable.Text(job.Queue, 0)+") ")
	if note != "" {
		l.add(style, note)
	} else {
		l.addCut(plain, devpage.Arguments(job.Payload), p.maxLength())
	}
	p.end(l)
	if p.verbose && result.Err == nil {
		fmt.Fprintln(p.w, "         "+displayJSON(job.Payload))
	}
}

// printDeadLetter prints that a message has moved to its dead-letter queue.
func (p *messagePrinter) printDeadLetter(d devstack.DeadLetter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead++
	m, ok := p.rejected[d.MessageID]
	if !ok {
		m = shownMessage{d.Queue, shorten(d.MessageID)}
	}
	delete(p.rejected, d.MessageID)
	l := p.begin(red, "†", m.label, m.id)
	l.add(red, fmt.Sprintf("moved to the dead-letter queue %s after %d receives", d.DeadLetterQueue, d.Receives))
	p.end(l)
}

func (p *messagePrinter) handled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats.Received
}

// summary prints the counts.
func (p *messagePrinter) summary() {
	p.mu.Lock()
	defer p.mu.Unlock()
	table := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
	defer table.Flush()
	if len(p.queues) > 0 {
		fmt.Fprintf(table, "\nSIDEKIQ QUEUE\tJOBS\n")
	}
	for _, queue := range slices.Sorted(maps.Keys(p.queues)) {
		fmt.Fprintf(table, "%s\t%d\n", queue, p.queues[queue])
	}
	fmt.Fprintf(table, "\nMESSAGES\nreceived\t%d\n", p.stats.Received)
	count := func(name string, n int) {
		if n > 0 {
			fmt.Fprintf(table, "%s\t%d\n", name, n)
		}
	}
	count("enqueued", p.stats.Enqueued)
	count("duplicate", p.stats.Duplicate)
	count("ignored", p.stats.Ignored)
	count("rejected, in the dead set", p.stats.Dead)
	for _, reason := range slices.Sorted(maps.Keys(p.stats.Failed)) {
		count(failureWord(reason)+", "+string(reason), p.stats.Failed[reason])
	}
	count("moved to a dead-letter queue", p.dead)
}
