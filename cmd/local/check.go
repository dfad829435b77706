package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/sqsclient"
)

func newCheckCommand(o *options) *cobra.Command {
	var online, tryReceive bool
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate the configuration and, with --online, check Redis and SQS",
		Long: `Validate the configuration and print it with its defaults and without secrets.

With --online, also connect to Redis and SQS, and say what to change there. The
exit code is 1 if something there would keep Scout from working or lose messages.

The check changes nothing. It tests the permissions to delete messages and to
change their visibility with a receipt handle that does not exist. It receives
only from empty queues, because a receive can move a message to the dead-letter
queue; --try-receive receives from all queues.

FILE is the configuration, as with --config.`,
		Example: `  scout check scout.yml
  scout check -c scout.yml --online`,
		Args: cobra.MaximumNArgs(1),
		RunE: withExitCode(func(cmd *cobra.Command, args []string) error {
			if err := o.takeFile(args); err != nil {
				return err
			}
			online = online || tryReceive
			c, err := o.load(cmd.Context(), config.Loader{AWS: sqsclient.AWSConfig, Tests: true})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "# The configuration is valid.\n%s", c)
			printWarnings(cmd.OutOrStdout(), c)
			if c.Queues[0].Label() == "" {
				fmt.Fprintln(cmd.OutOrStdout(), "# It names no SQS queue: scout run needs one, the Lambda function does not.")
			}
			if !online {
				return nil
			}
			report := &report{w: cmd.OutOrStdout()}
			ctx, cancel := context.WithTimeout(cmd.Context(), 30*time.Second)
			defer cancel()
			checkRedisOnline(ctx, c, report)
			checkQueuesOnline(ctx, c, tryReceive, report)
			if report.failed > 0 {
				return fmt.Errorf("%d checks failed", report.failed)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&online, "online", false, "also connect to Redis and SQS")
	cmd.Flags().BoolVar(&tryReceive, "try-receive", false, "receive a message, for a second, even if the queue is not empty; implies --online")
	return cmd
}

func printWarnings(w io.Writer, c *config.Config) {
	for _, warning := range c.Warnings {
		fmt.Fprintf(w, "# Warning: %v\n", warning)
	}
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

// A report prints one finding per line.
type report struct {
	w      io.Writer
	failed int
}

func (r *report) ok(format string, args ...any)   { r.line("ok  ", format, args...) }
func (r *report) warn(format string, args ...any) { r.line("warn", format, args...) }

// skip reports a check that did not run.
func (r *report) skip(format string, args ...any) { r.line("skip", format, args...) }
func (r *report) fail(format string, args ...any) { r.failed++; r.line("FAIL", format, args...) }

func (r *report) line(kind, format string, args ...any) {
	fmt.Fprintf(r.w, "%s  %s\n", kind, fmt.Sprintf(format, args...))
}
