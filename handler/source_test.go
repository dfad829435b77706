package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

// mixedRoutes has routes of every source and kind.
var mixedRoutes = Routes{
	Topics: []Route{
		{"orders", worker("OrderWorker", "default")},
		{"debug", Ignore{}},
		{"shop", Choice{
			By: Selector{Attribute: "event_type"},
			To: []Route{
				{"order.created", worker("CreatedWorker", "default")},
				{"order.*", List{worker("OrderWorker", "default"), Choice{
					By: Selector{Pointer: "/paid"},
					To: []Route{{"true", worker("PaidWorker", "low")}, {"*", Ignore{}}},
				}}},
				{"ping", Ignore{}},
			},
			Else: worker("OtherWorker", "default"),
		}},
		{"typed", Choice{By: Selector{Pointer: "/a/0/b~1c"}, To: []Route{{"x", worker("XWorker", "default")}, {"1.0", worker("NumberWorker", "default")}, {"skip", Ignore{}}}}},
		{"lists", List{
			Choice{By: Selector{Pointer: "/a"}, To: []Route{{"1", worker("A1", "default")}}, Else: Ignore{}},
			Choice{By: Selector{Pointer: "/b"}, To: []Route{{"1", worker("B1", "default")}}, Else: Ignore{}},
		}},
	},
	EventBridge: []Route{
		{"shop.billing/Invoice Paid", Worker{JobTemplate: sidekiq.JobTemplate{Class: "PaidWorker", Queue: "default"}, Args: []Arg{ArgMessage, ArgMetadata}}},
		{"aws.s3/Object *", worker("UploadWorker", "low")},
		{"noise/*", Ignore{}},
	},
	S3: []Route{
		{"shop-*", Worker{JobTemplate: sidekiq.JobTemplate{Class: "UploadWorker", Queue: "default"}, Args: []Arg{ArgMessage, ArgMetadata}}},
		{"logs", Ignore{}},
	},
	Plain: Choice{
		By:   Selector{Attribute: "topic"},
		To:   []Route{{"import", Worker{JobTemplate: sidekiq.JobTemplate{Class: "ImportWorker", Queue: "default"}, Args: []Arg{ArgMessage, ArgMetadata}}}, {"noise", Ignore{}}},
		Else: worker("AnyWorker", "default"),
	},
}

var mixedRouter = NewRouter(mixedRoutes)

const queueARN = "arn:aws:sqs:us-east-1:123456789012:shop_queue"

// sent returns a message with that body and string attributes, as pairs.
func sent(body string, attributes ...string) *events.SQSMessage {
	m := &events.SQSMessage{MessageId: "sqs-1", Body: body, EventSourceARN: queueARN}
	for i := 0; i < len(attributes); i += 2 {
		if m.MessageAttributes == nil {
			m.MessageAttributes = map[string]events.SQSMessageAttribute{}
		}
		m.MessageAttributes[attributes[i]] = events.SQSMessageAttribute{StringValue: &attributes[i+1], DataType: "String"}
	}
	return m
}

// withAttribute returns a notification with one string attribute.
func withAttribute(topic, message, name, value string) *events.SQSMessage {
	m := notification(topic, message)
	m.Body = strings.TrimSuffix(m.Body, "}") + fmt.Sprintf(`,"MessageAttributes":{%q:{"Type":"String","Value":%q}}}`, name, value)
	return m
}

const (
	invoicePaid = `{"version":"0","id":"7bf73129-1428-4cd3-a780-95db273d1602","detail-type":"Invoice Paid","source":"shop.billing","account":"123456789012","time":"2026-11-22T18:43:48Z","region":"us-east-1","resources":[],"detail":{"total": 12.50}}`
	s3Put       = `{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2026-11-22T18:46:04.987Z","eventName":"ObjectCreated:Put","responseElements":{"x-amz-request-id":"D82B88E5F771F645"},"s3":{"bucket":{"name":"shop-uploads"},"object":{"key":"images/Zo%C3%AB+1.png","size":1,"sequencer":"0A1B2C3D4E5F678901"}}}`
	testEvent   = `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2026-11-22T18:46:04.987Z","Bucket":"shop-uploads","RequestId":"1","HostId":"2"}`
)

func s3Body(records ...string) string { return `{"Records":[` + strings.Join(records, ",") + `]}` }

