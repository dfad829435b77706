package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/handler"
	"scout/internal/budget"
	"scout/internal/deadletter"
	"scout/internal/earlysignal"
	"scout/internal/explain"
	"scout/internal/printable"
	"scout/internal/sqsclient"
)

// A dlqCommand is a command on a dead-letter queue.
type dlqCommand struct {
	*options
	choice deadletter.Choice
	hide   time.Duration
	output string

	// Selection.
	topics, reasons, ids []string
	older, newer         time.Duration

	cmd    *cobra.Command
	config *config.Config
	scan   deadletter.Scan // where each scan starts from
	log    *commandLog
}

func newDLQCommand(o *options) *cobra.Command {
	group := &cobra.Command{
		Use:   "dlq",
		Short: "See what is in a dead-letter queue, send it back, or drop it",
		Long: `See what is in the dead-letter queue of an SQS queue and what would become of
each message with the current configuration, send messages back, or delete them.

The dead-letter queue is that of the configured queue; with several queues,
--queue names one. --url names a dead-letter queue itself, such as one where SNS
puts what it could not deliver. Messages go back to the queue that they came
from, or to the one that --to names.

Reading hides the messages from others until the command ends, or for a minute if
it is killed, and raises their receive counts by one.`,
		Args: cobra.NoArgs,
		RunE: withExitCode(func(*cobra.Command, []string) error {
			return &failedError{errors.New("choose what to do: scout dlq ls, show, redrive or drop; see scout dlq --help"), exitUsage}
		}),
	}
	group.AddCommand(newDLQListCommand(o), newDLQShowCommand(o), newDLQRedriveCommand(o), newDLQDropCommand(o))
	return group
}

// command makes cmd run f once the queue is found, and adds the flags that say which.
func (d *dlqCommand) command(cmd *cobra.Command, f func(ctx context.Context, args []string) error) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := earlysignal.Until(cmd.Context())
		defer cancel()
		d.cmd = cmd
		err := d.run(ctx, func() error { return f(ctx, args) })
		if errors.Is(err, deadletter.ErrUsage) {
			return &failedError{err, exitUsage}
		}
		if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = errors.New("interrupted; the messages that are left are back in the queue")
		}
		return addExitCode(err)
	}
	flags := cmd.Flags()
	flags.StringVar(&d.choice.Queue, "queue", "", "the dead-letter queue of the configured queue `NAME`")
	flags.StringVar(&d.choice.URL, "url", "", "the dead-letter queue with this `URL`")
	flags.StringVar(&d.choice.To, "to", "", "the `QUEUE` that the messages go to, by name or URL; by default the one that they came from")
	flags.BoolVar(&d.choice.Force, "force", false, "read the queue even if it has a dead-letter queue itself, to which reads may move its messages")
	flags.DurationVar(&d.hide, "hide", deadletter.DefaultHide, "how long messages stay hidden if the command is killed")
	addOutputFlag(cmd, &d.output, "text", "json")
	return cmd
}

// addSelection adds the flags that select messages.
func (d *dlqCommand) addSelection(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&d.topics, "topic", nil, "only messages of the topic `NAME` or ARN, the event source/detail-type, or the bucket; may be repeated")
	flags.StringArrayVar(&d.reasons, "reason", nil, "only messages that would now be rejected for `REASON`, such as no_route; may be repeated")
	flags.StringArrayVar(&d.ids, "id", nil, "only the message with this SQS `ID`; may be repeated")
	flags.DurationVar(&d.older, "older-than", 0, "only messages sent longer ago, such as 24h")
	flags.DurationVar(&d.newer, "newer-than", 0, "only messages sent since, such as 24h")
}

func (d *dlqCommand) selection() deadletter.Selection {
	return deadletter.Selection{Topics: d.topics, Reasons: d.reasons, IDs: d.ids, OlderThan: d.older, NewerThan: d.newer}
}

// checkFlags checks the values of flags.
func (d *dlqCommand) checkFlags() error {
	switch {
	case d.hide < time.Second || d.hide > 12*time.Hour:
		return errors.New("--hide: must be from 1s to 12h")
	case d.older < 0 || d.newer < 0:
		return errors.New("--older-than and --newer-than: must be durations, such as 24h")
	}
	for _, reason := range d.reasons {
		if !slices.Contains(deadletter.Reasons, handler.Reason(reason)) {
			return fmt.Errorf("--reason %s: must be one of %q", printable.Text(reason, 100), deadletter.Reasons)
		}
	}
	return nil
}

