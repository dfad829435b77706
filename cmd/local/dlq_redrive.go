package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"scout/internal/deadletter"
)

// The limits of --rate, in messages per second.
const (
	minRate = 0.001
	maxRate = 100_000
)

// A dlqRedrive is scout dlq redrive.
type dlqRedrive struct {
	dlqCommand
	rate           float64
	limit          int
	all            bool
	dryRun, newIDs bool
}

func newDLQRedriveCommand(o *options) *cobra.Command {
	d := &dlqRedrive{dlqCommand: dlqCommand{options: o}}
	cmd := d.command(&cobra.Command{
		Use:   "redrive",
		Short: "Send messages of a dead-letter queue back to the queue that they came from",
		Long: `Send messages of a dead-letter queue back to the queue that they came from, and
delete each once SQS has acknowledged it there.

Only messages that would now succeed are sent, unless --reason, --id or --all
asks for others. A message that is sent twice, because the command was killed in
between, makes one job. Messages that only their SQS id tells apart get another id
and could make two, so they are skipped without --new-ids.

The command asks nothing; --dry-run counts what it would send.`,
		Example: "  scout dlq redrive --topic orders --rate 50 -c scout.yml",
		Args:    cobra.NoArgs,
	}, d.redrive)
	d.addSelection(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&d.all, "all", false, "also send messages that would be rejected again")
	flags.Float64Var(&d.rate, "rate", 0, "send at most `N` messages per second; 0 is no limit")
	flags.IntVar(&d.limit, "limit", 0, "send at most `N` messages; 0 is no limit")
	flags.BoolVar(&d.dryRun, "dry-run", false, "send and delete nothing, only count")
	flags.BoolVar(&d.newIDs, "new-ids", false, "also send messages that only their SQS id tells apart")
	return cmd
}

func (d *dlqRedrive) redrive(ctx context.Context, _ []string) error {
	switch {
	case d.limit < 0:
		return &failedError{errors.New("--limit must not be negative"), exitUsage}
	case d.rate != 0 && !(d.rate >= minRate && d.rate <= maxRate): // NaN, too
		return &failedError{fmt.Errorf("--rate must be 0, or from %v to %v", minRate, maxRate), exitUsage}
	}
	r := &deadletter.Redrive{Scan: d.scan, Selection: d.selection(), Rate: d.rate, Limit: d.limit, NewIDs: d.newIDs, DryRun: d.dryRun}
	r.Selection.Succeeding = !d.all && d.reasons == nil && d.ids == nil
	stop := d.showProgress(func() (int, string) { return r.Read.Count(), fmt.Sprintf(", %d sent", r.Progress().Sent) })
	result, err := r.Run(ctx)
	stop()
	p := r.Progress()
	switch {
	case err != nil && r.Read.Count() == 0:
	case d.output == "json":
		err = errors.Join(err, writeJSON(d.out(), dlqRedriven{d.summarize(&r.Read, result), newDLQProgress(p, d.dryRun), result.Returned}))
	default:
		d.printRedriven(&r.Read, p, result)
	}
	d.noteResult(r.Read.Count(), result)
	return failure(err, p)
}

// A dlqRedriven is the JSON output of scout dlq redrive and drop.
type dlqRedriven struct {
	dlqSummary
	dlqProgress
	Returned int `json:"returned"` // messages that are visible again
}

type dlqProgress struct {
	DryRun       bool `json:"dry_run"`
	Selected     int  `json:"selected"`
	Sent         int  `json:"sent"`
	Deleted      int  `json:"deleted"`
	SkippedIDs   int  `json:"skipped_new_ids"`
	SendFailed   int  `json:"send_failed"`
	DeleteFailed int  `json:"delete_failed"`
}

func newDLQProgress(p deadletter.Progress, dryRun bool) dlqProgress {
	return dlqProgress{dryRun, p.Selected, p.Sent, p.Deleted, p.SkippedIDs, p.SendFailed, p.DeleteFailed}
}

func (d *dlqRedrive) printRedriven(read *deadletter.Summary, p deadletter.Progress, result deadletter.Result) {
	w := d.out()
	if d.dryRun {
		fmt.Fprintf(w, "%d of %s would be sent from %s to %s\n", p.Selected, plural(read.Count(), "message"), d.scan.Queue.Name(), d.route())
	} else {
		fmt.Fprintf(w, "%d of %s sent from %s to %s; %s back in the dead-letter queue\n", p.Sent, plural(read.Count(), "message"), d.scan.Queue.Name(), d.route(), are(result.Returned))
	}
	if p.SkippedIDs > 0 {
		fmt.Fprintf(w, "%s skipped, because they would get new ids; see --new-ids\n", plural(p.SkippedIDs, "message"))
	}
	d.printReasons(read)
}

