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

	"scout/internal/deadletter"
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

func (d *dlqShow) line(label, format string, args ...any) {
	fmt.Fprintf(d.out(), "  %-9s  %s\n", label, fmt.Sprintf(format, args...))
}

// print prints a message. It escapes text that others wrote.
func (d *dlqShow) print(n int, m *deadletter.Message) {
	fmt.Fprintf(d.out(), "message %d  %s\n", n, printable.Text(m.ID(), maxShown))
	d.line("sent", "%s, received %s times", sentAt(m.Sent()), printable.Text(m.Attributes["ApproximateReceiveCount"], 10))
	if m.Source != nil {
		d.line("queue", "%s", m.Source.Name())
	}
	if group := m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)]; group != "" {
		d.line("group", "%s", printable.Text(group, maxShown))
	}
	if m.Undelivered != "" {
		d.line("SNS", "could not deliver it: %s", m.Undelivered)
	}
	if m.Outcome != deadletter.Unknown {
		d.line("source", "%s", source(m.Translation))
	}
	if m.TopicARN != "" {
		d.line("topic", "%s", printable.Text(m.TopicARN, maxShown))
	}
	if m.MessageID != "" {
		d.line("id", "%s", printable.Text(m.MessageID, maxShown))
	}
	for _, name := range slices.Sorted(maps.Keys(m.MessageAttributes)) {
		a := m.MessageAttributes[name]
		d.line("attribute", "%s = %s (%s)", printable.Text(name, maxShown), printable.Text(attributeText(a), maxShown), printable.Text(aws.ToString(a.DataType), maxShown))
	}
	d.printOutcome(m)
	if d.showBody {
		d.line("body", "%s", displayJSON([]byte(aws.ToString(m.Body))))
	}
}

func (d *dlqShow) printOutcome(m *deadletter.Message) {
	switch m.Outcome {
	case deadletter.Rejected:
		d.line("rejected", "%s (%s)", printable.Text(m.Detail, 0), m.Reason)
	case deadletter.Unknown:
		d.line("unknown", "%s (%s)", printable.Text(m.Detail, 0), m.Reason)
	case deadletter.Ignored:
		d.line("ignored", "Scout would delete the message without a job")
	}
	for _, job := range m.Jobs {
		if d.showBody {
			d.line("job", "%s", displayJSON(job.Payload))
		} else {
			d.line("job", "%s on %s, jid %s", printable.Text(job.Class, maxShown), printable.Text(job.Queue, maxShown), job.JID)
		}
	}
	if m.NeedsID {
		d.line("identity", "the SQS message id, so the jid changes when the message is sent again; redrive skips it without --new-ids")
	}
}

// attributeText returns the value of an attribute; of a binary one, its length.
func attributeText(a types.MessageAttributeValue) string {
	if a.StringValue != nil {
		return *a.StringValue
	}
	return fmt.Sprintf("%d bytes", len(a.BinaryValue))
}

// A dlqMessage is a message in the JSON output of scout dlq show.
type dlqMessage struct {
	ID          string             `json:"sqs_message_id"`
	Queue       string             `json:"queue,omitempty"` // that it goes back to
	Sent        time.Time          `json:"sent"`
	Receives    int                `json:"receive_count"`
	Source      string             `json:"source,omitempty"`
	Topic       string             `json:"topic,omitempty"`
	TopicARN    string             `json:"topic_arn,omitempty"`
	MessageID   string             `json:"message_id,omitempty"`
	Route       string             `json:"route,omitempty"`
	Outcome     deadletter.Outcome `json:"outcome"`
	Reason      string             `json:"reason,omitempty"`
	Detail      string             `json:"detail,omitempty"`
	Undelivered string             `json:"undelivered,omitempty"`
	NewID       bool               `json:"new_id,omitempty"`
	Jobs        []dlqJob           `json:"jobs"`
	Attributes  map[string]string  `json:"attributes"` // of SQS

	MessageAttributes map[string]dlqAttribute `json:"message_attributes"`

	Body *string `json:"body,omitempty"` // with --show-body
}

// A dlqJob is a job that a message would become.
type dlqJob struct {
	Class   string          `json:"class"`
	Queue   string          `json:"queue"`
	JID     string          `json:"jid"`
	Payload json.RawMessage `json:"payload,omitempty"` // with --show-body
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
	return d.printJSON(out)
}

func (d *dlqShow) messageJSON(m *deadletter.Message) dlqMessage {
	receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
	out := dlqMessage{
		ID: m.ID(), Sent: m.Sent().UTC(), Receives: receives, Source: string(m.Translation.Source),
		Topic: m.Label, TopicARN: m.TopicARN, MessageID: m.MessageID, Route: m.Route,
		Outcome: m.Outcome, Reason: string(m.Reason), Detail: m.Detail, Undelivered: m.Undelivered, NewID: m.NeedsID,
		Jobs: []dlqJob{}, Attributes: m.Attributes, MessageAttributes: map[string]dlqAttribute{},
	}
	if m.Source != nil {
		out.Queue = m.Source.Name()
	}
	for name, a := range m.MessageAttributes {
		out.MessageAttributes[name] = dlqAttribute{aws.ToString(a.DataType), a.StringValue, a.BinaryValue}
	}
	for _, job := range m.Jobs {
		j := dlqJob{Class: job.Class, Queue: job.Queue, JID: job.JID}
		if d.showBody {
			j.Payload = job.Payload
		}
		out.Jobs = append(out.Jobs, j)
	}
	if d.showBody {
		out.Body = m.Body
	}
	return out
}
