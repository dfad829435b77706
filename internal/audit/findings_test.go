package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"scout/config"
	"scout/handler"
	"scout/sidekiq"
)

const (
	queueARN       = "arn:aws:sqs:us-east-1:123456789012:app"
	deadARN        = "arn:aws:sqs:us-east-1:123456789012:app_dead"
	undeliveredARN = "arn:aws:sqs:us-east-1:123456789012:undelivered"
	ordersARN      = "arn:aws:sns:us-east-1:123456789012:orders"
	importsARN     = "arn:aws:sns:eu-west-1:210987654321:imports"
)

const denyPlainText = `{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}`

// allow returns a statement that allows sending. The condition is JSON.
func allow(principal, condition string) string {
	return fmt.Sprintf(`{"Effect":"Allow","Principal":%s,"Action":"sqs:SendMessage","Resource":%q,"Condition":%s}`, principal, queueARN, condition)
}

func policyOf(statements ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
}

// The statements of the queue's policy in clean.
var (
	allowSNS    = allow(`{"Service":"sns.amazonaws.com"}`, fmt.Sprintf(`{"ArnEquals":{"aws:SourceArn":[%q,%q]}}`, ordersARN, importsARN))
	allowEvents = allow(`{"Service":"events.amazonaws.com"}`, `{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:123456789012:rule/invoices"}}`)
	allowS3     = allow(`{"Service":"s3.amazonaws.com"}`, `{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::uploads"},"StringEquals":{"aws:SourceAccount":"123456789012"}}`)
)

func worker(class string) handler.Worker {
	return handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: class, Queue: "default"}}
}

// clean returns facts without findings.
func clean() Facts {
	undelivered := fmt.Sprintf(`{"deadLetterTargetArn":%q}`, undeliveredARN)
	return Facts{
		Queue: config.Queue{
			Name:        "app",
			Topics:      []handler.Route{{Key: "orders", Outcome: worker("OrderWorker")}, {Key: "debug", Outcome: handler.Ignore{}}},
			EventBridge: []handler.Route{{Key: "shop.billing/*", Outcome: worker("InvoiceWorker")}},
			S3:          []handler.Route{{Key: "uploads", Outcome: worker("UploadWorker")}},
			Plain:       worker("ImportWorker"),
		},
		DedupTTL: 24 * time.Hour,
		Region:   "us-east-1",
		URL:      "https://sqs.us-east-1.amazonaws.com/123456789012/app",
		Attributes: Attributes{
			"QueueArn": queueARN, "MessageRetentionPeriod": "345600", "VisibilityTimeout": "60",
			"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"5"}`, deadARN),
			"Policy":        policyOf(denyPlainText, allowSNS, allowEvents, allowS3),
		},
		Subscriptions: []Subscription{
			{ordersARN + ":1", ordersARN, Attributes{"RawMessageDelivery": "false", "RedrivePolicy": undelivered}},
			{importsARN + ":1", importsARN, Attributes{"RawMessageDelivery": "true", "RedrivePolicy": undelivered}},
		},
		AllListed: true,
		Topics:    map[string]bool{importsARN: true},
		DeadLetters: map[string]Target{
			deadARN: {Attributes: Attributes{
				"MessageRetentionPeriod": "1209600", "ApproximateNumberOfMessages": "0",
				"RedriveAllowPolicy": fmt.Sprintf(`{"redrivePermission":"byQueue","sourceQueueArns":[%q]}`, queueARN),
			}},
			undeliveredARN: {Attributes: Attributes{
				"Policy": policyOf(strings.ReplaceAll(allowSNS, queueARN, undeliveredARN)), "ApproximateNumberOfMessages": "0",
			}},
		},
	}
}

// list returns findings that are not OK, one per line.
func list(all []Finding) string {
	var b strings.Builder
	for _, f := range all {
		if f.Severity != OK {
			fmt.Fprintf(&b, "%s %s %s: %s; %s\n", f.Severity, f.Area, f.Subject, f.Message, f.Fix)
		}
	}
	return b.String()
}