// run finds the queue and calls f.
func (d *dlqCommand) run(ctx context.Context, f func() error) error {
	if err := d.checkFlags(); err != nil {
		return &failedError{err, exitUsage}
	}
	log, err := d.openLog(d.cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	defer log.close()
	d.log = log
	if d.config, err = d.load(ctx, config.Loader{AWS: sqsclient.AWSConfig, Env: withoutRedis}); err != nil {
		return err
	}
	client, err := sqsclient.New(ctx, d.config.AWS, log.Logger)
	if err != nil {
		return err
	}
	client.SetGate(budget.New(d.config.MaxBytes))
	queue, err := deadletter.Find(ctx, client, d.config.Queues, d.choice)
	if err != nil {
		return err
	}
	d.scan = deadletter.Scan{Client: client, Queue: queue, Judge: deadletter.NewJudge(d.config), Hide: d.hide.Round(time.Second)}
	return f()
}

// withoutRedis looks up environment variables for a command that does not use Redis
// and therefore needs no REDIS_URL.
func withoutRedis(name string) (string, bool) {
	value, ok := os.LookupEnv(name)
	if !ok && name == "REDIS_URL" {
		return "redis://localhost", true
	}
	return value, ok
}

func (d *dlqCommand) out() io.Writer { return d.cmd.OutOrStdout() }

// note tells people about the scan, on standard error.
func (d *dlqCommand) note(format string, args ...any) {
	if d.json {
		d.log.Info("dead-letter queue read", "note", fmt.Sprintf(format, args...))
		return
	}
	fmt.Fprintf(d.cmd.ErrOrStderr(), format+"\n", args...)
}

// noteResult says what a scan has left behind.
func (d *dlqCommand) noteResult(read int, result deadletter.Result) {
	q := d.scan.Queue
	if read > 0 {
		d.note("Reading has raised the receive count of each message by one.")
	}
	if result.Full {
		d.note("Not all messages were read, because SQS permits no more hidden messages of a queue. Redrive or drop what was read, and read again.")
	}
	if q.Hidden > 0 {
		d.note("About %d more messages were hidden by another reader, such as a command that was killed. They become visible when their visibility timeout ends.", q.Hidden)
	}
	if q.FIFO {
		d.note("Only the first messages of each message group can be read. Those behind them are not counted, and become readable when the first are gone.")
	}
	if result.Hidden > 0 {
		d.note("%d messages could not be returned to %s. They become visible within %v.", result.Hidden, q.Name(), d.scan.Hide)
	}
}

// targets returns the names of the queues that messages go to.
func (d *dlqCommand) targets() []string {
	q := d.scan.Queue
	if q.To != nil {
		return []string{q.To.Name()}
	}
	names := make([]string, len(q.Sources))
	for i := range q.Sources {
		names[i] = q.Sources[i].Name()
	}
	return names
}

func (d *dlqCommand) route() string { return strings.Join(d.targets(), ", ") }

func newDLQListCommand(o *options) *cobra.Command {
	d := &dlqCommand{options: o}
	return d.command(&cobra.Command{
		Use:   "ls",
		Short: "Count the messages of a dead-letter queue by what would become of them",
		Long: `Count the messages of a dead-letter queue by source, topic and what would become
of them with the current configuration: jobs, nothing (ignored), or the reason
why they would be rejected.

Reading hides the messages from others until the command ends, and raises their
receive counts by one.`,
		Example: "  scout dlq ls -c scout.yml",
		Args:    cobra.NoArgs,
	}, d.list)
}

func (d *dlqCommand) list(ctx context.Context, _ []string) error {
	var summary deadletter.Summary
	scan := d.scan
	scan.Visit = func(_ context.Context, messages []*deadletter.Message) error {
		summary.Add(messages...)
		return nil
	}
	stop := d.showProgress(func() (int, string) { return summary.Count(), "" })
	result, err := scan.Run(ctx)
	stop()
	switch {
	case err != nil && summary.Count() == 0:
	case d.output == "json":
		err = errors.Join(err, writeJSON(d.out(), d.summarize(&summary, result)))
	default:
		d.printSummary(&summary, result)
	}
	d.noteResult(summary.Count(), result)
	return err
}

// printSummary prints what was found in the queue.
func (d *dlqCommand) printSummary(s *deadletter.Summary, result deadletter.Result) {
	w := d.out()
	fmt.Fprintf(w, "%s (messages go to %s): %s", d.scan.Queue.Name(), d.route(), plural(s.Count(), "message"))
	if !result.Complete {
		fmt.Fprint(w, " read, and there may be more")
	}
	if oldest := s.Oldest(); !oldest.IsZero() {
		fmt.Fprintf(w, ", the oldest sent %s", sentAt(oldest))
	}
	fmt.Fprintln(w)
	if s.Count() == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nMESSAGES\tSOURCE\tTOPIC\tNOW\tOLDEST")
	for _, g := range s.Groups() {
		now := string(g.Outcome)
		if g.Reason != "" {
			now += ", " + string(g.Reason)
		}
		fmt.Fprintf(table, "%d\t%s\t%s\t%s\t%s\n", g.Count, cmp.Or(string(g.Source), "-"), cmp.Or(printable.Text(g.Label, maxShown), "-"), now, g.Oldest.Format(time.DateTime))
	}
	_ = table.Flush()
	fmt.Fprintln(w)
	d.printReasons(s)
}

// printReasons prints the number of messages by what would become of them.
func (d *dlqCommand) printReasons(s *deadletter.Summary) {
	w := d.out()
	outcomes := s.Outcomes()
	succeed := outcomes[explain.Job] + outcomes[explain.Ignored]
	fmt.Fprintf(w, "%d would now succeed", succeed)
	if n := outcomes[explain.Ignored]; n > 0 {
		fmt.Fprintf(w, " (%d ignored)", n)
	}
	fmt.Fprintf(w, ", %d would not", s.Count()-succeed)
	separator := ": "
	reasons := s.Reasons()
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(w, "%s%s %d", separator, reason, reasons[reason])
		separator = ", "
	}
	fmt.Fprintln(w)
	if n := s.NeedIDs(); n > 0 {
		fmt.Fprintf(w, "%d of them have no identity but their SQS id, which changes when they are sent again; redrive skips them without --new-ids\n", n)
	}
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