// outcome returns what a router makes of a message, in a few words: the classes of
// its jobs, ignored, or the reason.
func outcome(r *Router, m *events.SQSMessage) (string, error) {
	translation, err := r.Translate(m, time.Unix(1767323045, 0))
	if rejection, ok := errors.AsType[*Rejection](err); ok {
		return string(rejection.Reason), err
	}
	if translation.Ignored {
		return "ignored", nil
	}
	classes := make([]string, len(translation.Jobs))
	for i, job := range translation.Jobs {
		classes[i] = job.Class
	}
	return strings.Join(classes, " "), nil
}

func TestRoutesOfAllSources(t *testing.T) {
	deep := strings.Repeat("[", 91) + strings.Repeat("]", 91)
	for _, c := range []struct {
		name string
		m    *events.SQSMessage
		want string
	}{
		{"topic", notification("orders", "1"), "OrderWorker"},
		{"ignored topic", notification("debug", "1"), "ignored"},
		{"ignored topic, unacceptable message", notification("debug", `{"a":1,"a":2}`), "ignored"},
		{"ignored topic, envelope of doubtful topic", sent(strings.Replace(notification("debug", "1").Body, "{", `{"TopicArn":"x",`, 1)), "not_envelope"},
		{"attribute, exact", withAttribute("shop", `{}`, "event_type", "order.created"), "CreatedWorker"},
		{"attribute, list with a choice", withAttribute("shop", `{"paid":true}`, "event_type", "order.shipped"), "OrderWorker PaidWorker"},
		{"attribute, list with ignore", withAttribute("shop", `{"paid":"no"}`, "event_type", "order.shipped"), "OrderWorker"},
		{"attribute, list with an element that fits nothing", withAttribute("shop", `{"paid":null}`, "event_type", "order.shipped"), "no_route"},
		{"attribute, unacceptable where a body is needed", withAttribute("shop", `{"paid":true,"paid":false}`, "event_type", "order.shipped"), "unacceptable"},
		{"attribute, ignored without a look at the message", withAttribute("shop", `{"a":1,"a":2}`, "event_type", "ping"), "ignored"},
		{"attribute twice", sent(strings.Replace(withAttribute("shop", `{}`, "event_type", "ping").Body, `{"event_type"`, `{"event_type":{},"event_type"`, 1)), "unacceptable"},
		{"attribute of SQS is not the envelope's", func() *events.SQSMessage {
			m := notification("shop", "{}")
			m.MessageAttributes = sent("", "event_type", "ping").MessageAttributes
			return m
		}(), "OtherWorker"},
		{"pointer", notification("typed", `{"a":[{"b/c":"x"}]}`), "XWorker"},
		{"pointer to a number", notification("typed", `{"a":[{"b/c":1.0}]}`), "NumberWorker"},
		{"pointer to another form of the number", notification("typed", `{"a":[{"b/c":1}]}`), "no_route"},
		{"pointer to an object", notification("typed", `{"a":[{"b/c":{}}]}`), "no_route"},
		{"pointer to nothing", notification("typed", `{"a":[]}`), "no_route"},
		{"pointer into text", notification("typed", `text`), "no_route"},
		{"pointer, ignored", notification("typed", `{"a":[{"b/c":"skip"}]}`), "ignored"},
		{"list, both ignore", notification("lists", `{}`), "ignored"},
		{"list, one ignores", notification("lists", `{"b":1}`), "B1"},
		{"list, none ignores", notification("lists", `{"b":1,"a":1}`), "A1 B1"},
		{"wrapped test event", notification("orders", testEvent), "ignored"},
		{"wrapped test event, topic without a route", notification("nope", testEvent), "no_route"},
		{"wrapped test event, topic with a choice", notification("typed", testEvent), "ignored"},
		{"wrapped S3 notification", notification("orders", s3Body(s3Put, s3Put)), "OrderWorker"},

		{"event", sent(invoicePaid), "PaidWorker"},
		{"event, pattern", sent(`{"source":"aws.s3","detail-type":"Object Created","detail":{}}`), "UploadWorker"},
		{"event, ignored", sent(`{"source":"noise","detail-type":"a/b c","detail":{}}`), "ignored"},
		{"event, no route", sent(`{"source":"shop.billing","detail-type":"Invoice paid","detail":{}}`), "no_route"},
		{"event, source twice", sent(`{"source":"noise","source":"noise","detail-type":"x","detail":{}}`), "not_envelope"},
		{"event, unacceptable", sent(`{"source":"aws.s3","detail-type":"Object Created","detail":{"a":1e999}}`), "unacceptable"},
		{"event, id a number", sent(`{"source":"aws.s3","detail-type":"Object Created","detail":{},"id":1}`), "not_envelope"},
		{"no event: detail a text", sent(`{"source":"aws.s3","detail-type":"Object Created","detail":"x"}`), "AnyWorker"},
		{"no event: key in another case", sent(`{"Source":"aws.s3","detail-type":"Object Created","detail":{}}`), "AnyWorker"},

		{"S3", sent(s3Body(s3Put)), "UploadWorker"},
		{"S3, two records", sent(s3Body(s3Put, strings.Replace(s3Put, "1.png", "2.png", 1))), "UploadWorker UploadWorker"},
		{"S3, one of two ignored", sent(s3Body(s3Put, strings.Replace(s3Put, "shop-uploads", "logs", 1))), "UploadWorker"},
		{"S3, all ignored", sent(s3Body(strings.Replace(s3Put, "shop-uploads", "logs", 1))), "ignored"},
		{"S3, one of two without a route", sent(s3Body(s3Put, strings.Replace(s3Put, "shop-uploads", "other", 1))), "no_route"},
		{"S3, bucket twice", sent(s3Body(strings.Replace(s3Put, `{"name"`, `{"name":"logs","name"`, 1))), "unacceptable"},
		{"S3, 100 records", sent(s3Body(strings.Split(strings.TrimSuffix(strings.Repeat(s3Put+"\n", 100), "\n"), "\n")...)), strings.TrimSpace(strings.Repeat("UploadWorker ", 100))},
		{"S3, 101 records", sent(s3Body(strings.Split(strings.TrimSuffix(strings.Repeat(s3Put+"\n", 101), "\n"), "\n")...)), "not_envelope"},
		{"test event", sent(testEvent), "ignored"},
		{"records of another service", sent(`{"Records":[{"eventSource":"aws:dynamodb"}]}`), "AnyWorker"},
		{"records of two services", sent(s3Body(s3Put, `{"eventSource":"aws:dynamodb"}`)), "AnyWorker"},
		{"no records", sent(`{"Records":[]}`), "AnyWorker"},

		{"plain text", sent("hello"), "AnyWorker"},
		{"plain JSON", sent(`{"id":1}`), "AnyWorker"},
		{"plain array", sent(`[1]`), "AnyWorker"},
		{"plain, attribute", sent("hello", "topic", "import"), "ImportWorker"},
		{"plain, ignored", sent(`{"a":1e999}`, "topic", "noise"), "ignored"},
		{"plain, unacceptable", sent(`{"a":1e999}`), "unacceptable"},
		{"plain, too deep", sent(deep), "unacceptable"},
		{"plain, invalid UTF-8", sent("\xff"), "unacceptable"},
		{"plain, without a body", sent(""), "not_envelope"},
		{"plain, Type twice", sent(`{"Type":"Notification","Type":"x","TopicArn":"y"}`), "not_envelope"},
		{"never plain: control message", sent(strings.Replace(notification("orders", "1").Body, "Notification", "SubscriptionConfirmation", 1)), "not_envelope"},
		{"never plain: notification of no topic", sent(`{"Type":"Notification","TopicArn":1}`), "not_envelope"},
		{"plain: other type", sent(strings.Replace(notification("orders", "1").Body, "Notification", "Other", 1)), "AnyWorker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := outcome(mixedRouter, c.m); got != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// Without their sections, messages are rejected with a reason that names the section.
func TestSourcesThatAreNotConfigured(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"event", invoicePaid, "the body is an EventBridge event of shop.billing; see queue.eventbridge"},
		{"S3", s3Body(s3Put), "the body is an event notification of the S3 bucket shop-uploads; see queue.s3"},
		{"test event", testEvent, "the body is an event notification of the S3 bucket shop-uploads; see queue.s3"},
		{"records of another service", `{"Records":[{"eventSource":"aws:dynamodb\u001b"}]}`, `the body has records of aws:dynamodb\u001b, for which Scout has no section; set queue.plain to take them`},
		{"SNS's records for Lambda", `{"Records":[{"EventSource":"aws:sns"}]}`, `records of aws:sns`},
		{"text", "hello", "or set queue.plain to take such messages"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, err := outcome(testRouter, sent(c.body)); got != "not_envelope" || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
			if got, err := outcome(NewRouter(Routes{Plain: Ignore{}}), sent(c.body)); got != "not_envelope" && c.name != "text" && !strings.Contains(c.name, "records") {
				t.Errorf("with plain alone: %s, %v", got, err)
			}
		})
	}
}