func TestClean(t *testing.T) {
	onlyPlain := func(f *Facts) {
		f.Queue.Topics, f.Queue.EventBridge, f.Queue.S3, f.Subscriptions = nil, nil, nil, nil
		policyIs(denyPlainText)(f)
	}
	for name, change := range map[string]func(*Facts){
		"all sections":              func(*Facts) {},
		"a queue by URL":            func(f *Facts) { f.Queue.URL, f.Queue.Name = f.URL, "" },
		"a queue by name, emulated": func(f *Facts) { f.Endpoint = "http://localhost:4566" },
		"a queue by URL, emulated":  func(f *Facts) { f.Queue.URL, f.Endpoint = "http://localhost:4566/1/app", "http://localhost:4566" },
		"just enough time":          queueIs("VisibilityTimeout", "30"),
		"just enough memory":        func(f *Facts) { f.DedupTTL = 5 * time.Minute },
		"several jobs, enough memory": func(f *Facts) {
			routeIs("orders", handler.List{worker("A"), worker("B")})(f)
			f.DedupTTL = 14 * 24 * time.Hour
		},
		"only topics":         func(f *Facts) { f.Queue.EventBridge, f.Queue.S3 = nil, nil; policyIs(denyPlainText, allowSNS)(f) },
		"only plain messages": onlyPlain,
		"only plain messages, AWS's key": func(f *Facts) {
			onlyPlain(f)
			queueIs("KmsMasterKeyId", "alias/aws/sqs")(f)
		},
		"only plain messages of another account": func(f *Facts) {
			onlyPlain(f)
			policyIs(denyPlainText, allow(`{"AWS":"arn:aws:iam::999999999999:root"}`, "{}"), allow(`{"Service":"iot.amazonaws.com"}`, "{}"))(f)
		},
		"patterns in the configuration and the policy": func(f *Facts) {
			f.Queue.Topics = []handler.Route{{Key: "ord*", Outcome: worker("A")}}
			f.Queue.S3 = []handler.Route{{Key: "up*", Outcome: worker("A")}}
			policyIs(denyPlainText, allowEvents, strings.Replace(allowS3, ":::uploads", ":::up*", 1),
				allow(`{"Service":"sns.amazonaws.com"}`, fmt.Sprintf(`{"ArnLike":{"aws:SourceArn":["arn:aws:sns:us-east-1:123456789012:*",%q]}}`, importsARN)))(f)
		},
		"an ignored bucket": func(f *Facts) {
			f.Queue.S3 = []handler.Route{{Key: "uploads", Outcome: handler.Ignore{}}}
			policyIs(denyPlainText, allowSNS, allowEvents)(f)
		},
		"sources of other statements": policyIs(denyPlainText, allowSNS, allowEvents, allowS3,
			fmt.Sprintf(`{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"%s-old"}}}`, ordersARN),
			fmt.Sprintf(`{"Effect":"Allow","Principal":"*","Action":"sqs:GetQueueUrl","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"%s-old"}}}`, ordersARN)),
		"the account's own users": policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`{"AWS":["arn:aws:iam::123456789012:root","123456789012"]}`, "{}")),
		"a topic of another account, which does not say whether it has the queue as a subscriber": func(f *Facts) {
			f.Subscriptions = f.Subscriptions[1:]
			policyIs(denyPlainText, strings.ReplaceAll(allowSNS, ordersARN, "arn:aws:sns:us-east-1:999999999999:orders"), allowEvents, allowS3)(f)
		},
		"topics of another account, which do not say so, and a pattern": func(f *Facts) {
			routeIs("ord*", worker("A"))(f)
			f.Subscriptions = f.Subscriptions[1:]
			policyIs(denyPlainText, strings.ReplaceAll(allowSNS, ordersARN, "arn:aws:sns:us-east-1:999999999999:orders"), allowEvents, allowS3)(f)
		},
		"a statement that lets anyone send to another queue": policyIs(denyPlainText, allowSNS, allowEvents, allowS3, strings.ReplaceAll(allow(`"*"`, "{}"), queueARN, queueARN+"2")),
		"a placeholder in the policy":                        policyIs(denyPlainText, strings.Replace(allowSNS, "]", `,"arn:aws:sns:us-east-1:000000000000:unused"]`, 1), allowEvents, allowS3),
	} {
		f := clean()
		if change(&f); list(f.Findings()) != "" {
			t.Errorf("%s: the findings are:\n%s", name, list(f.Findings()))
		}
	}
}

// A fault is a change of clean facts.
type fault struct {
	name string
	make func(*Facts)
	want string // the beginning of the only finding
}

