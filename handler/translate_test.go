package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/internal/printable"
	"scout/sidekiq"
)

func worker(class, queue string) Worker {
	return Worker{JobTemplate: sidekiq.JobTemplate{Class: class, Queue: queue}}
}

var testRouter = NewRouter(Routes{Topics: []Route{
	{"orders", worker("OrderWorker", "default")},
	{"arn:aws:sns:us-east-1:123456789012:billing", worker("ExactWorker", "default")},
	{"billing", worker("NameWorker", "default")},
	{"audit-*", worker("AuditWorker", "low")},
	{"audit-eu-*", worker("EUAuditWorker", "low")},
	{"shop-?", worker("ShopWorker", "low")},
	{"fan", List{
		Worker{JobTemplate: sidekiq.JobTemplate{Class: "A", Queue: "default"}, Args: []Arg{ArgMessage, ArgMetadata}},
		Worker{JobTemplate: sidekiq.JobTemplate{Class: "B", Queue: "low", ActiveJob: true}, Args: []Arg{ArgMetadata}},
	}},
	{"aj", Worker{JobTemplate: sidekiq.JobTemplate{Class: "SyncJob", Queue: "default", ActiveJob: true}}},
}})

// notification returns a message as SNS delivers it from a topic of that name.
func notification(topic, message string) *events.SQSMessage {
	return &events.SQSMessage{
		MessageId: "sqs-1",
		Body: fmt.Sprintf(`{"Type":"Notification","MessageId":"sns-1","TopicArn":"arn:aws:sns:us-east-1:123456789012:%s","Subject":"Hi","Message":%s,"Timestamp":"2026-01-02T03:04:05.678Z"}`,
			topic, jsonscan.AppendQuote(nil, message)),
		Attributes: map[string]string{"ApproximateReceiveCount": "2"},
	}
}

func translate(t *testing.T, m *events.SQSMessage) []map[string]json.RawMessage {
	t.Helper()
	translation, err := testRouter.Translate(m, time.Unix(1767323045, 0))
	if err != nil {
		t.Fatal(err)
	}
	decoded := make([]map[string]json.RawMessage, len(translation.Jobs))
	for i, job := range translation.Jobs {
		if err := json.Unmarshal(job.Payload, &decoded[i]); err != nil {
			t.Fatalf("%v in %s", err, job.Payload)
		}
	}
	return decoded
}

func TestMessageArgument(t *testing.T) {
	for name, c := range map[string]struct{ message, want string }{
		"object":          {`{"id": 1.0, "b":[1e2,1E2]}`, `[{"id": 1.0, "b":[1e2,1E2]}]`},
		"big number":      {`{"id":12345678901234567890123456789}`, `[{"id":12345678901234567890123456789}]`},
		"array":           {`[1,[2]]`, `[[1,[2]]]`},
		"number":          {`42`, `[42]`},
		"string":          {`"é\u00e9"`, `["é\u00e9"]`},
		"null":            {`null`, `[null]`},
		"space around":    {" {\n} \n", "[{\n}]"},
		"text":            {"hello \"you\"\n", `["hello \"you\"\n"]`},
		"almost JSON":     {`{"a":1,}`, `["{\"a\":1,}"]`},
		"NaN":             {`NaN`, `["NaN"]`},
		"empty":           {``, `[""]`},
		"text with nulls": {"a\x00b", `["a\u0000b"]`},
		"float":           {`-1.50e2`, `[-1.50e2]`},

		// Bare numbers that versions of Ruby's json read differently, or not at all.
		"like a number out of range": {`12e345`, `["12e345"]`},
		"like a long exponent":       {` 0e9999999999`, `[" 0e9999999999"]`},
		"like a large exponent":      {"0.1e309\n", `["0.1e309\n"]`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(translate(t, notification("orders", c.message))[0]["args"]); got != c.want {
				t.Errorf("args = %s, want %s", got, c.want)
			}
		})
	}
}