// The jids are those of TestJobID in package sidekiq, which has the identities.
func TestArgumentsAndIdentities(t *testing.T) {
	plainByID := mixedRoutes
	plainByID.MessageID = Selector{Pointer: "/id"}
	for _, c := range []struct {
		name   string
		router *Router
		m      *events.SQSMessage
		id     sidekiq.Identity
		want   string
	}{
		{"event", mixedRouter, sent(invoicePaid), sidekiq.Identity{Kind: "eventbridge", Source: "shop.billing", ID: []string{"7bf73129-1428-4cd3-a780-95db273d1602"}},
			`[{"total": 12.50},{"source":"eventbridge","event_source":"shop.billing","detail_type":"Invoice Paid","message_id":"7bf73129-1428-4cd3-a780-95db273d1602","timestamp":"2026-11-22T18:43:48Z","account":"123456789012","region":"us-east-1","sqs_message_id":"sqs-1","receive_count":0}]`},
		{"replayed event", mixedRouter, sent(strings.Replace(invoicePaid, "{", `{"replay-name":"november",`, 1)), sidekiq.Identity{Kind: "eventbridge", Source: "shop.billing", ID: []string{"7bf73129-1428-4cd3-a780-95db273d1602", "november"}}, ""},
		{"event without id", mixedRouter, sent(strings.Replace(invoicePaid, `"id"`, `"ID"`, 1)), sidekiq.Identity{Kind: "eventbridge", Source: "shop.billing", ID: []string{"sqs-1"}}, ""},
		{"S3", mixedRouter, sent(s3Body(s3Put)), sidekiq.Identity{Kind: "s3", Source: "shop-uploads", ID: []string{"images/Zo%C3%AB+1.png", "", "0A1B2C3D4E5F678901", "ObjectCreated:Put", "2026-11-22T18:46:04.987Z", "D82B88E5F771F645"}},
			`[` + s3Put + `,{"source":"s3","bucket":"shop-uploads","key":"images/Zoë 1.png","event":"ObjectCreated:Put","timestamp":"2026-11-22T18:46:04.987Z","region":"us-east-1","sqs_message_id":"sqs-1","receive_count":0}]`},
		{"S3, prefixed event", mixedRouter, sent(s3Body(strings.Replace(s3Put, "ObjectCreated:Put", "s3:ObjectCreated:Put", 1))), sidekiq.Identity{Kind: "s3", Source: "shop-uploads", ID: []string{"images/Zo%C3%AB+1.png", "", "0A1B2C3D4E5F678901", "ObjectCreated:Put", "2026-11-22T18:46:04.987Z", "D82B88E5F771F645"}}, ""},
		{"S3, neither sequencer nor request", mixedRouter, sent(s3Body(`{"eventSource":"aws:s3","s3":{"bucket":{"name":"shop-a"},"object":{"key":"k","versionId":null,"sequencer":""}}}`)), sidekiq.Identity{Kind: "s3", Source: "shop-a", ID: []string{"k", "", "", "", "", "", "sqs-1", "0"}}, ""},
		{"plain", mixedRouter, sent("a\nb", "topic", "import", "b", "2"), sidekiq.Identity{Kind: "plain", Source: "shop_queue", ID: []string{"sqs-1"}},
			`["a\nb",{"source":"plain","message_id":"sqs-1","attributes":{"b":"2","topic":"import"},"sqs_message_id":"sqs-1","receive_count":0}]`},
		{"plain by body", NewRouter(plainByID), sent(` {"id":1.50} `, "topic", "import"), sidekiq.Identity{Kind: "plain", Source: "shop_queue", ID: []string{"1.50"}},
			`[{"id":1.50},{"source":"plain","message_id":"1.50","attributes":{"topic":"import"},"sqs_message_id":"sqs-1","receive_count":0}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			translation, err := c.router.Translate(c.m, time.Unix(1767323045, 0))
			if err != nil {
				t.Fatal(err)
			}
			template := sidekiq.JobTemplate{Class: translation.Jobs[0].Class, Queue: "default"}
			if got, want := translation.Jobs[0].JID, template.JobID(c.id).JID(); got != want {
				t.Errorf("jid = %s, want %s", got, want)
			}
			var job struct{ Args json.RawMessage }
			if err := json.Unmarshal(translation.Jobs[0].Payload, &job); err != nil || c.want != "" && string(job.Args) != c.want {
				t.Errorf("args = %s (%v)\nwant   %s", job.Args, err, c.want)
			}
		})
	}
	if got, err := outcome(NewRouter(plainByID), sent(`{"id":null}`)); got != "unacceptable" || !strings.Contains(err.Error(), "no body:/id, which queue.message_id") {
		t.Errorf("without the configured id: %s, %v", got, err)
	}
}

func TestMatchPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true}, {"*", "a/b", true}, {"a*", "a/b", true}, {"*b", "a/b", true}, {"a*b*c", "axxbyybzc", true}, {"a*b*c", "axxbyybz", false},
		{"?", "é", true}, {"?", "", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"**", "x", true}, {"[a]", "a", false}, {"[a]*", "[a]b", true},
		{`\*`, `\x`, true}, {"a*", "b", false}, {"*.created", "order.created.created", true}, {"*?", "", false}, {"", "", true},
	} {
		if got := MatchPattern(c.pattern, c.text); got != c.want {
			t.Errorf("%q matches %q: %t", c.pattern, c.text, got)
		}
	}
}

// FuzzSources checks for messages of all sources that a batch makes of a message
// what it makes alone, that there is never a job and a rejection, that Sidekiq can
// load each job, and that nothing in a message chooses a class, a queue or an option.
func FuzzSources(f *testing.F) {
	for _, body := range []string{invoicePaid, s3Body(s3Put, s3Put), testEvent, "text", `{"id":1}`, notification("shop", `{"paid":true}`).Body, withAttribute("shop", `{"paid":true}`, "event_type", "order.x").Body, `{"class":"X","queue":"q","retry":1}`} {
		f.Add(body, "import")
	}
	allowed := map[string]bool{}
	for _, routes := range [][]Route{mixedRoutes.Topics, mixedRoutes.EventBridge, mixedRoutes.S3, {{Outcome: mixedRoutes.Plain}}} {
		for _, route := range routes {
			for w := range Workers(route.Outcome) {
				allowed[w.Class+" on "+w.Queue] = true
			}
		}
	}
	f.Fuzz(func(t *testing.T, body, attribute string) {
		at := time.Unix(1767323045, 0)
		m := sent(body, "topic", attribute)
		batch := translator{router: mixedRouter, at: at}
		for _, before := range []string{invoicePaid, s3Body(s3Put), notification("shop", `{"paid":true}`).Body, "text"} {
			_, _ = batch.translate(sent(before), nil)
		}
		alone, err := mixedRouter.Translate(m, at)
		inBatch, batchErr := batch.translate(m, nil)
		if fmt.Sprint(inBatch, batchErr) != fmt.Sprint(alone, err) {
			t.Fatalf("alone: %v, %v; in a batch: %v, %v", alone, err, inBatch, batchErr)
		}
		if (err != nil) == (len(alone.Jobs) > 0 || alone.Ignored) || alone.Ignored && len(alone.Jobs) > 0 {
			t.Fatalf("error %v, ignored %t, %d jobs", err, alone.Ignored, len(alone.Jobs))
		}
		for _, job := range alone.Jobs {
			checkJob(t, job.Payload, allowed)
		}
		if err == nil {
			return
		}
		batch.router = deadRouter(mixedRoutes)
		letter, ok := batch.deadLetter(m, err)
		if !ok || len(letter.Dead) == 0 {
			t.Fatalf("no entry in the dead set: %v", err)
		}
		for _, entry := range letter.Dead {
			checkJob(t, entry.Payload, allowed)
		}
	})
}

// checkJob checks a job, or an entry of the dead set, whose keys begin after those of
// a job.
func checkJob(t *testing.T, text []byte, allowed map[string]bool) {
	t.Helper()
	if verdict := jsonscan.Check(text); verdict.Syntax != nil || verdict.Refused != nil {
		t.Fatalf("%s: %+v", text, verdict)
	}
	var payload map[string]any
	if err := json.Unmarshal(text, &payload); err != nil {
		t.Fatal(err)
	}
	switch target := fmt.Sprint(payload["class"], " on ", payload["queue"], " retry ", payload["retry"]); {
	case target == "Scout::RejectedMessage on default retry 0":
	case strings.HasSuffix(target, " retry true") && allowed[strings.TrimSuffix(target, " retry true")]:
	default:
		t.Fatalf("the message chose %s", target)
	}
	keys := " retry queue class args jid created_at enqueued_at traceparent tracestate baggage "
	if payload["failed_at"] != nil {
		keys += "error_message error_class failed_at retry_count "
	}
	for key := range payload {
		if !strings.Contains(keys, " "+key+" ") {
			t.Fatalf("the job has the key %q: %s", key, text)
		}
	}
}
