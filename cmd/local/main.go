// Command scout moves the messages of an SQS queue into Sidekiq jobs. It is
// the daemon, and it holds the tools for the laptop: dev, check and explain.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"scout/config"
)

// Exit codes, on which scripts rely.
const (
	exitOK     = 0
	exitFailed = 1 // while running
	exitUsage  = 2 // wrong arguments or a wrong configuration
)

// version is set by the build of a release.
var version = ""

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command. It returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(scout1Args(args))
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	failure, ok := errors.AsType[*failedError](err)
	if !ok { // from cobra: the command did not run at all
		fmt.Fprintf(stderr, "scout: %v; see scout --help\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "scout: %v\n", err)
	return failure.code
}

// scout1Args gives the long flags their second dash, which Scout 1.x did not ask for.
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

// A failedError is why a command that did run ends with an exit code.
type failedError struct {
	error
	code int
}

func (f *failedError) Unwrap() error { return f.error }

// runs makes a cobra command's function of one that may fail while running.
func runs(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd, args)
		if err == nil {
			return nil
		}
		if failure, ok := errors.AsType[*failedError](err); ok {
			return failure
		}
		return &failedError{err, exitFailed}
	}
}

// options are the flags that all commands have.
type options struct {
	config   string
	logLevel string
	json     bool
}

func newRootCommand() *cobra.Command {
	o := &options{}
	daemon := &daemon{options: o}
	root := &cobra.Command{
		Use:   "scout",
		Short: "Scout turns the messages of an SQS queue into Sidekiq jobs",
		Long: `Scout takes every message of an SQS queue that is subscribed to SNS topics,
finds the worker for its topic in the configuration, pushes a Sidekiq job to
Redis, and only then deletes the message.

Without a command, scout runs as a daemon until SIGTERM or SIGINT.`,
		Args:          cobra.NoArgs,
		Version:       versionOf(debug.ReadBuildInfo()),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          runs(daemon.run),
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVarP(&o.config, "config", "c", "", "the configuration: a `FILE`, or ssm:/path/name; else as SCOUT_CONFIG says")
	flags.StringVarP(&o.logLevel, "log-level", "l", "info", "debug, info, warn or error")
	flags.BoolVarP(&o.json, "json", "j", false, "log in JSON")
	daemon.flags(root)

	run := &cobra.Command{
		Use:   "run",
		Short: "Poll the queue and push jobs until a signal (the default)",
		Args:  cobra.NoArgs,
		RunE:  runs(daemon.run),
	}
	daemon.flags(run)
	root.AddCommand(run, newDevCommand(o), newCheckCommand(o), newExplainCommand(o), newManCommand())
	return root
}

func versionOf(info *debug.BuildInfo, ok bool) string {
	if version == "" && ok {
		return info.Main.Version
	}
	return version
}

// load loads the configuration. What is wrong with it counts as wrong usage.
func (o *options) load(ctx context.Context, loader config.Loader) (*config.Config, error) {
	c, err := loader.Load(ctx, o.config)
	if err != nil {
		return nil, &failedError{err, exitUsage}
	}
	return c, nil
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT.
// The second then has its usual effect and ends the process at once.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(parent, syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
