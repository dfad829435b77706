package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/handler"
	"scout/internal/explain"
	"scout/internal/printable"
)

func newExplainCommand(o *options) *cobra.Command {
	var strict bool
	var format string
	cmd := &cobra.Command{
		Use:   "explain FILE",
		Short: "Show the jobs that Scout would make from a Lambda event or a message",
		Long: `Show the source, the route and the outcome of each message in FILE (- for
standard input): the jobs that Scout would push, that it would ignore the message,
or why it would reject it. Scout pushes nothing. If the configuration has several
queues and a message does not name the one that it comes from, Scout shows the
message for each queue.

FILE holds a Lambda event, the output of aws sqs receive-message, one record or
message of these, or the body of one message.

The exit code is 0 if all messages are explained, 1 if FILE contains no messages
or, with --strict, if Scout would reject one of them, and 2 if the arguments or
the configuration are invalid.`,
		Example: `  scout explain -c scout.yml message.json
  aws sqs receive-message --queue-url URL | scout explain -c scout.yml --strict -`,
		Args: cobra.ExactArgs(1),
		RunE: withExitCode(func(cmd *cobra.Command, args []string) error {
			// Explaining pushes nothing and therefore needs no secrets.
			c, err := o.load(cmd.Context(), config.Loader{LocalRedis: "redis://localhost"})
			if err != nil {
				return err
			}
			warnOfMissingManifest(cmd.ErrOrStderr(), c)
			text, err := readInput(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			messages := explain.Parse(text)
			if len(messages) == 0 {
				return errors.New("nothing to explain: the input contains no messages")
			}
			explained := explainAll(c, messages)
			err = (&explainPrinter{w: cmd.OutOrStdout(), config: c}).print(format, explained)
			if rejected := countRejected(explained); err == nil && strict && rejected > 0 {
				return fmt.Errorf("%d of %d messages would be rejected", rejected, len(messages))
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 if Scout would reject a message")
	addOutputFlag(cmd, &format, "text", "json")
	return cmd
}

func readInput(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return explain.Read(stdin)
	}
	return explain.ReadFile(file)
}

// An explained message has a result for the queue that it comes from or, if it
// names none, for each queue.
type explained struct {
	explain.Message
	results []explain.Result
}

func explainAll(c *config.Config, messages []explain.Message) []explained {
	explainer := explain.New(c)
	all := make([]explained, len(messages))
	for i, m := range messages {
		if m.IsBody {
			m.MessageId = unknownID
		}
		all[i].Message = m
		for _, q := range explainer.Queues(&m.SQSMessage) {
			all[i].results = append(all[i].results, explainer.Explain(q, m.SQSMessage))
		}
	}
	return all
}

// countRejected returns how many messages at least one queue would reject.
func countRejected(all []explained) (n int) {
	for _, m := range all {
		if slices.ContainsFunc(m.results, func(r explain.Result) bool { return r.Rejection != nil }) {
			n++
		}
	}
	return n
}

// An explainPrinter prints what Scout would do with messages. It escapes text from
// others.
type explainPrinter struct {
	w      io.Writer
	config *config.Config
	brief  bool // print no payloads of jobs
	jobs   int  // number of printed jobs
}

func (p *explainPrinter) print(format string, all []explained) error {
	if format == "json" {
		return p.printJSON(all)
	}
	p.printText(all)
	return nil
}

// printJSON prints the results. A body alone has no SQS message id.
func (p *explainPrinter) printJSON(all []explained) error {
	out := struct {
		Messages []explain.Result `json:"messages"`
	}{}
	for _, m := range all {
		for _, r := range m.results {
			if m.IsBody {
				r.SQSMessageID = ""
			}
			r.Oddities = m.Oddities
			out.Messages = append(out.Messages, r)
		}
	}
	return writeJSON(p.w, out)
}

func (p *explainPrinter) printText(all []explained) {
	for i, m := range all {
		id := m.MessageId
		if m.IsBody {
			id = ""
		}
		fmt.Fprintf(p.w, "message %d of %d  %s\n", i+1, len(all), printable.Text(id, maxShown))
		for _, oddity := range m.Oddities {
			p.line("odd", printable.Text(oddity, maxShown))
		}
		for _, r := range m.results {
			if len(p.config.Queues) > 1 {
				p.line("queue", cmp.Or(r.Queue.Name, r.Queue.URL))
			}
			p.printResult(r)
		}
	}
	if ttl := p.config.Redis.DedupTTL; ttl > 0 && p.jobs > 0 {
		fmt.Fprintf(p.w, "\nWithin dedup_ttl (%v), a message with the same jid makes no second job, even if SNS replays it.\n", ttl)
	}
}

const (
	// maxShown is the maximum length in bytes of a name that others chose.
	maxShown = 256

	// unknownID stands for the SQS message id, which a body alone does not have.
	unknownID = "00000000-0000-0000-0000-000000000000"
)

func (p *explainPrinter) printResult(r explain.Result) {
	p.line("source", source(r.Translation))
	if r.TopicARN != "" {
		p.line("topic", printable.Text(r.TopicARN, maxShown))
	}
	if route, ok := r.MatchedRoute(); ok {
		p.line("route", describe(route))
	}
	if r.Rejection != nil {
		p.line("rejected", fmt.Sprintf("%s (%s)", printable.Text(r.Rejection.Detail, 0), r.Rejection.Reason))
		if r.Queue.DeadSet {
			p.line("dead set", "the message goes there, because of rejected: dead, instead of back to the queue")
		}
	}
	if r.Ignored {
		p.line("ignored", "Scout deletes the message without a job")
	}
	if identity := describeIdentity(r.Queue, r.Translation); len(r.Jobs) > 0 && identity != "" {
		if r.SQSMessageID == unknownID {
			identity += "; the input has none, so this jid is an example"
		}
		p.line("identity", identity)
	}
	for i, job := range r.Jobs {
		if p.brief {
			p.line("job", fmt.Sprintf("%s on %s, jid %s", job.Class, job.Queue, job.JID))
		} else {
			p.line("job", displayJSON(job.Payload))
		}
		if options := config.DescribeOrigins(r.Origins[i]); options != "" {
			p.line("options", options)
		}
	}
	p.jobs += len(r.Jobs)
}

// source returns where a message comes from: the source and, unless it is a topic,
// what the source says.
func source(t handler.Translation) string {
	if t.Label == "" || t.Source == handler.SourceSNS {
		return string(t.Source)
	}
	return string(t.Source) + " " + t.Label
}

// describeIdentity says that the jid depends on the SQS message id, "" if it does not.
func describeIdentity(q config.Queue, t handler.Translation) string {
	switch {
	case t.MessageID != "":
	case t.Source == handler.SourceSNS:
		return "the SQS message id, because the envelope has no MessageId"
	case t.Source == handler.SourceEventBridge:
		return "the SQS message id, because the event has no id"
	case t.Source == handler.SourcePlain && q.MessageID == (handler.Selector{}):
		return "the SQS message id; see message_id"
	}
	return ""
}

func (p *explainPrinter) line(label, text string) {
	fmt.Fprintf(p.w, "  %-8s  %s\n", label, text)
}

// describe returns a route in one line: its key in the configuration and what
// becomes of the messages.
func describe(route handler.Route) string {
	return route.Key + " → " + strings.Join(describeOutcome(route.Outcome), ", ")
}

// describeOutcome returns the parts of an outcome. A choice is one part, with all
// that can be chosen.
func describeOutcome(o handler.Outcome) []string {
	switch o := o.(type) {
	case handler.Worker:
		return []string{o.Class + " on " + o.Queue}
	case handler.List:
		var parts []string
		for _, element := range o {
			parts = append(parts, describeOutcome(element)...)
		}
		return parts
	case handler.Choice:
		var choices []string
		add := func(o handler.Outcome) {
			if c := strings.Join(describeOutcome(o), " and "); !slices.Contains(choices, c) {
				choices = append(choices, c)
			}
		}
		for _, r := range o.To {
			add(r.Outcome)
		}
		if o.Else != nil {
			add(o.Else)
		}
		return []string{"by " + o.By.String() + ": " + strings.Join(choices, " or ")}
	}
	return []string{"ignore"}
}

// displayJSON returns JSON for the terminal: on one line, and with the characters
// escaped that could forge other lines or control the terminal. Numbers stay as
// they are.
func displayJSON(text []byte) string {
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil {
		b.Write(text)
	}
	return printable.Text(b.String(), 0)
}
