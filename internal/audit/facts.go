package audit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"scout/config"
	"scout/handler"
	"scout/internal/printable"
	"scout/internal/sqsclient"
)

// Facts are the expectations that a configuration has of a queue, and the data about it
// from AWS.
type Facts struct {
	Queue    config.Queue
	DedupTTL time.Duration // see config.Redis
	Region   string        // for which requests are signed
	Endpoint string        // of requests; "" for AWS's own

	URL        string
	Attributes Attributes // of the queue; nil if Err is not
	Err        error      // why the attributes are unknown

	// Subscriptions are the subscriptions of the queue. AllListed reports whether they
	// include all of the queue's account and region. Topics has the topics whose
	// subscriptions were requested, and whether the topic exists.
	Subscriptions []Subscription
	AllListed     bool
	Topics        map[string]bool

	DeadLetters map[string]Target // dead-letter queues of the queue and its subscriptions, by ARN

	Unknowns []Finding // facts that could not be read
}

// A Target is a dead-letter queue.
type Target struct {
	URL        string
	Missing    bool       // whether there is no such queue
	Attributes Attributes // nil if unknown
}

// A Subscription is a subscription of the queue to a topic.
type Subscription struct {
	ARN        string // "" while it waits for confirmation
	Topic      string // the ARN
	Attributes Attributes
}

// Attributes are the attributes of a queue or a subscription, by AWS's names.
type Attributes map[string]string

// seconds returns an attribute that is a number of seconds, or 0 if it is missing.
func (a Attributes) seconds(name string) time.Duration {
	n, _ := strconv.ParseUint(a[name], 10, 31)
	return time.Duration(n) * time.Second
}

// redrive returns the dead-letter queue and the maximum number of receives that
// the RedrivePolicy names. A subscription's policy has no such number.
func (a Attributes) redrive() (deadLetters string, receives int) {
	var p struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.Number
	}
	if json.Unmarshal([]byte(a["RedrivePolicy"]), &p) != nil {
		return "", 0
	}
	receives, _ = strconv.Atoi(p.MaxReceiveCount.String())
	return p.DeadLetterTargetArn, receives
}

// The maximum numbers of calls for a queue.
const (
	maxPages         = 50  // of ListSubscriptions, each with up to 100 subscriptions
	maxTopicPages    = 10  // of ListSubscriptionsByTopic, for a topic
	maxTopics        = 100 // whose subscriptions are listed
	maxSubscriptions = 100 // whose attributes are read
)

// An Auditor reads facts about queues from AWS.
type Auditor struct {
	SQS      *sqsclient.Client
	sns      *sns.Client
	dedupTTL time.Duration
	endpoint string
}

