package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/handler"
	"scout/internal/budget"
	"scout/internal/deadletter"
	"scout/internal/earlysignal"
	"scout/internal/printable"
	"scout/internal/sqsclient"
)

// The limits of --rate, in messages per second.
const (
	minRate = 0.001
	maxRate = 100_000
)

// A dlqCommand is a command on a dead-letter queue.
type dlqCommand struct {
	*options
	cmd    *cobra.Command
	output string
	choice deadletter.Choice
	scan   deadletter.Scan
	result deadletter.Result // of the scan
	log    *commandLog

	// Flags of some of the commands.
	rate             float64
	all, dryRun, yes bool
	newIDs, showBody bool
}

func newDLQCommand(o *options) *cobra.Command {
	group := &cobra.Command{
		Use:   "dlq",
		Short: "Show, send back or drop the messages of a dead-letter queue",
		Long: `Show the messages in the dead-letter queue of an SQS queue and the outcome that
each would have with the current configuration, send them back, or delete them.

The dead-letter queue is that of the configured queue; with several queues,
--queue names one. --url names a dead-letter queue itself, such as one for the
messages that SNS could not deliver. Messages go back to the queue that they came
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

// configure makes cmd find the queue and call f. The function check, which may be nil,
// checks the arguments first. It adds the flags that all commands have.
func (d *dlqCommand) configure(cmd *cobra.Command, check func(args []string) error, f func(context.Context) error) *cobra.Command {
	d.cmd = cmd
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		ctx, cancel := earlysignal.Until(cmd.Context())
		defer cancel()
		err := d.checkFlags()
		if err == nil && check != nil {
			err = check(args)
		}
		if err != nil {
			return &failedError{err, exitUsage}
		}
		err = d.run(ctx, f)
		if errors.Is(err, deadletter.ErrUsage) {
			return &failedError{err, exitUsage}
		}
		if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
			text := "interrupted"
			if d.result.Returned > 0 && d.result.Hidden == 0 {
				text += "; the remaining messages are back in the queue"
			}
			err = errors.New(text)
		}
		return addExitCode(err)
	}
	flags := cmd.Flags()
	flags.StringVar(&d.choice.Queue, "queue", "", "the dead-letter queue of the configured queue `NAME`")
	flags.StringVar(&d.choice.URL, "url", "", "the dead-letter queue with this `URL`")
	flags.StringVar(&d.choice.To, "to", "", "the `QUEUE` that the messages go to, by name or URL; by default the one that they came from")
	flags.BoolVar(&d.choice.Force, "force", false, "read the queue even if it has a dead-letter queue itself, to which reads may move its messages")
	flags.DurationVar(&d.scan.Hide, "hide", deadletter.DefaultHide, "how long messages stay hidden if the command is killed")
	addOutputFlag(cmd, &d.output, "text", "json")
	return cmd
}

// addSelection adds the flags that select messages.
func (d *dlqCommand) addSelection(cmd *cobra.Command, limit int, limitUsage string) {
	flags, s := cmd.Flags(), &d.scan.Selection
	flags.StringArrayVar(&s.Topics, "topic", nil, "only messages of the topic `NAME` or ARN, the event source/detail-type, or the bucket; may be repeated")
	flags.StringArrayVar(&s.Reasons, "reason", nil, "only messages that would now be rejected for `REASON`, such as no_route; may be repeated")
	flags.StringArrayVar(&s.IDs, "id", nil, "only the message with this SQS `ID`; may be repeated")
	flags.DurationVar(&s.OlderThan, "older-than", 0, "only messages that are older, such as 24h")
	flags.DurationVar(&s.NewerThan, "newer-than", 0, "only messages that are newer, such as 24h")
	flags.IntVar(&d.scan.Limit, "limit", limit, limitUsage)
}

// checkFlags checks the values of the flags that several commands have.
func (d *dlqCommand) checkFlags() error {
	d.scan.Hide = d.scan.Hide.Round(time.Second)
	s := d.scan.Selection
	switch {
	case d.scan.Hide < time.Second || d.scan.Hide > 12*time.Hour:
		return errors.New("--hide: must be from 1s to 12h")
	case s.OlderThan < 0 || s.NewerThan < 0:
		return errors.New("--older-than and --newer-than must not be negative")
	case d.scan.Limit < 0:
		return errors.New("--limit must not be negative")
	}
	for _, reason := range s.Reasons {
		if !slices.Contains(deadletter.Reasons, handler.Reason(reason)) {
			return fmt.Errorf("--reason %s: must be one of %q", printable.Text(reason, 100), deadletter.Reasons)
		}
	}
	return nil
}

// run finds the queue and calls f.
func (d *dlqCommand) run(ctx context.Context, f func(context.Context) error) (err error) {
	if d.log, err = d.openLog(d.cmd.ErrOrStderr()); err != nil {
		return err
	}
	defer d.log.close()
	c, err := d.load(ctx, config.Loader{AWS: sqsclient.AWSConfig, Env: withoutRedis})
	if err != nil {
		return err
	}
	client, err := sqsclient.New(ctx, c.AWS, d.log.Logger)
	if err != nil {
		return err
	}
	client.SetGate(budget.New(c.MaxBytes))
	if d.scan.Queue, err = deadletter.Find(ctx, client, c.Queues, d.choice); err != nil {
		return err
	}
	d.scan.Client, d.scan.Judge = client, deadletter.NewJudge(c)
	return f(ctx)
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

func newDLQListCommand(o *options) *cobra.Command {
	d := &dlqCommand{options: o}
	return d.configure(&cobra.Command{
		Use:   "ls",
		Short: "Count the messages of a dead-letter queue by outcome",
		Long: `Count the messages of a dead-letter queue by source, topic and the outcome that
they would have with the current configuration: jobs, nothing (ignored), or the
reason why they would be rejected.

Reading hides the messages from others until the command ends, and raises their
receive counts by one.`,
		Example: "  scout dlq ls -c scout.yml",
		Args:    cobra.NoArgs,
	}, nil, func(ctx context.Context) error {
		return d.finish(ctx, d.scan.Run, d.showProgress(), d.printSummary)
	})
}

func newDLQRedriveCommand(o *options) *cobra.Command {
	d := &dlqCommand{options: o}
	cmd := d.configure(&cobra.Command{
		Use:   "redrive",
		Short: "Send messages of a dead-letter queue back to the queue that they came from",
		Long: `Send messages of a dead-letter queue back to the queue that they came from, and
delete each once SQS has acknowledged it there.

Only messages that would now succeed are sent, unless --reason, --id or --all is
given. A message that is sent twice, after the command was killed between the send
and the deletion, makes one job. A message whose only identity is its SQS id gets
another id and could make two jobs, so it is skipped without --new-ids.

The command does not ask for confirmation; --dry-run counts the messages that it
would send.`,
		Example: "  scout dlq redrive --topic orders --rate 50 -c scout.yml",
		Args:    cobra.NoArgs,
	}, d.checkRedrive, d.redrive)
	d.addSelection(cmd, 0, "send at most `N` messages; 0 is no limit")
	flags := cmd.Flags()
	flags.BoolVar(&d.all, "all", false, "also send messages that would be rejected again")
	flags.Float64Var(&d.rate, "rate", 0, "send at most `N` messages per second; 0 is no limit")
	flags.BoolVar(&d.dryRun, "dry-run", false, "send and delete nothing, only count")
	flags.BoolVar(&d.newIDs, "new-ids", false, "also send messages whose only identity is their SQS id, which changes")
	return cmd
}

func (d *dlqCommand) checkRedrive([]string) error {
	if d.rate != 0 && !(d.rate >= minRate && d.rate <= maxRate) { // NaN, too
		return fmt.Errorf("--rate must be 0, or from %v to %v", minRate, maxRate)
	}
	s := &d.scan.Selection
	s.Succeeding = !d.all && s.Reasons == nil && s.IDs == nil
	return nil
}

func (d *dlqCommand) redrive(ctx context.Context) error {
	r := &deadletter.Redrive{Scan: &d.scan, Rate: d.rate, NewIDs: d.newIDs, DryRun: d.dryRun}
	return d.finish(ctx, r.Run, d.showProgress(), func() {
		w, p := d.cmd.OutOrStdout(), d.scan.Progress()
		read, from, to := plural(d.scan.Read.Count(), "message"), d.scan.Queue.Name(), strings.Join(d.targets(), ", ")
		if d.dryRun {
			fmt.Fprintf(w, "%d of %s would be sent from %s to %s\n", p.Selected, read, from, to)
		} else {
			fmt.Fprintf(w, "%d of %s sent from %s to %s; %s back in the dead-letter queue\n", p.Sent, read, from, to, are(d.result.Returned))
		}
		if p.SkippedIDs > 0 {
			fmt.Fprintf(w, "skipped %s that would get a new id; see --new-ids\n", plural(p.SkippedIDs, "message"))
		}
		d.printReasons()
	})
}

func newDLQDropCommand(o *options) *cobra.Command {
	d := &dlqCommand{options: o}
	cmd := d.configure(&cobra.Command{
		Use:   "drop",
		Short: "Delete messages of a dead-letter queue",
		Long: `Delete the messages of a dead-letter queue that the options select, or all with
--all. The command shows their number and asks for confirmation, unless --yes is
given.`,
		Example: "  scout dlq drop --topic debug --older-than 72h -c scout.yml",
		Args:    cobra.NoArgs,
	}, d.checkDrop, d.drop)
	d.addSelection(cmd, 0, "delete at most `N` messages; 0 is no limit")
	flags := cmd.Flags()
	flags.BoolVar(&d.all, "all", false, "delete all messages")
	flags.BoolVar(&d.dryRun, "dry-run", false, "delete nothing, only count")
	flags.BoolVarP(&d.yes, "yes", "y", false, "do not ask for confirmation")
	return cmd
}

func (d *dlqCommand) checkDrop([]string) error {
	s := d.scan.Selection
	switch selects := s.Topics != nil || s.Reasons != nil || s.IDs != nil || s.OlderThan > 0 || s.NewerThan > 0; {
	case selects == d.all:
		return errors.New("choose the messages to drop: either --all, or one or more of --topic, --reason, --id, --older-than and --newer-than")
	case !d.yes && !d.dryRun && !isTerminal(d.cmd.InOrStdin()):
		return errors.New("asking for confirmation requires a terminal; use --yes to drop the messages without confirmation, or --dry-run to count them")
	}
	return nil
}

func (d *dlqCommand) drop(ctx context.Context) error {
	stop := d.showProgress()
	drop := &deadletter.Drop{Scan: &d.scan, Confirm: func(ctx context.Context, selected *deadletter.Summary) (bool, error) {
		stop()
		if d.dryRun || d.yes {
			return !d.dryRun, nil
		}
		return d.ask(ctx, selected)
	}}
	return d.finish(ctx, drop.Run, stop, func() {
		w, p := d.cmd.OutOrStdout(), d.scan.Progress()
		read, from := plural(d.scan.Read.Count(), "message"), d.scan.Queue.Name()
		if d.dryRun {
			fmt.Fprintf(w, "%d of %s would be deleted from %s\n", p.Selected, read, from)
		} else {
			fmt.Fprintf(w, "%d of %s deleted from %s; %s back in it\n", p.Deleted, read, from, are(d.result.Returned))
		}
	})
}

// ask asks whether to delete the selected messages. It accepts only the answer yes.
func (d *dlqCommand) ask(ctx context.Context, selected *deadletter.Summary) (bool, error) {
	w := d.cmd.ErrOrStderr()
	printGroups(w, selected.Groups())
	behind := ""
	if d.scan.Queue.FIFO {
		behind = " and those behind them that match the options"
	}
	fmt.Fprintf(w, "Delete %s%s from %s for good? Type yes: ", plural(selected.Count(), "message"), behind, d.scan.Queue.Name())
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(d.cmd.InOrStdin()).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(w)
		return false, nil
	case line := <-answer:
		if line != "yes" {
			return false, errors.New("nothing was deleted, because the answer was not yes")
		}
		return true, nil
	}
}

// finish runs a scan and then calls stop, which ends the progress display. It calls
// text to print the result, unless the output is JSON.
func (d *dlqCommand) finish(ctx context.Context, run func(context.Context) (deadletter.Result, error), stop, text func()) (err error) {
	d.result, err = run(ctx)
	stop()
	switch {
	case err != nil && d.scan.Read.Count() == 0:
	case d.output == "json":
		err = errors.Join(err, writeJSON(d.cmd.OutOrStdout(), d.summarize()))
	default:
		text()
	}
	d.noteResult()
	return describeFailures(err, d.scan.Progress())
}

// describeFailures returns the error of a command that ended with err. It returns nil
// if err is nil and every message could be sent or deleted.
func describeFailures(err error, p deadletter.Progress) error {
	var texts []string
	if err != nil {
		texts = append(texts, err.Error())
	}
	if p.SendFailed > 0 {
		texts = append(texts, plural(p.SendFailed, "message")+" could not be sent and stayed in the dead-letter queue")
	}
	switch {
	case p.DeleteFailed > 0 && p.Sent > 0:
		texts = append(texts, plural(p.DeleteFailed, "message")+" sent but not deleted from the dead-letter queue: redrive again, which makes no second job within dedup_ttl unless they need --new-ids, or drop them")
	case p.DeleteFailed > 0:
		texts = append(texts, plural(p.DeleteFailed, "message")+" could not be deleted")
	}
	if p.LastError != "" {
		texts = append(texts, p.LastError)
	}
	if len(texts) == 0 || len(texts) == 1 && err != nil {
		return err
	}
	return errors.New(strings.Join(texts, "; "))
}
