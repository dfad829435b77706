package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"scout/config"
	"scout/handler"
	"scout/internal/audit"
	"scout/internal/printable"
	"scout/internal/sqsclient"
)

// A draft is a configuration that scout init writes.
type draft struct {
	queue, region, endpoint, workers string
	classes                          appClasses // of the app; nil if unknown

	topics, s3, eventBridge []draftRoute
	plain                   []string // names of the topics with raw message delivery

	unknown []string // names that no class of the app matches
}

type draftRoute struct{ key, name string } // the class is guessed from name

// load loads the part of the draft that flags set, and so validates it. The path of
// the manifest is still relative to the working directory.
func (d draft) load(ctx context.Context) (*config.Config, error) {
	if d.workers != "" {
		if _, err := os.Stat(d.workers); err != nil {
			return nil, fmt.Errorf("--workers: %w; write it with rake scout:manifest", err)
		}
		path, err := filepath.Abs(d.workers)
		if err != nil {
			return nil, err
		}
		d.workers = path
	}
	c, err := config.Loader{}.Load(ctx, d.head()+"  topics: {orders: ignore}\n")
	if errs, ok := errors.AsType[config.Errors](err); ok {
		for _, e := range errs {
			if e.Source != d.workers {
				e.Source, e.Line = "the flags", 0
			}
		}
	}
	return c, err
}

// addRoutesFromAWS adds the routes that a queue needs. It writes to stderr which facts
// AWS did not reveal.
func (d *draft) addRoutesFromAWS(ctx context.Context, c *config.Config, stderr io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, queueTimeout)
	defer cancel()
	auditor, err := audit.New(ctx, c)
	if err != nil {
		return err
	}
	url, err := auditor.SQS.QueueURL(ctx, c.Queues[0])
	if err != nil {
		return err
	}
	facts := auditor.Facts(ctx, config.Queue{Name: d.queue}, url)
	switch {
	case sqsclient.IsDenied(facts.Err):
		return fmt.Errorf("reading the attributes of %s: sqs:GetQueueAttributes is denied%s; allow it", d.queue, sqsclient.Reason(facts.Err))
	case facts.Err != nil:
		return fmt.Errorf("reading the attributes of %s: %w", d.queue, facts.Err)
	}
	for _, f := range facts.Unknowns {
		if f.Area == audit.AreaTopic {
			fmt.Fprintf(stderr, "scout: %s; routes may be missing\n", f.Message)
		}
	}
	d.addRoutes(facts)
	return nil
}

// addRoutes adds a route for each source of the queue's messages. A topic of the
// queue's own account and region has its name as its key, unless another has it too.
func (d *draft) addRoutes(facts audit.Facts) {
	names := map[string]int{}
	for _, s := range facts.Subscriptions {
		names[handler.TopicName(s.Topic)]++
	}
	for _, s := range facts.Subscriptions {
		name := handler.TopicName(s.Topic)
		switch {
		case s.Attributes["RawMessageDelivery"] == "true":
			d.plain = append(d.plain, name)
		case names[name] > 1 || !facts.IsOwn(s.Topic):
			d.topics = append(d.topics, draftRoute{s.Topic, name})
		default:
			d.topics = append(d.topics, draftRoute{name, name})
		}
	}
	for _, bucket := range facts.Admitted("s3") {
		d.s3 = append(d.s3, draftRoute{bucket, bucket})
	}
	if rules := facts.Admitted("events"); len(rules) > 0 {
		d.eventBridge = []draftRoute{{"*/*", path.Base(rules[0])}}
	}
}

const draftHead = `# Scout's configuration: the Sidekiq job that each message of an SQS queue becomes.
# scout check validates this file, scout check --online audits Redis and AWS, and
# scout dev tries it on a laptop.
redis:
  url: redis://localhost:6379/0   # in production, remove this line and set REDIS_URL
`

// draftMore shows further options, in a draft that is not for a named queue.
const draftMore = `    # users: {class: UserWorker, queue: critical, retry: 5}
    # "audit-*": AuditWorker   # a pattern
    # debug: ignore            # deleted, without a job
  # Messages of other sources, each section optional:
  # eventbridge: {"shop.billing/Invoice Paid": InvoicePaidWorker}
  # s3: {shop-uploads: UploadWorker}
  # plain: ImportWorker        # raw message delivery, SendMessage
# limits: {latency: 5m}        # leave messages in SQS while the jobs of a queue wait for longer
`

// head returns the beginning of the draft, up to the name of the queue.
func (d *draft) head() string {
	var b strings.Builder
	b.WriteString(draftHead)
	if d.region != "" || d.endpoint != "" {
		b.WriteString("aws:\n")
	}
	writeKey(&b, "  ", "region", d.region)
	writeKey(&b, "  ", "endpoint", d.endpoint)
	writeKey(&b, "", "workers", d.workers)
	b.WriteString("queue:\n")
	writeKey(&b, "  ", "name", cmp.Or(d.queue, "myapp_queue"))
	return b.String()
}

// render returns the draft as YAML with comments.
func (d *draft) render() string {
	var b strings.Builder
	b.WriteString(d.head())
	if len(d.topics)+len(d.s3)+len(d.eventBridge)+len(d.plain) == 0 {
		b.WriteString("  # The names of SNS topics, and the job class for the messages of each:\n")
		d.topics = []draftRoute{{"orders", "orders"}}
	} else {
		b.WriteString("  # The sources of the queue's messages. The classes are proposed by name: check each.\n")
	}
	d.writeRoutes(&b, "topics", d.topics)
	if d.queue == "" {
		b.WriteString(draftMore)
	}
	if len(d.eventBridge) > 0 {
		fmt.Fprintf(&b, "  # The policy names the rule %s, not its events, which are source/detail-type:\n", printable.Text(d.eventBridge[0].name, 64))
		d.writeRoutes(&b, "eventbridge", d.eventBridge)
	}
	d.writeRoutes(&b, "s3", d.s3)
	if len(d.plain) > 0 {
		worker, comment := d.propose(d.plain[0])
		fmt.Fprintf(&b, "  # Topics with raw message delivery, whose messages do not name their topic: %s\n  plain: %s%s\n", printable.Text(strings.Join(d.plain, ", "), 1000), worker, comment)
	}
	return b.String()
}

// writeKey writes a key and its value, unless that is "".
func writeKey(b *strings.Builder, indent, key, value string) {
	if value != "" {
		fmt.Fprintf(b, "%s%s: %s\n", indent, key, scalar(value))
	}
}

// scalar returns a text as a YAML scalar, quoted if necessary.
func scalar(text string) string {
	encoded, _ := yaml.Marshal(text) // cannot fail for a string
	return strings.TrimSpace(string(encoded))
}

func (d *draft) writeRoutes(b *strings.Builder, section string, routes []draftRoute) {
	if len(routes) == 0 {
		return
	}
	fmt.Fprintf(b, "  %s:\n", section)
	for _, r := range routes {
		worker, comment := d.propose(r.name)
		fmt.Fprintf(b, "    %s: %s%s\n", scalar(r.key), worker, comment)
	}
}

// propose returns the worker for a topic, bucket or rule, and a comment.
func (d *draft) propose(name string) (worker, comment string) {
	if d.classes == nil {
		return guessClass(name), ""
	}
	if worker, ok := d.classes.find(name); ok {
		return worker, ""
	}
	d.unknown = append(d.unknown, name)
	return guessClass(name), "   # TODO: the app has no such class"
}
