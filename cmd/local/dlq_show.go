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
	"github.com/spf13/cobra"

	"scout/internal/deadletter"
	"scout/internal/explain"
	"scout/internal/printable"
)

// maxShownMessages bounds the memory that dlq show needs: each message may have 1 MiB.
const maxShownMessages = 100

func newDLQShowCommand(o *options) *cobra.Command {
	d, oldest, index := &dlqCommand{options: o}, &deadletter.Oldest{}, 0
	cmd := d.configure(&cobra.Command{
		Use:   "show [ID | INDEX]",
		Short: "Show messages of a dead-letter queue and the outcome that each would have",
		Long: `Show messages of a dead-letter queue, the oldest first: the one with an SQS ID,
the one at an INDEX (1 is the oldest), or those that the options select. For each
message it shows the jobs that it would become with the current configuration, or
the reason why it would be rejected. It shows the body and the arguments of the
jobs only with --show-body.`,
		Example: "  scout dlq show --reason unacceptable --limit 3 -c scout.yml",
		Args:    cobra.MaximumNArgs(1),
	}, func(args []string) error {
		oldest.Max, d.scan.Limit = d.scan.Limit, 0 // the oldest are known once all are read
		if len(args) == 1 {
			if n, err := strconv.Atoi(args[0]); err == nil {
				index, oldest.Max = n, n
			} else {
				d.scan.Selection.IDs = append(d.scan.Selection.IDs, args[0])
			}
		}
		if oldest.Max < 1 || oldest.Max > maxShownMessages {
			return fmt.Errorf("an index and --limit must be from 1 to %d", maxShownMessages)
		}
		return nil
	}, func(ctx context.Context) error { return d.show(ctx, oldest, index) })
	d.addSelection(cmd, 10, "show at most `N` messages, up to 100")
	cmd.Flags().BoolVar(&d.showBody, "show-body", false, "show bodies and the arguments of jobs")
	return cmd
}

// show shows the oldest messages. If index is not 0, it shows only the message at that
// index, from 1.
func (d *dlqCommand) show(ctx context.Context, oldest *deadletter.Oldest, index int) error {
	d.scan.Visit = func(_ context.Context, selected []*deadletter.Message) error {
		oldest.Add(selected...)
		return nil
	}
	stop := d.showProgress()
	result, err := d.scan.Run(ctx)
	d.result = result
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
	d.noteResult()
	if len(messages) == 0 && err == nil && ctx.Err() == nil {
		return fmt.Errorf("%s has no such message that can be received now; another reader may hide it", d.scan.Queue.Name())
	}
	return err
}

// print prints a message as scout explain does, with its SQS attributes.
func (d *dlqCommand) print(n int, m *deadletter.Message) {
	p := &explainPrinter{w: d.cmd.OutOrStdout(), brief: !d.showBody}
	fmt.Fprintf(p.w, "message %d  %s\n", n, printable.Text(m.ID(), maxShown))
	p.line("sent", fmt.Sprintf("%s, received %d times", sentAt(m.Sent()), m.Receives()))
	if m.Source != nil {
		p.line("queue", m.Source.Name())
	}
	for _, line := range []struct{ label, text string }{{"group", m.Group()}, {"SNS", m.Undelivered}, {"id", m.MessageID}} {
		if line.text != "" {
			p.line(line.label, printable.Text(line.text, maxShown))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.MessageAttributes)) {
		a := m.MessageAttributes[name]
		value := cmp.Or(aws.ToString(a.StringValue), plural(len(a.BinaryValue), "byte"))
		p.line("attr", fmt.Sprintf("%s = %s (%s)", printable.Text(name, maxShown), printable.Text(value, maxShown), printable.Text(aws.ToString(a.DataType), maxShown)))
	}
	if m.Outcome() == deadletter.Unknown {
		p.line("unknown", fmt.Sprintf("%s (%s)", printable.Text(m.Rejection.Detail, 0), m.Reason()))
	} else {
		p.printResult(m.Result)
	}
	if m.NeedsID {
		p.line("redrive", "skips the message without --new-ids, because its jid changes when it is sent again")
	}
	if d.showBody {
		p.line("body", displayJSON([]byte(aws.ToString(m.Body))))
	}
}

// A dlqMessage is a message in the JSON output of scout dlq show.
type dlqMessage struct {
	explain.Record                   // without --show-body, a dlqJob for each job
	Sent           time.Time         `json:"sent"`
	Receives       int               `json:"receive_count"`
	Undelivered    string            `json:"undelivered,omitempty"` // why SNS could not deliver it
	MessageID      string            `json:"message_id,omitempty"`  // assigned by the source
	NewID          bool              `json:"new_id,omitempty"`      // whether redrive skips it without --new-ids
	Attributes     map[string]string `json:"attributes"`            // of SQS

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

func (d *dlqCommand) printMessagesJSON(messages []*deadletter.Message) error {
	out := struct {
		Queue    string       `json:"queue"`
		Messages []dlqMessage `json:"messages"`
	}{d.scan.Queue.Name(), make([]dlqMessage, len(messages))}
	for i, m := range messages {
		out.Messages[i] = d.messageJSON(m)
	}
	return writeJSON(d.cmd.OutOrStdout(), out)
}

func (d *dlqCommand) messageJSON(m *deadletter.Message) dlqMessage {
	out := dlqMessage{
		Record: m.Record(), Sent: m.Sent().UTC(), Receives: m.Receives(), Undelivered: m.Undelivered, MessageID: m.MessageID,
		NewID: m.NeedsID, Attributes: m.Attributes, MessageAttributes: map[string]dlqAttribute{},
	}
	out.SQSMessageID, out.Outcome = m.ID(), m.Outcome()
	if m.Source != nil {
		out.Queue = m.Source.Name() // to which it returns
	}
	for name, a := range m.MessageAttributes {
		out.MessageAttributes[name] = dlqAttribute{aws.ToString(a.DataType), a.StringValue, a.BinaryValue}
	}
	if d.showBody {
		out.Body = m.Body
		return out
	}
	for i, job := range m.Jobs {
		out.Jobs[i], _ = json.Marshal(dlqJob{job.Class, job.Queue, job.JID})
	}
	return out
}