func TestRouting(t *testing.T) {
	for topic, want := range map[string]string{
		"orders": "OrderWorker", "billing": "ExactWorker", "audit-us": "AuditWorker", "audit-eu-1": "EUAuditWorker",
		"shop-1": "ShopWorker", "audit-": "AuditWorker",
	} {
		if got := string(translate(t, notification(topic, "1"))[0]["class"]); got != `"`+want+`"` {
			t.Errorf("%s goes to %s, want %s", topic, got, want)
		}
	}
	if route, _ := testRouter.Topic("arn:aws:sns:eu-west-1:123456789012:billing"); route.Key != "billing" {
		t.Errorf("the same name in another region has the route %q, want that of the name", route.Key)
	}
	for _, topic := range []string{"order", "orders2", "Orders", "shop-", "shop-12", "", "my-audit-1"} {
		if route, ok := testRouter.Topic("arn:aws:sns:us-east-1:123456789012:" + topic); ok {
			t.Errorf("%q goes to %v, want no worker", topic, route)
		}
	}
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestMetadata(t *testing.T) {
	m := notification("fan", "1")
	m.Body = strings.TrimSuffix(m.Body, "}") + `,"MessageAttributes":{"kind":{"Type":"String","Value":"a\"b"},"n":{"Type":"Number","Value":"7"},"traceparent":{"Type":"String","Value":"` + traceparent + `"}}}`
	baggage := "k=v"
	sqsTrace := strings.Replace(traceparent, "4", "5", 1)
	m.MessageAttributes = map[string]events.SQSMessageAttribute{"baggage": {StringValue: &baggage, DataType: "String"}, "traceparent": {StringValue: &sqsTrace, DataType: "String"}}
	jobs := translate(t, m)
	metadata := `{"source":"sns","topic":"fan","topic_arn":"arn:aws:sns:us-east-1:123456789012:fan","message_id":"sns-1","subject":"Hi","timestamp":"2026-01-02T03:04:05.678Z","attributes":{"kind":"a\"b","n":"7","traceparent":"` + traceparent + `"},"sqs_message_id":"sqs-1","receive_count":2}`
	if got, want := string(jobs[0]["args"]), "[1,"+metadata+"]"; got != want {
		t.Errorf("args = %s\nwant   %s", got, want)
	}
	if got, want := string(jobs[1]["args"]), `"arguments":[`+metadata+"]"; !strings.Contains(got, want) {
		t.Errorf("ActiveJob: args = %s\nwant %s in it", got, want)
	}
	for i, job := range jobs {
		if string(job["traceparent"]) != `"`+traceparent+`"` || string(job["baggage"]) != `"k=v"` || job["tracestate"] != nil {
			t.Errorf("job %d: traceparent %s, baggage %s, tracestate %s", i, job["traceparent"], job["baggage"], job["tracestate"])
		}
	}
	if string(jobs[0]["jid"]) == string(jobs[1]["jid"]) {
		t.Error("the jobs of two workers have the same jid")
	}

	m = notification("fan", "1")
	m.Body = strings.Replace(m.Body, `"Subject":"Hi",`, "", 1)
	if got := string(translate(t, m)[0]["args"]); !strings.Contains(got, `"subject":null`) || !strings.Contains(got, `"attributes":{}`) {
		t.Errorf("without subject and attributes: %s", got)
	}
}

func TestMessageIdentity(t *testing.T) {
	jid := func(change func(*events.SQSMessage)) string {
		m := notification("orders", "1")
		change(m)
		return string(translate(t, m)[0]["jid"])
	}
	same := jid(func(*events.SQSMessage) {})
	if got := jid(func(m *events.SQSMessage) { m.MessageId = "sqs-2"; m.Attributes["ApproximateReceiveCount"] = "9" }); got != same {
		t.Error("a redriven message, which has a new SQS id, got another jid")
	}
	if got := jid(func(m *events.SQSMessage) { m.Body = strings.Replace(m.Body, "sns-1", "sns-2", 1) }); got == same {
		t.Error("another message got the same jid")
	}
	if got := jid(func(m *events.SQSMessage) { m.Body = strings.Replace(m.Body, ":123456789012:", ":000000000000:", 1) }); got == same {
		t.Error("a message with the same id from another topic got the same jid")
	}
	const golden = `"9af74beb347dddac9c4f140b"` // computed as in TestJobID of package sidekiq
	if same != golden {
		t.Errorf("jid = %s, want %s", same, golden)
	}
}

func TestMessageWithoutSNSID(t *testing.T) {
	for name, change := range map[string]struct{ old, new string }{
		"empty": {`"sns-1"`, `""`}, "null": {`"sns-1"`, `null`}, "absent": {`"MessageId":"sns-1",`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			withID := func(sqsID string) Translation {
				m := notification("fan", "1")
				m.MessageId, m.Body = sqsID, strings.Replace(m.Body, change.old, change.new, 1)
				translation, err := testRouter.Translate(m, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				return translation
			}
			first, again, other := withID("sqs-1"), withID("sqs-1"), withID("sqs-2")
			if first.MessageID != "" || first.Jobs[0].JID != again.Jobs[0].JID || first.Jobs[0].JID == other.Jobs[0].JID {
				t.Errorf("SNS id %q; jids %s, %s and, with another SQS id, %s", first.MessageID, first.Jobs[0].JID, again.Jobs[0].JID, other.Jobs[0].JID)
			}
			if !strings.Contains(string(first.Jobs[0].Payload), `"message_id":"sqs-1"`) {
				t.Errorf("the metadata does not have the SQS id: %s", first.Jobs[0].Payload)
			}
		})
	}
}

func TestRejectsMessageWithoutAnyID(t *testing.T) {
	m := notification("orders", "1")
	m.MessageId, m.Body = "", strings.Replace(m.Body, "sns-1", "", 1)
	if translation, err := testRouter.Translate(m, time.Now()); err == nil {
		t.Errorf("jobs = %v; all messages without an id would share theirs", translation.Jobs)
	}
}

func TestRejections(t *testing.T) {
	valid := notification("orders", "1").Body
	replace := func(old, new string) string { return strings.Replace(valid, old, new, 1) }
	deep := strings.Repeat("[", 91) + strings.Repeat("]", 91)
	for _, c := range []struct {
		name, body string
		reason     Reason
		want       string
	}{
		{"empty", "", ReasonNotEnvelope, "the message has no body"},
		{"text", "hello", ReasonNotEnvelope, "not JSON: expected a value at byte 0; if it comes from SNS, turn off raw message delivery"},
		{"array", "[1]", ReasonNotEnvelope, "another JSON value"},
		{"raw delivery", `{"id":1}`, ReasonNotEnvelope, "raw message delivery"},
		{"cut", valid[:len(valid)-5], ReasonNotEnvelope, "not JSON"},
		{"other type", replace("Notification", "Other"), ReasonNotEnvelope, "not an SNS notification"},
		{"subscription", replace("Notification", "SubscriptionConfirmation"), ReasonNotEnvelope, "a subscription to the topic orders waits to be confirmed; to confirm it, open the SubscribeURL in this message's body"},
		{"unsubscription", replace("Notification", "UnsubscribeConfirmation"), ReasonNotEnvelope, "the subscription to the topic orders has been cancelled, and its restoration waits to be confirmed; to restore it, open the SubscribeURL"},
		{"subscription to no topic", strings.Replace(replace("Notification", "SubscriptionConfirmation"), "arn:aws:sns", "arn:aws:sqs", 1), ReasonNotEnvelope, "TopicArn is not the ARN of an SNS topic"},
		{"key in another case", replace(`"TopicArn"`, `"topicarn"`), ReasonNotEnvelope, `no string "TopicArn"`},
		{"no message", replace(`"Message"`, `"Massage"`), ReasonNotEnvelope, `no string "Message"`},
		{"message not a string", replace(`"Message":"1"`, `"Message":{"a":1}`), ReasonNotEnvelope, `no string "Message"`},
		{"message null", replace(`"Message":"1"`, `"Message":null`), ReasonNotEnvelope, `no string "Message"`},
		{"id a number", replace(`"sns-1"`, `1`), ReasonNotEnvelope, `MessageId is not a string`},
		{"topic twice", replace(`{`, `{"TopicArn":"arn:aws:sns:us-east-1:123456789012:billing",`), ReasonNotEnvelope, `it has a duplicate key "TopicArn"`},
		{"topic twice, escaped", replace(`{`, `{"\u0054opicArn":"x",`), ReasonNotEnvelope, "a duplicate key"},
		{"message twice, after another fault", replace(`{`, `{"x":"\ud800","Message":"2",`), ReasonNotEnvelope, `it has a duplicate key "Message"`},
		{"subject twice", replace(`{`, `{"Subject":null,`), ReasonNotEnvelope, `it has a duplicate key "Subject"`},
		{"topic with a lone surrogate", replace("orders", `orders\ud800`), ReasonNotEnvelope, "is not the ARN of an SNS topic"},

		{"invalid UTF-8", replace(`"Message":"1"`, "\"Message\":\"\xff\""), ReasonUnacceptable, "the SNS envelope has text that a Sidekiq job cannot carry safely: it has invalid UTF-8"},
		{"lone surrogate as text", replace(`"Message":"1"`, `"Message":"\ud800"`), ReasonUnacceptable, "it has a lone surrogate at byte"},
		{"lone surrogate in the subject", replace(`"Hi"`, `"\udc00"`), ReasonUnacceptable, "it has a lone surrogate at byte"},
		{"lone surrogate in an attribute", replace(`{`, `{"MessageAttributes":{"a":{"Type":"String","Value":"\ud800"}},`), ReasonUnacceptable, "it has a lone surrogate at byte"},
		{"attribute twice", replace(`{`, `{"MessageAttributes":{"a":{},"a":{}},`), ReasonUnacceptable, "it has a duplicate key at byte 29, which"},
		{"unknown key twice", replace(`{`, `{"New":1,"New":2,`), ReasonUnacceptable, "it has a duplicate key at byte 9, which"},
		{"deep attribute", replace(`{`, `{"MessageAttributes":`+deep+`,`), ReasonUnacceptable, "nesting deeper than 90 levels"},
		{"fault in a message without route", strings.Replace(notification("unknown", "1").Body, `"1"`, `"\ud800"`, 1), ReasonNoRoute, `"unknown"`},

		{"no route", notification("unknown", "1").Body, ReasonNoRoute, `no worker is configured for the topic "unknown"`},
		{"topic in another case", notification("ORDERS", "1").Body, ReasonNoRoute, `"ORDERS"`},

		{"too deep", notification("orders", deep).Body, ReasonUnacceptable, "nesting deeper than 90 levels at byte 90, which leaves too few of Ruby's 100 levels to the job around it"},
		{"long exponent", notification("orders", `{"a":0e9999999999}`).Body, ReasonUnacceptable, "an exponent of more than 9 digits at byte 5, which versions of Ruby's json read differently"},
		{"overflow", notification("orders", `{"a":1e309}`).Body, ReasonUnacceptable, "range of a double"},
		{"lone surrogate", notification("orders", `{"a":"\ud800"}`).Body, ReasonUnacceptable, "surrogate"},
		{"duplicate key", notification("orders", `{"a":1,"a":2}`).Body, ReasonUnacceptable, "it has a duplicate key at byte 7, which versions of Ruby's json read differently; the publisher has to change it"},
		{"ActiveJob key", notification("aj", `{"_aj_globalid":"gid://app/User/1"}`).Body, ReasonUnacceptable, "the message argument of SyncJob has a key that begins with _aj_"},
		{
			"ActiveJob key in metadata",
			strings.TrimSuffix(notification("fan", "1").Body, "}") + `,"MessageAttributes":{"_aj_serialized":{"Type":"String","Value":"X"}}}`,
			ReasonUnacceptable, "the metadata argument of B has a key that begins with _aj_",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			translation, err := testRouter.Translate(&events.SQSMessage{MessageId: "sqs-1", Body: c.body}, time.Now())
			rejection, ok := errors.AsType[*Rejection](err)
			if !ok || rejection.Reason != c.reason || !strings.Contains(rejection.Detail, c.want) {
				t.Errorf("error = %v, want reason %s, %q", err, c.reason, c.want)
			}
			if len(translation.Jobs) > 0 {
				t.Errorf("%d jobs in addition to the error", len(translation.Jobs))
			}
		})
	}
	if jobs := translate(t, notification("orders", `{"_aj_globalid":"x"}`)); len(jobs) != 1 {
		t.Error("a plain worker must get a key that only ActiveJob reserves")
	}
}

