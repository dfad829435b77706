package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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
		Long: `Show for each message in FILE (- for standard input) its topic, its route, and
the job that Scout would push or the reason why it would reject the message.
Scout pushes nothing. If the configuration has several queues and a message does
not name the one that it comes from, it is shown for each queue.

FILE holds a Lambda event, the output of aws sqs receive-message, one record or
message of these, an SNS envelope, or any other message body.

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
			rejected = !e.explainIn(e.config.Router(q), &m.SQSMessage) || rejected
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
func (e *explainer) explainIn(router *handler.Router, m *events.SQSMessage) bool {
	t, err := router.Translate(m, time.Now())
	if t.TopicARN != "" {
		e.line("topic", printable.Text(t.TopicARN, maxShown))
	}
	if route, ok := router.Topic(t.TopicARN); t.TopicARN != "" && ok {
		e.line("route", describe(route))
	}
	if rejection, ok := errors.AsType[*handler.Rejection](err); ok {
		e.line("rejected", fmt.Sprintf("%s (%s)", printable.Text(rejection.Detail, 0), rejection.Reason))
	}
	if len(t.Jobs) > 0 && t.Source == handler.SourceSNS && t.MessageID == "" {
		identity := "the SQS message id, because the envelope has no MessageId"
		if m.MessageId == unknownID {
			identity += "; the input has none, so this jid is an example"
		}
		e.line("identity", identity)
	}
	if t.Ignored {
		e.line("ignored", "the message gets no job")
	}
	for _, job := range t.Jobs {
		e.line("job", displayJSON(job.Payload))
	}
	e.jobs += len(t.Jobs)
	return err == nil
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

// describe returns a route in one line: its key in the configuration and its workers.
func describe(route handler.Route) string {
	var workers []string
	for w := range handler.Workers(route.Outcome) {
		workers = append(workers, w.Class+" on "+w.Queue)
	}
	return route.Key + " → " + strings.Join(workers, ", ")
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