// queueIs, deadIs and orderIs set an attribute of the queue, its dead-letter queue
// and the subscription to orders. "" removes it.
func queueIs(name, value string) func(*Facts) {
	return func(f *Facts) { f.Attributes = with(f.Attributes, name, value) }
}

func deadIs(name, value string) func(*Facts) {
	return func(f *Facts) {
		f.DeadLetters[deadARN] = Target{Attributes: with(f.DeadLetters[deadARN].Attributes, name, value)}
	}
}

func orderIs(name, value string) func(*Facts) {
	return func(f *Facts) { f.Subscriptions[0].Attributes = with(f.Subscriptions[0].Attributes, name, value) }
}

func undeliveredIs(target Target) func(*Facts) {
	return func(f *Facts) { f.DeadLetters[undeliveredARN] = target }
}

func with(a Attributes, name, value string) Attributes {
	a = maps.Clone(a)
	if a[name] = value; value == "" {
		delete(a, name)
	}
	return a
}

func policyIs(statements ...string) func(*Facts) { return queueIs("Policy", policyOf(statements...)) }

// routeIs sets the route for orders and removes that for debug.
func routeIs(key string, o handler.Outcome) func(*Facts) {
	return func(f *Facts) { f.Queue.Topics = []handler.Route{{Key: key, Outcome: o}} }
}

