package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// newManCommand returns the command that the packages' manual page comes from.
// It is written here and not by cobra/doc, which makes a page of each command
// and would bring a Markdown parser into the binary.
func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man",
		Short:  "Print the manual page, for man -l -",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: withExitCode(func(cmd *cobra.Command, _ []string) error {
			_, err := io.WriteString(cmd.OutOrStdout(), manual(cmd.Root()))
			return err
		}),
	}
}

// manual returns scout(1): what the commands say about themselves, and what
// only the manual says.
func manual(root *cobra.Command) string {
	root.InitDefaultHelpFlag()
	root.InitDefaultVersionFlag()
	var b strings.Builder
	fmt.Fprintf(&b, ".TH SCOUT 1 \"\" \"Scout %s\" \"User Commands\"\n", root.Version)
	fmt.Fprintf(&b, ".SH NAME\nscout \\- %s\n", roff(strings.TrimPrefix(root.Short, "Scout ")))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B scout\n[\\fICOMMAND\\fR] [\\fIOPTION\\fR]...\n")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n.SH OPTIONS\n%s.SH COMMANDS\n", roff(root.Long), manualFlags(root))
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" || !cmd.IsAvailableCommand() {
			continue
		}
		about := cmd.Long
		if about == "" {
			about = cmd.Short + "."
		}
		fmt.Fprintf(&b, ".SS %s\n%s\n%s", roff("scout "+cmd.Use), roff(about), manualFlags(cmd))
	}
	return b.String() + manualEnd
}

// manualFlags returns the flags of a command alone. FlagUsages has a line of
// each, the flag and then, after three spaces or more, what it does.
func manualFlags(cmd *cobra.Command) string {
	var b strings.Builder
	for line := range strings.Lines(cmd.LocalFlags().FlagUsages()) {
		flag, about, _ := strings.Cut(strings.TrimSpace(line), "   ")
		fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(flag), roff(strings.TrimSpace(about)))
	}
	return b.String()
}

// roff returns text as it is written in a page: hyphens that can be copied,
// nothing at the start of a line that is a request, a blank line as a paragraph.
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
Done; of the daemon, that it was told to stop and lost nothing.
.TP
.B 1
Failed while running.
.TP
.B 2
Wrong usage, or a wrong configuration.
.SH SIGNALS
.TP
.BR SIGTERM ", " SIGINT
Receive no more, finish what is in hand, delete it, and exit. A long poll under
way is waited for, 20 seconds by default, for SQS may have given out its
messages already. A second signal ends Scout at once.
.TP
.B SIGHUP
Read the configuration again. If it is wrong, the one in use stays so.
.SH ENVIRONMENT
.TP
.B SCOUT_CONFIG
The configuration, if there is no
.BR \-\-config :
the path of a file, ssm:/path/name in Parameter Store, or the YAML itself.
.TP
.B REDIS_URL
Where Redis is, if the configuration does not say.
.TP
.B AWS_*
As for every program that uses an AWS SDK: credentials, region, endpoint.
.SH FILES
The packages come with a systemd unit that runs an instance for each app.
.TP
.I /etc/scout/APP.yml
The configuration of scout@APP.service. It holds secrets; let only root read it.
.TP
.I /etc/scout/APP.env
Environment variables of that instance, if it needs any. Those in SCOUT_OPTIONS
are options of its command line, such as \-\-listen 9464.
.TP
.I /usr/share/doc/scout/scout.yml.example
A configuration to start from.
.SH EXAMPLES
Check a configuration, what it connects to as well:
.PP
.RS
scout check \-\-online \-c scout.yml
.RE
.PP
Run Scout for the app shop, now and after each boot:
.PP
.RS
systemctl enable \-\-now scout@shop
.RE
.SH SEE ALSO
.BR systemctl (1),
.BR journalctl (1)
`
