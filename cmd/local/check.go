package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/audit"
	"scout/internal/sqsclient"
)

func newCheckCommand(o *options) *cobra.Command {
	c := &checkCommand{options: o}
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate the configuration and, with --online, audit Redis and AWS",
		Long: `Validate the configuration and print it with its defaults and without secrets.

With --online, also connect to Redis, SQS and SNS, and report necessary changes:
permissions, the queue's policy, its dead-letter queue and its key, subscriptions,
raw message delivery, topics without a route. If AWS denies a call, the finding names
the missing permission.

The check changes nothing. It tests the permissions to delete messages and to
change their visibility with a receipt handle that does not exist. It receives
only from empty queues, because a receive can move a message to the dead-letter
queue; --try-receive receives from all queues.

With --output json, it prints {"ok": BOOL, "findings": [...]} instead. Findings have
a severity (error, warning or unknown), area (config, redis, queue, topic or dlq),
subject, message, fix, file and line.

FILE is the configuration, as with --config.

The exit code is 1 if Redis or AWS have an error, 2 if the arguments or the
configuration are invalid, and 0 otherwise, even if there are warnings.`,
		Example: `  scout check scout.yml
  scout check scout.yml --online --output json | jq -r '.findings[] | .severity + " " + .message'`,
		Args: cobra.MaximumNArgs(1),
		RunE: withExitCode(c.run),
	}
	cmd.Flags().BoolVar(&c.online, "online", false, "also connect to Redis, SQS and SNS")
	cmd.Flags().BoolVar(&c.tryReceive, "try-receive", false, "poll for one second and possibly receive a message, even if the queue is not empty; implies --online")
	addOutputFlag(cmd, &c.output, "text", "json")
	return cmd
}

// A checkCommand holds the flags of scout check.
type checkCommand struct {
	*options
	online, tryReceive bool
	output             string
}

func (c *checkCommand) run(cmd *cobra.Command, args []string) error {
	if err := c.takeFile(args); err != nil {
		return err
	}
	if c.output == "text" {
		return c.check(cmd.Context(), newReport(cmd.OutOrStdout()))
	}
	r := newReport(io.Discard)
	err := c.check(cmd.Context(), r)
	if written := r.writeJSON(cmd.OutOrStdout()); err == nil {
		err = written
	}
	return err
}

func (c *checkCommand) check(ctx context.Context, r *report) error {
	loaded, err := c.load(ctx, config.Loader{AWS: sqsclient.AWSConfig, Tests: true})
	if err != nil {
		errs, ok := errors.AsType[config.Errors](err)
		if !ok {
			errs = config.Errors{{Message: err.Error()}}
		}
		r.addConfig(audit.Error, errs)
		return err
	}
	fmt.Fprintf(r.w, "# The configuration is valid.\n%s", loaded)
	for _, warning := range loaded.Warnings {
		fmt.Fprintf(r.w, "# Warning: %v\n", warning)
	}
	r.addConfig(audit.Warning, loaded.Warnings)
	if loaded.Queues[0].Label() == "" {
		fmt.Fprintln(r.w, "# It names no SQS queue: scout run needs one, the Lambda function does not.")
	}
	if !c.online && !c.tryReceive {
		return nil
	}
	checkRedisOnline(ctx, loaded, r)
	checkQueuesOnline(ctx, loaded, c.tryReceive, r)
	if r.failed > 0 {
		return fmt.Errorf("%s failed", plural(r.failed, "check"))
	}
	return nil
}

// takeFile uses the argument, if there is one, as the configuration.
func (o *options) takeFile(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if o.config != "" {
		return &failedError{errors.New("the configuration is given twice: as an argument and with --config"), exitUsage}
	}
	o.config = args[0]
	return nil
}

// A report prints findings, one per line. It collects those that are not OK.
type report struct {
	audit.Reporter // of the findings that follow
	w              io.Writer
	findings       []audit.Finding
	failed         int
}

func newReport(w io.Writer) *report {
	r := &report{w: w}
	r.Add = r.add
	return r
}

// begin prints a heading for the findings that follow.
func (r *report) begin(area audit.Area, subject, heading string) {
	r.Area, r.Subject = area, subject
	fmt.Fprintf(r.w, "# %s\n", heading)
}

// marks are the first characters of the lines of findings.
var marks = map[audit.Severity]string{audit.OK: "ok  ", audit.Warning: "warn", audit.Unknown: "skip", audit.Error: "FAIL"}

func (r *report) add(f audit.Finding) {
	line := f.Message
	if f.Fix != "" {
		line += "; " + f.Fix
	}
	fmt.Fprintf(r.w, "%s  %s\n", marks[f.Severity], line)
	if f.Severity != audit.OK {
		r.findings = append(r.findings, f)
	}
	if f.Severity == audit.Error {
		r.failed++
	}
}

// addConfig adds findings about the configuration, without printing them.
func (r *report) addConfig(severity audit.Severity, errs config.Errors) {
	for _, e := range errs {
		r.findings = append(r.findings, audit.Finding{
			Severity: severity, Area: audit.AreaConfig, Subject: e.Key, Message: e.Message, File: e.Source, Line: e.Line,
		})
		if severity == audit.Error {
			r.failed++
		}
	}
}

// writeJSON writes the findings. The report is OK unless a check failed.
func (r *report) writeJSON(w io.Writer) error {
	return writeJSON(w, struct {
		OK       bool            `json:"ok"`
		Findings []audit.Finding `json:"findings"`
	}{r.failed == 0, append([]audit.Finding{}, r.findings...)})
}