var queueFaults = []fault{
	{"signed for another region", func(f *Facts) { f.Region = "eu-west-1" }, "error queue app: the queue is in the region us-east-1, but requests are signed for eu-west-1; set aws.region to us-east-1"},
	{"queue.url of another region", func(f *Facts) {
		f.Queue.URL, f.Region = "https://sqs.eu-west-1.amazonaws.com/123456789012/app", "us-east-1"
		f.Attributes = nil
	}, "error queue app: the queue is in the region eu-west-1, but requests are signed for us-east-1; set aws.region to eu-west-1"},
	{"queue.url is not at the endpoint", func(f *Facts) { f.Queue.URL, f.Queue.Name, f.Endpoint = f.URL, "", "http://localhost:4566" }, "warning queue app: requests go to http://localhost:4566, not to the host of queue.url"},
	{"short visibility timeout", queueIs("VisibilityTimeout", "10"), "warning queue app: failed messages are redelivered after 10s"},
	{"short configured visibility timeout", func(f *Facts) { f.Queue.VisibilityTimeout = 20 * time.Second }, "warning queue app: failed messages are redelivered after 20s"},
	{"AWS's key", queueIs("KmsMasterKeyId", "alias/aws/sqs"), "error queue app: the queue is encrypted with the key alias/aws/sqs, which sns.amazonaws.com, events.amazonaws.com, s3.amazonaws.com cannot use"},
	{"AWS's key by ARN", queueIs("KmsMasterKeyId", "arn:aws:kms:us-east-1:123456789012:alias/aws/sqs"), "error queue app: the queue is encrypted with the key alias/aws/sqs, which sns"},
	{"own key", queueIs("KmsMasterKeyId", "alias/mine"), "unknown queue app: the queue is encrypted with the key alias/mine: no messages from sns.amazonaws.com, events.amazonaws.com, s3.amazonaws.com arrive unless the key's policy allows it, which Scout cannot see; check that the key's policy allows kms:GenerateDataKey"},
	{"no memory", func(f *Facts) { f.DedupTTL = 0 }, "warning config redis.dedup_ttl: redis.dedup_ttl is 0"},
	{"short memory", func(f *Facts) { f.DedupTTL = 4 * time.Minute }, "warning config redis.dedup_ttl: redis.dedup_ttl is 4m0s, but a message can be redelivered for 5m0s"},
	{"several jobs and dead letters that are older than the memory", routeIs("orders", handler.List{worker("A"), worker("B")}), "warning config redis.dedup_ttl: redis.dedup_ttl is 24h, but dead letters are kept for up to 336h (14 days): a message with several jobs can make some of them twice if it is sent back after 24h; raise it to 336h"},
	{"several jobs in a choice", routeIs("orders", handler.Choice{To: []handler.Route{{Key: "a", Outcome: handler.List{worker("A"), worker("B")}}}}), "warning config redis.dedup_ttl: redis.dedup_ttl is 24h"},

	{"several jobs and a FIFO queue, where the age of dead letters restarts", func(f *Facts) {
		routeIs("orders", handler.List{worker("A"), worker("B")})(f)
		queueIs("QueueArn", queueARN+".fifo")(f)
		queueIs("Policy", strings.ReplaceAll(f.Attributes["Policy"], queueARN, queueARN+".fifo"))(f)
		queueIs("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":"%s.fifo","maxReceiveCount":5}`, deadARN))(f)
		f.DeadLetters[deadARN+".fifo"] = Target{Attributes: with(f.DeadLetters[deadARN].Attributes, "RedriveAllowPolicy", "")}
		f.DedupTTL = 14 * 24 * time.Hour
	}, "warning config redis.dedup_ttl: redis.dedup_ttl is 336h (14 days), but dead letters are kept for up to 432h (18 days)"},

	{"no dead-letter queue", queueIs("RedrivePolicy", ""), "error dlq app: the queue has no dead-letter queue"},
	{"few receives", queueIs("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":4}`, deadARN)), "warning dlq app: messages go to the dead-letter queue after 4 receives"},
	{"missing dead-letter queue", func(f *Facts) { f.DeadLetters[deadARN] = Target{Missing: true} }, "error dlq app: the dead-letter queue " + deadARN + " does not exist"},
	{"dead-letter queue of another type", func(f *Facts) {
		queueIs("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":"%s.fifo","maxReceiveCount":5}`, deadARN))(f)
		f.DeadLetters[deadARN+".fifo"] = f.DeadLetters[deadARN]
	}, "error dlq app: the queue and its dead-letter queue app_dead.fifo are not both FIFO"},
	{"dead-letter queue that is for others", deadIs("RedriveAllowPolicy", `{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:123456789012:other"]}`), "error dlq app: the dead-letter queue app_dead does not accept messages of this queue"},
	{"dead-letter queue for no queue", deadIs("RedriveAllowPolicy", `{"redrivePermission":"denyAll"}`), "error dlq app: the dead-letter queue app_dead does not accept"},
	{"dead letters expire first", deadIs("MessageRetentionPeriod", "345600"), "warning dlq app: the dead-letter queue app_dead keeps messages for 96h (4 days) since they were sent, which is not longer"},
	{"dead letters, also of SNS", func(f *Facts) {
		deadIs("Policy", policyOf(strings.ReplaceAll(allowSNS, queueARN, deadARN)))(f)
		orderIs("RedrivePolicy", fmt.Sprintf(`{"deadLetterTargetArn":%q}`, deadARN))(f)
		deadIs("ApproximateNumberOfMessages", "1")(f)
	}, "warning dlq app: the dead-letter queue app_dead holds 1 message; see why with scout dlq ls --queue app"},
	{"dead letters", deadIs("ApproximateNumberOfMessages", "7"), "warning dlq app: the dead-letter queue app_dead holds 7 messages; see why with scout dlq ls --queue app"},
}

var policyFaults = []fault{
	{"none in an emulator", func(f *Facts) {
		queueIs("QueueArn", strings.Replace(queueARN, "123456789012", noAccount, 1))(f)
		queueIs("Policy", "")(f)
		orderIs("RedrivePolicy", "")(f)
		deadIs("MessageRetentionPeriod", "345600")(f)
		deadIs("RedriveAllowPolicy", "")(f)
	}, "unknown queue app: the queue is in an emulator and has no policy"},
	{"no JSON", queueIs("Policy", "{"), "error queue app: the queue's policy cannot be read"},
	{"none", queueIs("Policy", ""), "error queue app: the queue has no policy: no messages from sns.amazonaws.com, events.amazonaws.com, s3.amazonaws.com arrive"},
	{"TLS is not required", policyIs(allowSNS, allowEvents, allowS3), "warning queue app: the queue's policy does not deny requests without TLS"},
	{"TLS is required for another queue only", policyIs(strings.Replace(denyPlainText, `"Resource":"*"`, `"Resource":"`+queueARN+`2"`, 1), allowSNS, allowEvents, allowS3), "warning queue app: the queue's policy does not deny requests without TLS"},
	{"anyone may send", policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`"*"`, "{}")), "error queue app: the queue's policy lets anyone send"},
	{"anyone of AWS may send", policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`{"AWS":"*"}`, `{"DateGreaterThan":{"aws:CurrentTime":"2020-01-01T00:00:00Z"}}`)), "error queue app: the queue's policy lets anyone send"},
	{"anyone may send who gives no account", policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`"*"`, `{"StringEqualsIfExists":{"aws:SourceAccount":"123456789012"}}`)), "error queue app: the queue's policy lets anyone send"},
	{"anyone may send who gives no source", policyIs(denyPlainText, allowEvents, allowS3, strings.NewReplacer(`{"Service":"sns.amazonaws.com"}`, `"*"`, "ArnEquals", "ForAllValues:ArnLike").Replace(allowSNS)), "error queue app: the queue's policy lets anyone send"},
	{"anyone may send without an organization", policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`"*"`, `{"Null":{"aws:PrincipalOrgID":"true"}}`)), "error queue app: the queue's policy lets anyone send"},
	{"topics of any account", policyIs(denyPlainText, allow(`{"Service":"sns.amazonaws.com"}`, "{}"), allowEvents, allowS3), "warning queue app: the queue's policy lets sns.amazonaws.com send on behalf of any AWS account; add conditions on aws:SourceArn"},
	{"topics of any account, by wildcard", policyIs(denyPlainText, allow(`{"Service":"sns.amazonaws.com"}`, `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}`), allowEvents, allowS3), "warning queue app: the queue's policy lets sns.amazonaws.com send on behalf of any AWS account"},
	{"all topics of the account, by wildcard", policyIs(denyPlainText, allowSNS, allow(`{"Service":"sns.amazonaws.com"}`, `{"ArnLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:123456789012:*"}}`), allowEvents, allowS3), "warning queue app: the queue's policy lets all of arn:aws:sns:us-east-1:123456789012:* send, but no route has a pattern"},
	{"all topics of the account", policyIs(denyPlainText, allowSNS, allow(`{"Service":"sns.amazonaws.com"}`, `{"StringEquals":{"aws:SourceAccount":"123456789012"}}`), allowEvents, allowS3), "warning queue app: the queue's policy lets all of arn:aws:sns:*:*:* send"},
	{"all buckets of the account", policyIs(denyPlainText, allowSNS, allowEvents, strings.Replace(allowS3, ":::uploads", ":::up*", 1)), "warning queue app: the queue's policy lets all of arn:aws:s3:::up* send"},
	{"topics of any account, by a condition", policyIs(denyPlainText, allow(`{"Service":"sns.amazonaws.com"}`, `{"StringLike":{"aws:SourceAccount":"*"}}`), allowEvents, allowS3), "warning queue app: the queue's policy lets sns.amazonaws.com send on behalf of any AWS account"},
	{"bucket without an account", policyIs(denyPlainText, allowSNS, allowEvents, allow(`{"Service":"s3.amazonaws.com"}`, `{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::uploads"}}`)), "warning queue app: the queue's policy lets s3.amazonaws.com send without aws:SourceAccount"},
	{"topic may not send", policyIs(denyPlainText, allow(`{"Service":"sns.amazonaws.com"}`, fmt.Sprintf(`{"ArnEquals":{"aws:SourceArn":%q}}`, importsARN)), allowEvents, allowS3), "error topic " + ordersARN + ": the queue's policy does not let the topic orders send: none of its messages arrive; allow sqs:SendMessage to sns.amazonaws.com with aws:SourceArn " + ordersARN},
	{"topic is denied", policyIs(denyPlainText, allowSNS, allowEvents, allowS3, fmt.Sprintf(`{"Effect":"Deny","Principal":"*","Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":%q}}}`, ordersARN)), "error topic " + ordersARN + ": the queue's policy does not let the topic orders send"},
	{"bucket may not send", policyIs(denyPlainText, allowSNS, allowEvents), "error queue app: the queue's policy does not let the bucket uploads send: none of its messages arrive; allow sqs:SendMessage to s3.amazonaws.com with aws:SourceArn arn:aws:s3:::uploads"},
	{"rules may not send", policyIs(denyPlainText, allowSNS, allowS3), "warning queue app: the queue's policy does not let EventBridge send"},
	{"statement for another queue", policyIs(denyPlainText, allowSNS, allowEvents, strings.ReplaceAll(allowS3, queueARN, queueARN+"2")), "error queue app: the queue's policy does not let the bucket uploads send"},
	{"unknown condition", policyIs(denyPlainText, allowSNS, allowEvents, allow(`{"Service":"s3.amazonaws.com"}`, `{"StringEquals":{"aws:SourceOrgID":"o-1"}}`)), "unknown queue app: the queue's policy lets the bucket uploads send under conditions"},
	{"another topic", policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`{"Service":"sns.amazonaws.com"}`, fmt.Sprintf(`{"ArnEquals":{"aws:SourceArn":%q}}`, ordersARN+"-old"))), "warning topic " + ordersARN + "-old: the queue's policy lets " + ordersARN + "-old send, but no route applies"},
	{"another bucket", policyIs(denyPlainText, allowSNS, allowEvents, strings.Replace(allowS3, `"arn:aws:s3:::uploads"`, `["arn:aws:s3:::uploads","arn:aws:s3:::old"]`, 1)), "warning queue app: the queue's policy lets arn:aws:s3:::old send, but no route applies"},
	{"another bucket, as in AWS's examples", policyIs(denyPlainText, allowSNS, allowEvents, strings.Replace(allowS3, `"arn:aws:s3:::uploads"`, `["arn:aws:s3:*:*:uploads","arn:aws:s3:*:*:old"]`, 1)), "warning queue app: the queue's policy lets arn:aws:s3:::old send, but no route applies"},
	{"rules without a section", func(f *Facts) { f.Queue.EventBridge = nil }, "warning queue app: the queue's policy lets arn:aws:events:us-east-1:123456789012:rule/invoices send, but no route applies"},
	{"another account", func(f *Facts) {
		policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`{"AWS":"arn:aws:iam::999999999999:root"}`, "{}"))(f)
		f.Queue.Plain, f.Subscriptions = nil, f.Subscriptions[:1]
		f.Queue.Topics = append(f.Queue.Topics, handler.Route{Key: "imports", Outcome: handler.Ignore{}})
	}, "warning queue app: the queue's policy lets arn:aws:iam::999999999999:root of another AWS account send"},
	{"another service", func(f *Facts) {
		policyIs(denyPlainText, allowSNS, allowEvents, allowS3, allow(`{"Service":"iot.amazonaws.com"}`, "{}"))(f)
		f.Queue.Plain, f.Subscriptions = nil, f.Subscriptions[:1]
		f.Queue.Topics = append(f.Queue.Topics, handler.Route{Key: "imports", Outcome: handler.Ignore{}})
	}, "warning queue app: the queue's policy lets iot.amazonaws.com send, but no route applies"},
}