// New returns an Auditor whose clients are configured like the daemon's.
func New(ctx context.Context, c *config.Config) (*Auditor, error) {
	client, err := sqsclient.New(ctx, c.AWS, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	topics, err := newSNS(ctx, c.AWS)
	if err != nil {
		return nil, err
	}
	return &Auditor{client, topics, c.Redis.DedupTTL, c.AWS.Endpoint}, nil
}

// newSNS returns a client for SNS. The configured endpoint is for SNS as well, unless
// it is one of AWS's own for SQS. The SDK knows the environment's endpoint for SNS.
func newSNS(ctx context.Context, c config.AWS) (*sns.Client, error) {
	loaded, err := sqsclient.AWSConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return sns.NewFromConfig(loaded, func(o *sns.Options) {
		isForSQS := isAWS(c.Endpoint) || o.BaseEndpoint != nil && c.Endpoint == os.Getenv("AWS_ENDPOINT_URL_SQS")
		if c.Endpoint != "" && !isForSQS {
			o.BaseEndpoint = &c.Endpoint
		}
	}), nil
}

// isAWS reports whether a URL has a host of AWS.
func isAWS(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (strings.Contains(u.Host, ".amazonaws.") || strings.HasSuffix(u.Host, ".api.aws"))
}

// Facts returns the facts about the queue with the given URL. It makes at most a few
// hundred calls.
func (a *Auditor) Facts(ctx context.Context, q config.Queue, url string) Facts {
	f := &collector{Auditor: a, ctx: ctx, facts: Facts{
		Queue: q, DedupTTL: a.dedupTTL, Region: a.SQS.Options().Region, Endpoint: a.endpoint, URL: url,
		Topics: map[string]bool{}, DeadLetters: map[string]Target{},
	}}
	f.facts.Attributes, f.facts.Err = f.queueAttributes(url)
	if f.facts.Err != nil {
		return f.facts
	}
	f.readTarget(f.facts.Attributes)
	f.readSubscriptions()
	for _, sub := range f.facts.Subscriptions {
		f.readTarget(sub.Attributes)
	}
	return f.facts
}

// callTimeout is the maximum duration of a call, with its retries.
const callTimeout = 10 * time.Second

// A collector reads facts from AWS.
type collector struct {
	*Auditor
	ctx     context.Context
	facts   Facts
	stopped bool // SNS does not respond, so no more calls are made
}

// Permissions without a resource in IAM; see "Actions, resources, and condition keys
// for Amazon SNS" in the Service Authorization Reference.
const (
	listSubscriptions         = "sns:ListSubscriptions"
	getSubscriptionAttributes = "sns:GetSubscriptionAttributes"
)

// addUnknown records a fact that could not be read.
func (f *collector) addUnknown(area Area, subject, fix, message string, args ...any) {
	Reporter{func(x Finding) { f.facts.Unknowns = append(f.facts.Unknowns, x) }, area, subject}.Unknown(fix, message, args...)
}

// addFailure records that a call failed. The permission is the one for the call.
func (f *collector) addFailure(area Area, subject, permission string, err error) {
	if !sqsclient.IsDenied(err) {
		f.addUnknown(area, subject, "", "Scout could not ask AWS about %s with %s: %s", subject, permission, printable.Text(err.Error(), 300))
		f.stopped = f.stopped || area == AreaTopic
		return
	}
	resource := "it"
	if permission == listSubscriptions || permission == getSubscriptionAttributes {
		resource = "*"
	}
	f.addUnknown(area, subject, "allow "+permission+" on "+resource, "Scout could not ask AWS about %s: %s is denied%s", subject, permission, sqsclient.Reason(err))
}

func (f *collector) queueAttributes(url string) (Attributes, error) {
	ctx, cancel := context.WithTimeout(f.ctx, callTimeout)
	defer cancel()
	out, err := f.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return nil, err
	}
	return out.Attributes, nil
}

// readTarget reads the attributes of the dead-letter queue in a RedrivePolicy, if there
// is one. The dead-letter queue of a queue is in the same account and region, so only
// the name in the queue's URL differs. The dead-letter queue of a subscription is in
// the region of the topic. readTarget does not read one in another region than the
// queue's.
func (f *collector) readTarget(a Attributes) {
	text, _ := a.redrive()
	if _, asked := f.facts.DeadLetters[text]; asked || text == "" {
		return
	}
	queue, target := parseARN(f.facts.Attributes["QueueArn"]), parseARN(text)
	t := Target{URL: f.facts.URL[:strings.LastIndexByte(f.facts.URL, '/')+1] + target.resource}
	if target.account != queue.account || target.region != queue.region {
		f.addUnknown(AreaDLQ, target.resource, "check it there", "Scout did not check the dead-letter queue %s, because its account or region differs from the queue's", text)
	} else {
		var err error
		t.Attributes, err = f.queueAttributes(t.URL)
		if _, t.Missing = errors.AsType[*types.QueueDoesNotExist](err); err != nil && !t.Missing {
			f.addFailure(AreaDLQ, target.resource, "sqs:GetQueueAttributes", err)
		}
	}
	f.facts.DeadLetters[text] = t
}

// readSubscriptions finds the subscriptions of the queue. SNS can list the
// subscriptions that the queue's account made, and those of one topic. The queue's
// policy and the configuration name topics.
func (f *collector) readSubscriptions() {
	queue := parseARN(f.facts.Attributes["QueueArn"])
	f.listAll(queue.region)
	topics := f.candidates(queue)
	for i, topic := range topics {
		if i == maxTopics {
			f.addUnknown(AreaTopic, f.facts.Queue.Label(), "", "Scout did not list the subscriptions of %d topics: there are more than %d", len(topics)-maxTopics, maxTopics)
			break
		}
		f.listTopic(topic)
	}
	slices.SortFunc(f.facts.Subscriptions, func(a, b Subscription) int { return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ARN, b.ARN)) })
	for i := range f.facts.Subscriptions[:min(len(f.facts.Subscriptions), maxSubscriptions)] {
		f.readSubscriptionAttributes(&f.facts.Subscriptions[i])
	}
}

