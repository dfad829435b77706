package deadletter

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"scout/config"
	"scout/internal/printable"
	"scout/internal/sqsclient"
)

// A Queue is a dead-letter queue.
type Queue struct {
	URL      string
	Messages int  // approximate number of messages that can be received
	Hidden   int  // approximate number of messages in flight, which other consumers have received
	FIFO     bool // whether it is a FIFO queue

	// Sources are the queues to which messages may be sent back. If there are several,
	// each message names its own.
	Sources []Source

	// ToOne reports whether all messages go to the only Source, regardless of the queue
	// that they came from.
	ToOne bool
}

// Name returns the name of the queue.
func (q *Queue) Name() string { return config.QueueName(q.URL) }

// A Source is a queue that messages came from and go back to.
type Source struct {
	URL, ARN string
	Config   *config.Queue // determines the outcome of the messages
}

// Name returns the name of the queue.
func (s *Source) Name() string { return config.QueueName(s.URL) }

// sourceOf returns the queue to which a message returns, nil if it came from a queue
// that is not among the Sources.
func (q *Queue) sourceOf(m *types.Message) *Source {
	// SQS does not document this attribute as optional, but some emulators lack it.
	arn := m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)]
	if q.ToOne || arn == "" && len(q.Sources) == 1 {
		return &q.Sources[0]
	}
	for i := range q.Sources {
		if q.Sources[i].ARN == arn {
			return &q.Sources[i]
		}
	}
	return nil
}

// A Choice selects the dead-letter queue to read and the queue to which its messages
// go.
type Choice struct {
	Queue string // the name of the configured queue whose dead-letter queue to read; "" if only one is configured
	URL   string // of the dead-letter queue, instead of Queue
	To    string // the name or URL of the queue that messages go to; "" for the queue that they came from
	Force bool   // read a dead-letter queue that has a dead-letter queue itself
}

// ErrUsage matches the errors of Find about an invalid Choice.
var ErrUsage = errors.New("wrong usage")

type usageError struct{ error }

func (usageError) Is(target error) bool { return target == ErrUsage }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Find finds a dead-letter queue. The queues are those of the configuration. None of
// them can be the dead-letter queue, because Scout consumes them.
func Find(ctx context.Context, client *sqsclient.Client, queues []config.Queue, c Choice) (*Queue, error) {
	f := &finder{client: client, queues: queues}
	q := &Queue{URL: strings.TrimRight(c.URL, "/")}
	var err error
	switch {
	case c.URL != "" && c.Queue != "":
		return nil, usage("--queue and --url cannot be combined: --url is the dead-letter queue itself")
	case c.URL != "" && !strings.Contains(c.URL, "://"):
		return nil, usage("--url must be the URL of a dead-letter queue, such as https://sqs.us-east-1.amazonaws.com/123456789012/myapp_queue_dead")
	case c.URL == "":
		if q.URL, q.Sources, err = f.findByName(ctx, c.Queue); err != nil {
			return nil, err
		}
	}
	if err := f.describe(ctx, q, c.Force); err != nil {
		return nil, err
	}
	switch {
	case c.To != "":
		q.ToOne = true
		q.Sources, err = f.findTarget(ctx, q, c.To)
	case c.URL != "":
		q.Sources, err = f.findSources(ctx, q)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

type finder struct {
	client *sqsclient.Client
	queues []config.Queue
}

// configured returns the configured queue with a name, nil if there is none. The queue
// of a configuration for Lambda has no name and matches every name.
func (f *finder) configured(name string) *config.Queue {
	if len(f.queues) == 1 && f.queues[0].Label() == "" {
		return &f.queues[0]
	}
	i := slices.IndexFunc(f.queues, func(q config.Queue) bool { return q.Label() == name })
	if i < 0 {
		return nil
	}
	return &f.queues[i]
}

func (f *finder) names() string {
	var names []string
	for _, q := range f.queues {
		names = append(names, cmp.Or(q.Label(), "(without a name)"))
	}
	return strings.Join(names, ", ")
}

// findByName returns the dead-letter queue of the configured queue with a name, or of
// the only configured queue if the name is "". It returns the configured queue as its
// source.
func (f *finder) findByName(ctx context.Context, name string) (url string, sources []Source, err error) {
	switch {
	case f.queues[0].Label() == "":
		return "", nil, usage("the configuration names no SQS queue; name the dead-letter queue with --url")
	case name == "" && len(f.queues) > 1:
		return "", nil, usage("the configuration has several queues; choose one with --queue: %s", f.names())
	case name == "":
		name = f.queues[0].Label()
	}
	q := f.configured(name)
	if q == nil {
		return "", nil, usage("--queue %s: the configuration has no such queue, only %s; a dead-letter queue is named with --url", printable.Text(name, 100), f.names())
	}
	queueURL, err := f.client.QueueURL(ctx, *q)
	if err != nil {
		return "", nil, err
	}
	attributes, err := f.attributes(ctx, queueURL, types.QueueAttributeNameQueueArn, types.QueueAttributeNameRedrivePolicy)
	if err != nil {
		return "", nil, err
	}
	target := deadLetterTarget(attributes)
	if target == "" {
		return "", nil, fmt.Errorf("the SQS queue %s has no dead-letter queue: set its RedrivePolicy, or name a dead-letter queue with --url", name)
	}
	if url, err = f.urlOf(ctx, target); err != nil {
		return "", nil, fmt.Errorf("looking for the dead-letter queue of %s: %w", name, err)
	}
	return url, []Source{{URL: queueURL, ARN: attributes[string(types.QueueAttributeNameQueueArn)], Config: q}}, nil
}

// deadLetterTarget returns the ARN of the dead-letter queue in the attributes of a
// queue, "" if it has none.
func deadLetterTarget(attributes map[string]string) string {
	var policy struct{ DeadLetterTargetArn string }
	_ = json.Unmarshal([]byte(attributes[string(types.QueueAttributeNameRedrivePolicy)]), &policy)
	return policy.DeadLetterTargetArn
}

// urlOf returns the URL of the queue with the given ARN.
func (f *finder) urlOf(ctx context.Context, arn string) (string, error) {
	parts := strings.Split(arn, ":")
	if len(parts) != 6 {
		return "", fmt.Errorf("%s is not the ARN of a queue", printable.Text(arn, 256))
	}
	in := &sqs.GetQueueUrlInput{QueueName: &parts[5]}
	if parts[4] != "" {
		in.QueueOwnerAWSAccountId = &parts[4]
	}
	out, err := f.client.GetQueueUrl(ctx, in)
	if err != nil {
		return "", fmt.Errorf("%s: %w", printable.Text(arn, 256), err)
	}
	return aws.ToString(out.QueueUrl), nil
}

func (f *finder) attributes(ctx context.Context, url string, names ...types.QueueAttributeName) (map[string]string, error) {
	out, err := f.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return nil, fmt.Errorf("reading the attributes of the SQS queue %s: %w", printable.Text(config.QueueName(url), 100), err)
	}
	return out.Attributes, nil
}

// describe reads the attributes of the dead-letter queue. It rejects queues that Scout
// consumes. Unless force is set, it also rejects a queue from which a receive may move
// messages to another queue.
func (f *finder) describe(ctx context.Context, q *Queue, force bool) error {
	if slices.ContainsFunc(f.queues, func(c config.Queue) bool { return c.Label() == q.Name() }) {
		return usage("%s is a queue that Scout consumes, because it is in the configuration; Scout does not read it as a dead-letter queue", printable.Text(q.Name(), 100))
	}
	attributes, err := f.attributes(ctx, q.URL, types.QueueAttributeNameRedrivePolicy,
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)
	if err != nil {
		return err
	}
	if next := deadLetterTarget(attributes); next != "" && !force {
		return usage("the dead-letter queue %s has a RedrivePolicy itself: reading raises the receive counts of its messages, which may move them on to %s; use --force to read them nevertheless", q.Name(), printable.Text(next, 256))
	}
	q.FIFO = strings.HasSuffix(q.Name(), ".fifo")
	q.Messages, _ = strconv.Atoi(attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)])
	q.Hidden, _ = strconv.Atoi(attributes[string(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)])
	return nil
}

