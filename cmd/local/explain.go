package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/spf13/cobra"

	"scout/config"
	"scout/handler"
	"scout/internal/printable"
)

func newExplainCommand(o *options) *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "explain FILE",
		Short: "Show the jobs that Scout would make from a Lambda event or a message",
		Long: `Show for each message in FILE (- for standard input) its source, its route, and
the jobs that Scout would push, that it would ignore the message, or the reason
why it would reject it. Scout pushes nothing. If the configuration has several queues and a message does
not name the one that it comes from, it is shown for each queue.

FILE holds a Lambda event, the output of aws sqs receive-message, one record or
message of these, or the body of one message.

The exit code is 0 if all messages are explained, 1 if FILE contains no messages
or, with --strict, if Scout would reject one of them, and 2 if the arguments or
the configuration are invalid.`,
		Args: cobra.ExactArgs(1),
		RunE: withExitCode(func(cmd *cobra.Command, args []string) error {
			// Explaining pushes nothing and therefore needs no secrets.
			c, err := o.load(cmd.Context(), config.Loader{LocalRedis: "redis://localhost"})
			if err != nil {
				return err
			}
			text, err := readInput(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			messages := parseMessages(text)
			if len(messages) == 0 {
				return errors.New("nothing to explain: the input contains no messages")
			}
			e := &explainer{w: cmd.OutOrStdout(), config: c}
			e.explain(messages)
			if strict && e.rejected > 0 {
				return fmt.Errorf("%d of %d messages would be rejected", e.rejected, len(messages))
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 if Scout would reject a message")
	return cmd
}

func readInput(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// An explainer prints what Scout would do with messages. It escapes text that others
// wrote.
type explainer struct {
	w        io.Writer
	config   *config.Config
	jobs     int // that were printed
	rejected int // messages
}

func (e *explainer) explain(messages []message) {
	for i := range messages {
		m := &messages[i]
		fmt.Fprintf(e.w, "message %d of %d  %s\n", i+1, len(messages), printable.Text(m.MessageId, maxShown))
		for _, oddity := range m.oddities {
			e.line("odd", printable.Text(oddity, maxShown))
		}
		if m.isBody {
			m.MessageId = unknownID
		}
		rejected := false
		for _, q := range queuesOf(&m.SQSMessage, e.config.Queues) {
			if len(e.config.Queues) > 1 {
				e.line("queue", cmp.Or(q.Name, q.URL))
			}
			rejected = !e.explainIn(q, m.SQSMessage) || rejected
		}
		if rejected {
			e.rejected++
		}
	}
	if ttl := e.config.Redis.DedupTTL; ttl > 0 && e.jobs > 0 {
		fmt.Fprintf(e.w, "\nWithin dedup_ttl (%v), a message with the same jid makes no second job, even if SNS replays it.\n", ttl)
	}
}

const (
	// maxShown is the maximum length in bytes of a name that others chose.
	maxShown = 256

	// unknownID stands for the SQS message id, which a body alone does not have.
	unknownID = "00000000-0000-0000-0000-000000000000"
)

// explainIn explains a message of a queue. It reports whether Scout would accept it.
func (e *explainer) explainIn(q config.Queue, m events.SQSMessage) bool {
	m.EventSourceARN = cmp.Or(m.EventSourceARN, ":"+q.Label()) // the id of plain messages depends on the queue's name
	t, err := e.config.Router(q).Translate(&m, time.Now())
	e.line("source", source(t))
	if t.TopicARN != "" {
		e.line("topic", printable.Text(t.TopicARN, maxShown))
	}
	if route, ok := findRoute(q, t); ok {
		e.line("route", describe(route))
	}
	if rejection, ok := errors.AsType[*handler.Rejection](err); ok {
		e.line("rejected", fmt.Sprintf("%s (%s)", printable.Text(rejection.Detail, 0), rejection.Reason))
		if q.DeadSet {
			e.line("dead set", "the message goes there, because of rejected: dead, instead of back to the queue")
		}
	}
	if t.Ignored {
		e.line("ignored", "Scout deletes the message without a job")
	}
	if identity := describeIdentity(q, t); len(t.Jobs) > 0 && identity != "" {
		if m.MessageId == unknownID {
			identity += "; the input has none, so this jid is an example"
		}
		e.line("identity", identity)
	}
	for _, job := range t.Jobs {
		e.line("job", displayJSON(job.Payload))
	}
	e.jobs += len(t.Jobs)
	return err == nil
}

// source returns where a message comes from: the source and, unless it is a topic,
// what the source says.
func source(t handler.Translation) string {
	if t.Label == "" || t.Source == handler.SourceSNS {
		return string(t.Source)
	}
	return string(t.Source) + " " + t.Label
}

// findRoute returns the route of the queue that a translation followed.
func findRoute(q config.Queue, t handler.Translation) (handler.Route, bool) {
	routes := map[handler.Source][]handler.Route{
		handler.SourceSNS:         q.Topics,
		handler.SourceEventBridge: q.EventBridge,
		handler.SourceS3:          q.S3,
		handler.SourcePlain:       {{Key: "plain", Outcome: q.Plain}},
	}[t.Source]
	i := slices.IndexFunc(routes, func(r handler.Route) bool { return r.Key == t.Route })
	if i < 0 {
		return handler.Route{}, false
	}
	return routes[i], true
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

func (e *explainer) line(label, text string) {
	fmt.Fprintf(e.w, "  %-8s  %s\n", label, text)
}

// queuesOf returns the queue that the message comes from, or all queues if the
// message does not name one.
func queuesOf(m *events.SQSMessage, queues []config.Queue) []config.Queue {
	for _, q := range queues {
		name := q.Label()
		if name != "" && strings.HasSuffix(m.EventSourceARN, ":"+name) {
			return []config.Queue{q}
		}
	}
	return queues
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
