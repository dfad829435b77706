package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// newManCommand returns the command that prints the manual page of the packages.
// It does not use cobra/doc, which writes a page for each command and would add
// a Markdown parser to the binary.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man",
		Short:  "Print the manual page; view it with man -l -",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: withExitCode(func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), manual(cmd.Root()))
			return err
		}),
	}
}

// manual returns scout(1): the help of the commands, followed by manualEnd.
func manual(root *cobra.Command) string {
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	var b strings.Builder
	fmt.Fprintf(&b, ".TH SCOUT 1 \"\" \"Scout %s\" \"User Commands\"\n", root.Version)
	fmt.Fprintf(&b, ".SH NAME\nscout \\- %s\n", roff(strings.TrimPrefix(root.Short, "Scout ")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B scout\n[\\fICOMMAND\\fR] [\\fIOPTION\\fR]...\n")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n.SH OPTIONS\n%s.SH COMMANDS\n", roff(root.Long), manualFlags(root))
	for _, cmd := range runnable(root) {
		about := cmd.Long
		if about == "" {
			about = cmd.Short + "."
		}
		fmt.Fprintf(&b, ".SS %s\n%s\n%s%s", roff(cmd.CommandPath()+strings.TrimPrefix(cmd.Use, cmd.Name())), roff(about), manualFlags(cmd), manualExample(cmd))
	}
	return b.String() + manualEnd
}

// runnable returns the commands below cmd that are neither hidden nor only a group
// of commands.
func runnable(cmd *cobra.Command) (commands []*cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case sub.Name() == "help" || !sub.IsAvailableCommand():
		case sub.HasAvailableSubCommands():
			commands = append(commands, runnable(sub)...)
		default:
			commands = append(commands, sub)
		}
	}
	return commands
}

// manualFlags returns a command's own flags. Each line of FlagUsages has a flag
// and, after three or more spaces, its description.
func manualFlags(cmd *cobra.Command) string {
	var b strings.Builder
	for line := range strings.Lines(cmd.LocalFlags().FlagUsages()) {
		flag, about, _ := strings.Cut(strings.TrimSpace(line), "   ")
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(flag), roff(strings.TrimSpace(about)))
	}
	return b.String()
}

// manualExample returns the lines of a command's examples.
func manualExample(cmd *cobra.Command) string {
	if cmd.Example == "" {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(cmd.Example) {
		fmt.Fprintln(&b, roff(strings.TrimSpace(line)))
	}
	return ".PP\nExamples:\n.PP\n.RS\n.nf\n" + b.String() + ".fi\n.RE\n"
}

// roff escapes text for the page: hyphens can be copied, no line starts with a
// request, and a blank line starts a paragraph.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'", "\n\n", "\n.PP\n").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}

const manualEnd = `.SH EXIT STATUS
.TP
.B 0
Success. For the daemon: it stopped after a signal and lost no message.
.TP
.B 1
Failure at run time.
.TP
.B 2
Wrong usage or an invalid configuration.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Receive no more messages, finish those in flight, delete them, and exit. Scout
waits for long polls, 20 seconds by default, because SQS may already have
delivered their messages. A second signal ends Scout immediately.
.TP
.B SIGHUP
Reload the configuration. If it is invalid, Scout keeps the previous one.
.SH ENVIRONMENT
.TP
.B SCOUT_CONFIG
The configuration, used without
.BR \-\-config :
the path of a file, ssm:/path/name in Parameter Store, or the YAML itself.
.TP
.B REDIS_URL
The URL of Redis, used if the configuration has none.
.TP
.B NO_COLOR
If not empty, the output on a terminal has no colors.
.TP
.B AWS_*
Credentials, region and endpoint, as for every program that uses an AWS SDK.
.SH FILES
The packages contain a systemd unit that runs one instance for each app.
.TP
.I /etc/scout/APP.yml
The configuration of scout@APP.service. It holds secrets: only root should be able
to read it.
.TP
.I /etc/scout/APP.env
Optional environment variables of that instance. SCOUT_OPTIONS holds further
command-line options, such as \-\-listen 9464.
.TP
.I /usr/share/doc/scout/scout.yml.example
A configuration to start from.
.SH EXAMPLES
Check a configuration, Redis and SQS:
.PP
.RS
scout check \-\-online \-c scout.yml
.RE
.PP
Run Scout for the app shop, now and after every boot:
.PP
.RS
systemctl enable \-\-now scout@shop
.RE
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
`