// failure returns the error of a command that ended with err, nil if there is none and
// no message could not be sent or deleted.
func failure(err error, p deadletter.Progress) error {
	var texts []string
	if err != nil {
		texts = append(texts, err.Error())
	}
	if p.SendFailed > 0 {
		texts = append(texts, plural(p.SendFailed, "message")+" could not be sent and stayed in the dead-letter queue")
	}
	switch {
	case p.DeleteFailed > 0 && p.Sent > 0:
		texts = append(texts, plural(p.DeleteFailed, "message")+" sent but not deleted from the dead-letter queue: redrive again, which makes no second job, or drop them")
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

// A dlqDrop is scout dlq drop.
type dlqDrop struct {
	dlqCommand
	limit            int
	all, dryRun, yes bool
}

func newDLQDropCommand(o *options) *cobra.Command {
	d := &dlqDrop{dlqCommand: dlqCommand{options: o}}
	cmd := d.command(&cobra.Command{
		Use:   "drop",
		Short: "Delete messages of a dead-letter queue",
		Long: `Delete the messages of a dead-letter queue that the options select, or all with
--all. It shows how many there are and asks before it deletes them, unless --yes
is given.`,
		Example: "  scout dlq drop --topic debug --older-than 72h -c scout.yml",
		Args:    cobra.NoArgs,
	}, d.drop)
	d.addSelection(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&d.all, "all", false, "delete all messages")
	flags.IntVar(&d.limit, "limit", 0, "delete at most `N` messages; 0 is no limit")
	flags.BoolVar(&d.dryRun, "dry-run", false, "delete nothing, only count")
	flags.BoolVarP(&d.yes, "yes", "y", false, "do not ask")
	return cmd
}

func (d *dlqDrop) drop(ctx context.Context, _ []string) error {
	selects := d.topics != nil || d.reasons != nil || d.ids != nil || d.older > 0 || d.newer > 0
	switch {
	case d.limit < 0:
		return &failedError{errors.New("--limit must not be negative"), exitUsage}
	case selects == d.all:
		return &failedError{errors.New("say which messages to drop: either --all, or one or more of --topic, --reason, --id, --older-than and --newer-than"), exitUsage}
	case !d.yes && !d.dryRun && !isTerminal(d.cmd.InOrStdin()):
		return &failedError{errors.New("there is no terminal to ask at; use --yes to drop the messages without a question, or --dry-run to count them"), exitUsage}
	}
	drop := &deadletter.Drop{Scan: d.scan, Selection: d.selection(), Limit: d.limit}
	stop := d.showProgress(func() (int, string) { return drop.Read.Count(), "" })
	drop.Confirm = func(ctx context.Context, selected *deadletter.Summary) (bool, error) {
		stop()
		stop = func() {}
		if d.dryRun || d.yes {
			return d.yes && !d.dryRun, nil
		}
		return d.ask(ctx, selected)
	}
	result, err := drop.Run(ctx)
	stop()
	p := drop.Progress()
	switch {
	case err != nil && drop.Read.Count() == 0:
	case d.output == "json":
		err = errors.Join(err, writeJSON(d.out(), dlqRedriven{d.summarize(&drop.Read, result), newDLQProgress(p, d.dryRun), result.Returned}))
	case d.dryRun:
		fmt.Fprintf(d.out(), "%d of %s would be deleted from %s\n", p.Selected, plural(drop.Read.Count(), "message"), d.scan.Queue.Name())
	default:
		fmt.Fprintf(d.out(), "%d of %s deleted from %s; %s back in it\n", p.Deleted, plural(drop.Read.Count(), "message"), d.scan.Queue.Name(), are(result.Returned))
	}
	d.noteResult(drop.Read.Count(), result)
	return failure(err, p)
}

// ask asks whether the selected messages may be deleted. Only yes is a yes.
func (d *dlqDrop) ask(ctx context.Context, selected *deadletter.Summary) (bool, error) {
	w := d.cmd.ErrOrStderr()
	for _, g := range selected.Groups() {
		fmt.Fprintf(w, "%7d  %s %s, %s %s\n", g.Count, g.Source, g.Label, g.Outcome, g.Reason)
	}
	behind := ""
	if d.scan.Queue.FIFO {
		behind = " and those behind them that fit the options"
	}
	fmt.Fprintf(w, "Delete %s%s from %s for good? Type yes: ", plural(selected.Count(), "message"), behind, d.scan.Queue.Name())
	answer := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(d.cmd.InOrStdin()).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			line = ""
		}
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