var topicFaults = []fault{
	{"not subscribed", func(f *Facts) { f.Subscriptions = f.Subscriptions[1:] }, "error topic orders: the queue is not subscribed to the topic orders: none of its messages arrive; subscribe the queue to it"},
	{"not subscribed, by ARN", func(f *Facts) { routeIs(ordersARN, worker("A"))(f); f.Subscriptions = f.Subscriptions[1:] }, "error topic " + ordersARN + ": the queue is not subscribed"},
	{"the topic does not exist", func(f *Facts) {
		f.Queue.Topics = append(f.Queue.Topics, handler.Route{Key: ordersARN + "-new", Outcome: worker("A")})
		f.AllListed, f.Topics = false, map[string]bool{ordersARN + "-new": false}
	}, "error topic " + ordersARN + "-new: the topic " + ordersARN + "-new does not exist"},
	{"not subscribed, and the policy admits a topic of that name that does not exist", func(f *Facts) {
		f.Subscriptions = f.Subscriptions[1:]
		policyIs(denyPlainText, strings.ReplaceAll(allowSNS, ordersARN, "arn:aws:sns:us-east-1:999999999999:orders"), allowEvents, allowS3)(f)
		f.Topics["arn:aws:sns:us-east-1:999999999999:orders"] = false
	}, "error topic orders: the queue is not subscribed to the topic orders"},
	{"a pattern without a topic", func(f *Facts) {
		f.Queue.Topics = append(f.Queue.Topics, handler.Route{Key: "audit-*", Outcome: worker("A")})
	}, "warning topic audit-*: the queue is subscribed to no topic that matches the pattern audit-*"},
	{"an ARN of another region does not match", routeIs("arn:aws:sns:eu-west-1:123456789012:orders", worker("A")), "error topic " + ordersARN + ": the queue is subscribed to orders, which has no route"},
	{"no route", func(f *Facts) { f.Queue.Topics = nil }, "error topic " + ordersARN + ": the queue is subscribed to orders, which has no route: its messages are rejected; add a route, end the subscription, or turn on raw message delivery"},
	{"raw delivery with a route", orderIs("RawMessageDelivery", "true"), "error topic " + ordersARN + ": raw message delivery is on for orders: its messages arrive without the topic's name, so the route orders never applies; turn off raw"},
	{"raw delivery without queue.plain", func(f *Facts) { f.Queue.Plain = nil }, "error topic " + importsARN + ": the messages of imports have no route: raw message delivery is on"},
	{"waits for confirmation", func(f *Facts) { f.Subscriptions[0] = Subscription{Topic: ordersARN} }, "error topic " + ordersARN + ": the subscription to orders is not confirmed"},
	{"waits for confirmation, by attribute", orderIs("PendingConfirmation", "true"), "error topic " + ordersARN + ": the subscription to orders is not confirmed"},
	{"no route, and unknown whether delivery is raw", func(f *Facts) {
		f.Queue.Plain, f.Subscriptions[0].Attributes = nil, nil
		f.Subscriptions = f.Subscriptions[:1]
		f.Queue.Topics = []handler.Route{{Key: "imports", Outcome: handler.Ignore{}}}
	}, "error topic " + ordersARN + ": the queue is subscribed to orders, which has no route: its messages are rejected; add a route, or end the subscription"},
	{"no dead-letter queue of the subscription", orderIs("RedrivePolicy", ""), "warning dlq " + ordersARN + ": the subscription to orders has no dead-letter queue"},
	{"SNS may not use the subscription's dead-letter queue", func(f *Facts) {
		undeliveredIs(Target{Attributes: Attributes{}})(f)
		f.Subscriptions, f.Queue.Plain = f.Subscriptions[:1], nil
		f.Queue.Topics = append(f.Queue.Topics, handler.Route{Key: "imports", Outcome: handler.Ignore{}})
	}, "error dlq " + ordersARN + ": SNS may not send to undelivered"},
	{"messages that SNS could not deliver", func(f *Facts) {
		target := f.DeadLetters[undeliveredARN]
		target.URL, target.Attributes = "http://u", with(target.Attributes, "ApproximateNumberOfMessages", "3")
		undeliveredIs(target)(f)
	}, "warning dlq undelivered: undelivered holds 3 messages that SNS could not deliver; see them with scout dlq ls --url http://u --to app, and send them on with scout dlq redrive --url http://u --to app"},
	{"the subscription's dead-letter queue is missing", func(f *Facts) {
		undeliveredIs(Target{Missing: true})(f)
		f.Subscriptions, f.Queue.Plain = f.Subscriptions[:1], nil
		f.Queue.Topics = append(f.Queue.Topics, handler.Route{Key: "imports", Outcome: handler.Ignore{}})
	}, "error dlq " + ordersARN + ": the dead-letter queue undelivered of the subscription to orders does not exist"},
}

// Each fault alone has exactly one finding.
func TestFaults(t *testing.T) {
	for _, c := range slices.Concat(queueFaults, policyFaults, topicFaults) {
		t.Run(c.name, func(t *testing.T) {
			f := clean()
			c.make(&f)
			if got := list(f.Findings()); !strings.HasPrefix(got, c.want) || strings.Count(got, "\n") != 1 {
				t.Errorf("the findings are:\n%swant only: %s", got, c.want)
			}
		})
	}
}

// Correct facts have findings of the severity OK.
func TestOK(t *testing.T) {
	f := clean()
	orderIs("FilterPolicy", "{\"type\": [\"new\"],\n \"x\": [\"\\u202e\"]}")(&f)
	var got []string
	for _, finding := range f.Findings() {
		got = append(got, string(finding.Severity)+" "+finding.Message)
	}
	want := []string{
		"ok rejected messages go to " + deadARN + " after 5 receives",
		"ok failed messages are redelivered after 1m0s",
		`ok orders is subscribed and has the route orders, with a filter of the message's attributes: {"type": ["new"], "x": ["\u202e"]}`,
		"ok imports is subscribed, and its messages go to queue.plain",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the findings are %q, want %q", got, want)
	}
}