// candidates returns the topics that the queue may be subscribed to, without those that
// are known. A topic without an account is assumed to be in the account of the queue.
func (f *collector) candidates(queue arn) []string {
	var topics []string
	add := func(topic arn) {
		isListed := f.facts.AllListed && topic.account == queue.account && topic.region == queue.region
		text := topic.String()
		if !isListed && !slices.Contains(topics, text) && !slices.ContainsFunc(f.facts.Subscriptions, func(s Subscription) bool { return s.Topic == text }) {
			topics = append(topics, text)
		}
	}
	for _, route := range f.facts.Queue.Topics {
		switch topic := parseARN(route.Key); {
		case topic.service == "sns":
			add(topic)
		case !hasWildcard(route.Key):
			add(arn{queue.partition, "sns", queue.region, queue.account, route.Key})
		}
	}
	for _, source := range f.facts.sources() {
		if source.service == "sns" {
			add(source)
		}
	}
	return topics
}

// addSubscription adds a subscription as SNS lists it, if it is a subscription of the
// queue.
func (f *collector) addSubscription(arn, topic, endpoint string) {
	if endpoint != f.facts.Attributes["QueueArn"] || arn == "Deleted" {
		return
	}
	if !strings.HasPrefix(arn, "arn:") { // PendingConfirmation
		arn = ""
	}
	s := Subscription{ARN: arn, Topic: topic}
	if !slices.ContainsFunc(f.facts.Subscriptions, func(other Subscription) bool { return other.ARN == s.ARN && other.Topic == topic }) {
		f.facts.Subscriptions = append(f.facts.Subscriptions, s)
	}
}

// inRegion returns an option for a call to SNS. Topics of other regions can have
// the queue as a subscriber.
func inRegion(region string) func(*sns.Options) {
	return func(o *sns.Options) { o.Region = region }
}

// listAll lists the subscriptions of the account.
func (f *collector) listAll(region string) {
	pages := sns.NewListSubscriptionsPaginator(f.sns, &sns.ListSubscriptionsInput{})
	for range maxPages {
		ctx, cancel := context.WithTimeout(f.ctx, callTimeout)
		page, err := pages.NextPage(ctx, inRegion(region))
		cancel()
		if err != nil {
			f.addFailure(AreaTopic, f.facts.Queue.Label(), listSubscriptions, err)
			return
		}
		for _, s := range page.Subscriptions {
			f.addSubscription(aws.ToString(s.SubscriptionArn), aws.ToString(s.TopicArn), aws.ToString(s.Endpoint))
		}
		if !pages.HasMorePages() {
			f.facts.AllListed = true
			return
		}
	}
	f.addUnknown(AreaTopic, f.facts.Queue.Label(), "", "Scout did not list all subscriptions of the AWS account: there are more than %d", maxPages*100)
}

// listTopic lists the subscriptions of a topic.
func (f *collector) listTopic(topic string) {
	if f.stopped {
		return
	}
	pages := sns.NewListSubscriptionsByTopicPaginator(f.sns, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
	for range maxTopicPages {
		ctx, cancel := context.WithTimeout(f.ctx, callTimeout)
		page, err := pages.NextPage(ctx, inRegion(parseARN(topic).region))
		cancel()
		if e, ok := errors.AsType[smithy.APIError](err); ok && strings.HasPrefix(e.ErrorCode(), "NotFound") {
			f.facts.Topics[topic] = false
			return
		}
		if err != nil {
			f.addFailure(AreaTopic, topic, "sns:ListSubscriptionsByTopic", err)
			return
		}
		for _, s := range page.Subscriptions {
			f.addSubscription(aws.ToString(s.SubscriptionArn), aws.ToString(s.TopicArn), aws.ToString(s.Endpoint))
		}
		if !pages.HasMorePages() {
			f.facts.Topics[topic] = true
			return
		}
	}
	f.addUnknown(AreaTopic, topic, "", "Scout did not list all subscriptions of %s: there are more than %d", handler.TopicName(topic), maxTopicPages*100)
}

// readSubscriptionAttributes reads the attributes of a subscription.
func (f *collector) readSubscriptionAttributes(s *Subscription) {
	if s.ARN == "" || f.stopped {
		return
	}
	ctx, cancel := context.WithTimeout(f.ctx, callTimeout)
	defer cancel()
	out, err := f.sns.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &s.ARN}, inRegion(parseARN(s.Topic).region))
	if err != nil {
		f.addFailure(AreaTopic, s.Topic, getSubscriptionAttributes, err)
		return
	}
	s.Attributes = out.Attributes
}