func TestTopicARNs(t *testing.T) {
	const valid = "arn:aws:sns:us-east-1:123456789012:"
	for name, c := range map[string]struct {
		arn string
		ok  bool
	}{
		"topic":              {valid + "orders", true},
		"FIFO topic":         {valid + "orders.fifo", true},
		"every character":    {valid + "Az09_-", true},
		"China":              {"arn:aws-cn:sns:cn-north-1:123456789012:orders", true},
		"GovCloud":           {"arn:aws-us-gov:sns:us-gov-west-1:123456789012:orders", true},
		"LocalStack":         {"arn:aws:sns:us-east-1:000000000000:orders", true},
		"longest name":       {valid + strings.Repeat("x", 256), true},
		"longest FIFO name":  {valid + strings.Repeat("x", 251) + ".fifo", true},
		"name too long":      {valid + strings.Repeat("x", 257), false},
		"FIFO name too long": {valid + strings.Repeat("x", 252) + ".fifo", false},
		"1 MiB":              {valid + strings.Repeat("x", 1<<20), false},
		"no name":            {valid, false},
		"only .fifo":         {valid + ".fifo", false},
		"name with a dot":    {valid + "orders.dead", false},
		"subscription":       {valid + "orders:1f1c5b0e", false},
		"escape":             {valid + "\x1b[31mred", false},
		"line break":         {valid + "orders\n", false},
		"bidi override":      {valid + "or\u202eders", false},
		"wildcard":           {valid + "*", false},
		"empty":              {"", false},
		"name alone":         {"orders", false},
		"SQS":                {"arn:aws:sqs:us-east-1:123456789012:orders", false},
		"no region":          {"arn:aws:sns::123456789012:orders", false},
		"no partition":       {"arn::sns:us-east-1:123456789012:orders", false},
		"long region":        {"arn:aws:sns:" + strings.Repeat("x", 33) + ":123456789012:orders", false},
		"short account":      {"arn:aws:sns:us-east-1:12345678901:orders", false},
		"account of letters": {"arn:aws:sns:us-east-1:abcdefghijkl:orders", false},
		"upper case":         {"ARN:aws:sns:us-east-1:123456789012:orders", false},
	} {
		t.Run(name, func(t *testing.T) {
			m := notification("orders", "1")
			m.Body = strings.Replace(m.Body, `"`+valid+`orders"`, string(jsonscan.AppendQuote(nil, c.arn)), 1)
			translation, err := testRouter.Translate(m, time.Now())
			rejection, _ := errors.AsType[*Rejection](err)
			switch isTopic := rejection == nil || rejection.Reason == ReasonNoRoute; {
			case isTopic != c.ok:
				t.Errorf("error %v, want a topic: %t", err, c.ok)
			case c.ok && translation.TopicARN != c.arn, !c.ok && translation.TopicARN != "":
				t.Errorf("topic %q", translation.TopicARN)
			case rejection != nil && (len(rejection.Detail) > 400 || printable.Text(rejection.Detail, 0) != rejection.Detail):
				t.Errorf("detail %q", rejection.Detail)
			}
		})
	}
}

