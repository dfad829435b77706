// Command scout turns the messages of SQS queues into Sidekiq jobs. Besides the
// daemon it holds the tools for a laptop: dev, check and explain.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/earlysignal"
)

// Exit codes. Scripts rely on them.
const (
	exitOK     = 0
	exitFailed = 1 // at run time
	exitUsage  = 2 // invalid arguments or an invalid configuration
)

// version is set when a release is built.
var version = ""

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run runs the command and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	log.SetOutput(io.Discard) // the standard library prints what servers send
	o := &options{}
	root := newRootCommand(o)
	root.SetArgs(scout1Args(args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	failure, ok := errors.AsType[*failedError](err)
	if !ok { // from cobra, which did not run the command
		failure = &failedError{fmt.Errorf("%w; see scout --help", err), exitUsage}
	}
	if o.json || slices.Contains(args, "-j") || slices.Contains(args, "--json") { // not parsed if a flag before it is unknown
		slog.New(slog.NewJSONHandler(stderr, nil)).Error("command failed", "error", failure.Error(), "exit_code", failure.code)
	} else {
		fmt.Fprintf(stderr, "scout: %v\n", failure)
	}
	return failure.code
}

// scout1Args adds the second dash to long flags, which Scout 1.x accepted with one.
func scout1Args(args []string) []string {
	args = slices.Clone(args)
	for i, arg := range args {
		name, _, _ := strings.Cut(arg, "=")
		if slices.Contains([]string{"-config", "-freq", "-log-level", "-json", "-version", "-help"}, name) {
			args[i] = "-" + arg
		}
	}
	return args
}

// A failedError is the error of a command that ran, with its exit code.
type failedError struct {
	error
	code int
}

func (f *failedError) Unwrap() error { return f.error }

// withExitCode returns a command's function that a signal ends at once. Errors of
// f get an exit code: exitFailed unless they have one.
func withExitCode(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		earlysignal.Restore()
		return addExitCode(f(cmd, args))
	}
}

// untilSignal is withExitCode for a command that runs until the first SIGTERM or
// SIGINT, which ends its context. The second signal ends the process at once. An
// error of f after a signal is ignored, because the signal may have caused it.
func untilSignal(f func(ctx context.Context, cmd *cobra.Command) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		ctx, cancel := earlysignal.Until(cmd.Context())
		defer cancel()
		if err := f(ctx, cmd); ctx.Err() == nil {
			return addExitCode(err)
		}
		return nil
	}
}

func addExitCode(err error) error {
	if err == nil {
		return nil
	}
	if failure, ok := errors.AsType[*failedError](err); ok {
		return failure
	}
	return &failedError{err, exitFailed}
}

// options are the flags of all commands.
type options struct {
	config   string
	logLevel string
	json     bool
}

func newRootCommand(o *options) *cobra.Command {
	daemon := &runCommand{options: o}
	root := &cobra.Command{
		Use:   "scout",
		Short: "Scout turns the messages of an SQS queue into Sidekiq jobs",
		Long: `Scout takes every message of an SQS queue that is subscribed to SNS topics,
finds the worker for its topic in the configuration, pushes a Sidekiq job to
Redis, and only then deletes the message.

Without a command, scout runs as a daemon until SIGTERM or SIGINT.`,
		Example: `  scout -c scout.yml --listen 9464
  scout check -c scout.yml --online`,
		Args:          cobra.NoArgs,
		Version:       versionOf(debug.ReadBuildInfo()),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          untilSignal(daemon.run),
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&o.config, "config", "c", "", "configuration `FILE` or ssm:/path/name; SCOUT_CONFIG if not given")
	flags.StringVarP(&o.logLevel, "log-level", "l", "info", "minimum level: debug, info, warn or error")
	flags.BoolVarP(&o.json, "json", "j", false, "log in JSON")
	daemon.addFlags(root)

	run := &cobra.Command{
		Use:   "run",
		Short: "Poll the queue and push jobs until a signal (default)",
		Example: `  scout run -c scout.yml
  scout run -c ssm:/scout/shop -j --listen 9464`,
		Args: cobra.NoArgs,
		RunE: untilSignal(daemon.run),
	}
	daemon.addFlags(run)
	root.AddCommand(run, newDevCommand(o), newCheckCommand(o), newInitCommand(o), newExplainCommand(o), newTestCommand(o), newDLQCommand(o), newSchemaCommand(), newManCommand())
	return root
}

// versionOf returns the version of a release, or else of the module.
func versionOf(info *debug.BuildInfo, ok bool) string {
	if version == "" && ok {
		return info.Main.Version
	}
	return version
}

// load loads the configuration. Its errors end the command with exitUsage.
func (o *options) load(ctx context.Context, loader config.Loader) (*config.Config, error) {
	c, err := loader.Load(ctx, o.config)
	if err != nil {
		return nil, &failedError{err, exitUsage}
	}
	return c, nil
}
