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
	return &cobra.Command{
		Use:   "explain FILE",
		Short: "Show the jobs that Scout would make from a Lambda event or a message",
		Long: `Show for each message in FILE (- for standard input) its topic, its route, and
the job that Scout would push or the reason why it would reject the message.
Scout pushes nothing. If the configuration has several queues and a message does
not name the one that it comes from, it is shown for each queue.

FILE holds a Lambda event, the output of aws sqs receive-message, an SNS
envelope, or any other message body.`,
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
				return errors.New("the file contains no messages")
			}
			explain(cmd.OutOrStdout(), c, messages)
			return nil
		}),
	}
}

func readInput(stdin io.Reader, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(file)
}

// parseMessages returns the messages of a Lambda event or of the output of
// aws sqs receive-message. Any other text is the body of one message. That
// includes the events of other services, which have Records too.
func parseMessages(text []byte) []events.SQSMessage {
	var in struct {
		Records  []events.SQSMessage
		Messages []struct {
			MessageId, Body   string
			Attributes        map[string]string
			MessageAttributes map[string]events.SQSMessageAttribute
		}
	}
	notSQS := func(m events.SQSMessage) bool { return m.MessageId == "" && m.Body == "" }
	switch err := json.Unmarshal(text, &in); {
	case err == nil && in.Records != nil && !slices.ContainsFunc(in.Records, notSQS):
		return in.Records
	case err == nil && in.Messages != nil:
		messages := make([]events.SQSMessage, len(in.Messages))
		for i, m := range in.Messages {
			messages[i] = events.SQSMessage{MessageId: m.MessageId, Body: m.Body, Attributes: m.Attributes, MessageAttributes: m.MessageAttributes}
		}
		return messages
	default:
		return []events.SQSMessage{{Body: string(text)}}
	}
}

func explain(w io.Writer, c *config.Config, messages []events.SQSMessage) {
	for i := range messages {
		m := &messages[i]
		fmt.Fprintf(w, "message %d of %d  %s\n", i+1, len(messages), m.MessageId)
		for _, q := range queuesOf(m, c.Queues) {
			if len(c.Queues) > 1 {
				fmt.Fprintf(w, "  queue     %s\n", cmp.Or(q.Name, q.URL))
			}
			explainIn(w, c.Router(q), m)
		}
	}
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

func explainIn(w io.Writer, router *handler.Router, m *events.SQSMessage) {
	translation, err := router.Translate(m, time.Now())
	topic, jobs := translation.TopicARN, translation.Jobs
	if topic != "" {
		fmt.Fprintf(w, "  topic     %s\n", topic)
	}
	if route := router.Route(topic); topic != "" && len(route.Workers) > 0 {
		fmt.Fprintf(w, "  route     %s\n", describe(route))
	}
	if rejection, ok := errors.AsType[*handler.Rejection](err); ok {
		fmt.Fprintf(w, "  rejected  %s (%s)\n", rejection.Detail, rejection.Reason)
	}
	for _, job := range jobs {
		fmt.Fprintf(w, "  job       %s\n", job.Payload)
	}
}

// describe returns a route in one line: its key in the configuration and its workers.
func describe(route handler.Route) string {
	workers := make([]string, len(route.Workers))
	for i, w := range route.Workers {
		workers[i] = w.Class + " on " + w.Queue
	}
	return route.Topic + " → " + strings.Join(workers, ", ")
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