// FuzzTranslate checks that Sidekiq can load every job, that it has the message
// unchanged, that there is never a job and an error, and that a batch makes of a
// message what the message makes alone.
func FuzzTranslate(f *testing.F) {
	for _, message := range []string{`{"a":[1,2.50,"\ud83d\ude00"]}`, "text", `{"a":1,"a":2}`, "\xff", `{"_aj_x":1}`, `1e999`, " [] "} {
		f.Add(notification("fan", message).Body, message)
		f.Add(notification("orders", message).Body, message)
	}
	f.Fuzz(func(t *testing.T, body, message string) {
		at := time.Now()
		batch := translator{router: testRouter, at: at}
		for _, m := range []*events.SQSMessage{{MessageId: "m", Body: body}, notification("fan", message)} {
			alone, err := testRouter.Translate(m, at)
			rejection, ok := errors.AsType[*Rejection](err)
			if err != nil && (!ok || len(alone.Jobs) > 0) {
				t.Fatalf("error %v with %d jobs", err, len(alone.Jobs))
			}
			inBatch, batchErr := batch.translate(m, nil)
			if !reflect.DeepEqual(inBatch, alone) || !reflect.DeepEqual(batchErr, err) {
				t.Fatalf("alone: %v, %v; in a batch: %v, %v", alone, err, inBatch, batchErr)
			}
			if shown := alone.TopicARN + fmt.Sprint(err); rejection != nil && printable.Text(shown, 1000) != shown {
				t.Fatalf("topic %q, error %q", alone.TopicARN, err)
			}
			for _, job := range alone.Jobs {
				verdict := jsonscan.Check(job.Payload)
				if verdict.Syntax != nil || verdict.Refused != nil || !jsonscan.IsObject(job.Payload) {
					t.Fatalf("%s: %+v", job.Payload, verdict)
				}
			}
			if err == nil && m.MessageId == "sqs-1" {
				checkMessage(t, alone.Jobs[0].Payload, string([]rune(message))) // as notification quotes it
			}
		}
	})
}

// checkMessage compares a job's first argument with the published message.
func checkMessage(t *testing.T, payload []byte, message string) {
	t.Helper()
	var job struct{ Args []json.RawMessage }
	if err := json.Unmarshal(payload, &job); err != nil {
		t.Fatal(err)
	}
	got := string(job.Args[0])
	isText := !json.Valid([]byte(message)) || jsonscan.IsNumber([]byte(message)) && jsonscan.Check([]byte(message)).Refused != nil
	if !isText {
		if got != strings.Trim(message, " \t\r\n") {
			t.Fatalf("JSON %q became %q", message, got)
		}
		return
	}
	var text string
	if err := json.Unmarshal(job.Args[0], &text); err != nil || text != message {
		t.Fatalf("text %q became %q (%v)", message, got, err)
	}
}
