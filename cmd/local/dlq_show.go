package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/spf13/cobra"

	"scout/handler"
	"scout/internal/deadletter"
	"scout/internal/explain"
	"scout/internal/printable"
)

// maxShownMessages bounds the memory that dlq show needs: each message may have 1 MiB.
const maxShownMessages = 100

// A dlqShow is scout dlq show.
type dlqShow struct {
	dlqCommand
	limit    int
	showBody bool
}

func newDLQShowCommand(o *options) *cobra.Command {
	d := &dlqShow{dlqCommand: dlqCommand{options: o}}
	cmd := d.command(&cobra.Command{
		Use:   "show [ID | INDEX]",
		Short: "Show messages of a dead-letter queue and what would become of them",
		Long: `Show messages of a dead-letter queue, the oldest first: the one with an SQS ID,
the one at an INDEX (1 is the oldest), or those that the options select. For each
message it shows the jobs that it would become with the current configuration, or
the reason why it would be rejected. Only with --show-body it shows the body and
the arguments of the jobs.`,
		Example: "  scout dlq show --reason unacceptable --limit 3 -c scout.yml",
		Args:    cobra.MaximumNArgs(1),
	}, d.show)
	d.addSelection(cmd)
	cmd.Flags().IntVar(&d.limit, "limit", 10, "show at most `N` messages, up to 100")
	cmd.Flags().BoolVar(&d.showBody, "show-body", false, "show bodies and the arguments of jobs")
	return cmd
}

func (d *dlqShow) show(ctx context.Context, args []string) error {
	index := 0
	if len(args) == 1 {
		if n, err := strconv.Atoi(args[0]); err == nil {
			index, d.limit = n, n
		} else {
			d.ids = append(d.ids, args[0])
		}
	}
	if d.limit < 1 || d.limit > maxShownMessages {
		return &failedError{fmt.Errorf("an index and --limit must be from 1 to %d", maxShownMessages), exitUsage}
	}
	oldest := &deadletter.Oldest{Selection: d.selection(), Max: d.limit}
	var read deadletter.Summary
	scan := d.scan
	scan.Visit = func(_ context.Context, messages []*deadletter.Message) error {
		read.Add(messages...)
		oldest.Add(messages...)
		return nil
	}
	stop := d.showProgress(func() (int, string) { return read.Count(), "" })
	result, err := scan.Run(ctx)
	stop()
	messages := oldest.Messages()
	if index > 0 {
		messages = messages[min(index-1, len(messages)):]
	}
	if d.output == "json" {
		err = errors.Join(err, d.printMessagesJSON(messages))
	} else {
		for i, m := range messages {
			d.print(cmp.Or(index, i+1), m)
		}
	}
	d.noteResult(read.Count(), result)
	if len(messages) == 0 && err == nil && ctx.Err() == nil {
		return fmt.Errorf("%s has no such message that can be read now", d.scan.Queue.Name())
	}
	return err
}

// print prints a message as scout explain does, and what SQS says about it.
func (d *dlqShow) print(n int, m *deadletter.Message) {
	p := &explainPrinter{w: d.out()}
	fmt.Fprintf(p.w, "message %d  %s\n", n, printable.Text(m.ID(), maxShown))
	p.line("sent", fmt.Sprintf("%s, received %d times", sentAt(m.Sent()), m.Receives()))
	if m.Source != nil {
		p.line("queue", m.Source.Name())
		p.line("source", source(m.Translation))
	}
	for _, line := range []struct{ label, text string }{
		{"group", m.Group()}, {"SNS", m.Undelivered}, {"topic", m.TopicARN}, {"id", m.MessageID},
	} {
		if line.text != "" {
			p.line(line.label, printable.Text(line.text, maxShown))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.MessageAttributes)) {
		a := m.MessageAttributes[name]
		p.line("attr", fmt.Sprintf("%s = %s (%s)", printable.Text(name, maxShown), printable.Text(attributeText(a), maxShown), printable.Text(aws.ToString(a.DataType), maxShown)))
	}
	if route, ok := m.MatchedRoute(); ok {
		p.line("route", describe(route))
	}
	d.printOutcome(p, m)
	if d.showBody {
		p.line("body", displayJSON([]byte(aws.ToString(m.Body))))
	}
}