// findTarget returns the queue that --to names.
func (f *finder) findTarget(ctx context.Context, q *Queue, to string) ([]Source, error) {
	url, err := to, error(nil)
	if !strings.Contains(to, "://") {
		named := config.Queue{Name: to}
		if c := f.configured(to); c != nil && c.Label() != "" {
			named = *c
		}
		if url, err = f.client.QueueURL(ctx, named); err != nil {
			return nil, fmt.Errorf("--to: %w", err)
		}
	}
	s, err := f.newSource(ctx, q, url)
	return []Source{s}, err
}

// newSource returns a queue to which messages of q may go. A queue that is not in the
// configuration is an error.
func (f *finder) newSource(ctx context.Context, q *Queue, url string) (Source, error) {
	s := Source{URL: strings.TrimRight(url, "/")}
	s.Config = f.configured(s.Name())
	switch {
	case s.Name() == q.Name():
		return s, usage("--to must be another queue than the dead-letter queue %s", q.Name())
	case s.Config == nil:
		return s, usage("the queue %s is not in the configuration, so Scout cannot predict the outcome of its messages; use the configuration of that queue, or choose one of %s with --to", printable.Text(s.Name(), 100), f.names())
	case strings.HasSuffix(s.Name(), ".fifo") != q.FIFO:
		return s, usage("messages cannot go from %s to %s: one of them is a FIFO queue and the other is not", q.Name(), s.Name())
	}
	attributes, err := f.attributes(ctx, s.URL, types.QueueAttributeNameQueueArn)
	s.ARN = attributes[string(types.QueueAttributeNameQueueArn)]
	return s, err
}

// findSources returns the configured queues whose dead-letter queue q is.
func (f *finder) findSources(ctx context.Context, q *Queue) ([]Source, error) {
	var sources []Source
	var others []string
	pages := sqs.NewListDeadLetterSourceQueuesPaginator(f.client, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &q.URL})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("looking for the queues whose dead-letter queue is %s: %w; --to names the queue instead", q.Name(), err)
		}
		for _, url := range page.QueueUrls {
			if f.configured(config.QueueName(url)) == nil {
				others = append(others, printable.Text(config.QueueName(url), 100))
				continue
			}
			s, err := f.newSource(ctx, q, url)
			if err != nil {
				return nil, err
			}
			sources = append(sources, s)
		}
	}
	switch {
	case len(sources) > 0:
		return sources, nil
	case len(others) > 0:
		return nil, usage("%s is the dead-letter queue of %s, which the configuration does not have, only %s; use the configuration of that queue, or choose one with --to", q.Name(), strings.Join(others, ", "), f.names())
	}
	return nil, usage("no RedrivePolicy names %s; if SNS puts messages there that it could not deliver, name the queue that its messages belong to with --to", q.Name())
}