func (d *dlqShow) printOutcome(p *explainPrinter, m *deadletter.Message) {
	switch outcome := m.Outcome(); outcome {
	case explain.Rejected, deadletter.Unknown:
		p.line(string(outcome), fmt.Sprintf("%s (%s)", printable.Text(m.Rejection.Detail, 0), m.Reason()))
	case explain.Ignored:
		p.line("ignored", "Scout would delete the message without a job")
	}
	if m.NeedsID {
		p.line("identity", "the SQS message id, so the jid changes when the message is sent again; redrive skips it without --new-ids")
	}
	for _, job := range m.Jobs {
		if d.showBody {
			p.line("job", displayJSON(job.Payload))
		} else {
			p.line("job", fmt.Sprintf("%s on %s, jid %s", job.Class, job.Queue, job.JID))
		}
	}
}

// attributeText returns the value of an attribute; of a binary one, its length.
func attributeText(a types.MessageAttributeValue) string {
	if a.StringValue != nil {
		return *a.StringValue
	}
	return plural(len(a.BinaryValue), "byte")
}

// A dlqMessage is a message in the JSON output of scout dlq show. Keys that scout
// explain has too mean the same.
type dlqMessage struct {
	ID          string            `json:"sqs_message_id"`
	Queue       string            `json:"queue,omitempty"` // that it goes back to
	Sent        time.Time         `json:"sent"`
	Receives    int               `json:"receive_count"`
	Undelivered string            `json:"undelivered,omitempty"` // why SNS could not deliver it
	Source      handler.Source    `json:"source,omitempty"`
	Label       string            `json:"label,omitempty"`
	TopicARN    string            `json:"topic_arn,omitempty"`
	MessageID   string            `json:"message_id,omitempty"` // assigned by the source
	Route       string            `json:"route,omitempty"`
	Outcome     explain.Outcome   `json:"outcome"`
	Reason      handler.Reason    `json:"reason,omitempty"`
	Detail      string            `json:"detail,omitempty"`
	NewID       bool              `json:"new_id,omitempty"` // whether redrive skips it without --new-ids
	Jobs        []any             `json:"jobs"`             // without --show-body, a dlqJob for each
	Attributes  map[string]string `json:"attributes"`       // of SQS

	MessageAttributes map[string]dlqAttribute `json:"message_attributes"`

	Body *string `json:"body,omitempty"` // with --show-body
}

// A dlqJob is a job without its arguments.
type dlqJob struct {
	Class string `json:"class"`
	Queue string `json:"queue"`
	JID   string `json:"jid"`
}

type dlqAttribute struct {
	Type   string  `json:"type"`
	Value  *string `json:"value,omitempty"`
	Binary []byte  `json:"binary,omitempty"` // in base64
}

func (d *dlqShow) printMessagesJSON(messages []*deadletter.Message) error {
	out := struct {
		Queue    string       `json:"queue"`
		Messages []dlqMessage `json:"messages"`
	}{d.scan.Queue.Name(), make([]dlqMessage, len(messages))}
	for i, m := range messages {
		out.Messages[i] = d.messageJSON(m)
	}
	return writeJSON(d.out(), out)
}

func (d *dlqShow) messageJSON(m *deadletter.Message) dlqMessage {
	out := dlqMessage{
		ID: m.ID(), Sent: m.Sent().UTC(), Receives: m.Receives(), Undelivered: m.Undelivered,
		Source: m.Translation.Source, Label: m.Label, TopicARN: m.TopicARN, MessageID: m.MessageID, Route: m.Route,
		Outcome: m.Outcome(), Reason: m.Reason(), NewID: m.NeedsID,
		Jobs: []any{}, Attributes: m.Attributes, MessageAttributes: map[string]dlqAttribute{},
	}
	if m.Source != nil {
		out.Queue = m.Source.Name()
	}
	if m.Rejection != nil {
		out.Detail = m.Rejection.Detail
	}
	for name, a := range m.MessageAttributes {
		out.MessageAttributes[name] = dlqAttribute{aws.ToString(a.DataType), a.StringValue, a.BinaryValue}
	}
	for _, job := range m.Jobs {
		if d.showBody {
			out.Jobs = append(out.Jobs, json.RawMessage(job.Payload))
		} else {
			out.Jobs = append(out.Jobs, dlqJob{job.Class, job.Queue, job.JID})
		}
	}
	if d.showBody {
		out.Body = m.Body
	}
	return out
}
