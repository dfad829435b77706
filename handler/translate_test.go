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
	"scout/sidekiq"
)

var testRouter = NewRouter([]Route{
	{Topic: "orders", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker", Queue: "default"}}}},
	{Topic: "arn:aws:sns:us-east-1:123456789012:billing", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "ExactWorker", Queue: "default"}}}},
	{Topic: "billing", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "NameWorker", Queue: "default"}}}},
	{Topic: "audit-*", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "AuditWorker", Queue: "low"}}}},
	{Topic: "audit-eu-*", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "EUAuditWorker", Queue: "low"}}}},
	{Topic: "shop-?", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "ShopWorker", Queue: "low"}}}},
	{Topic: "fan", Workers: []Worker{
		{JobTemplate: sidekiq.JobTemplate{Class: "A", Queue: "default"}, Args: []Arg{ArgMessage, ArgMetadata}},
		{JobTemplate: sidekiq.JobTemplate{Class: "B", Queue: "low", ActiveJob: true}, Args: []Arg{ArgMetadata}},
	}},
	{Topic: "aj", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "SyncJob", Queue: "default", ActiveJob: true}}}},
})

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
	_, jobs, err := testRouter.Translate(m, time.Unix(1767323045, 0))
	if err != nil {
		t.Fatal(err)
	}
	decoded := make([]map[string]json.RawMessage, len(jobs))
	for i, job := range jobs {
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
	if got := testRouter.Route("arn:aws:sns:eu-west-1:123456789012:billing").Workers[0].Class; got != "NameWorker" {
		t.Errorf("the same name in another region goes to %s, want NameWorker", got)
	}
	for _, topic := range []string{"order", "orders2", "Orders", "shop-", "shop-12", "", "my-audit-1"} {
		if workers := testRouter.Route("arn:aws:sns:us-east-1:123456789012:" + topic).Workers; workers != nil {
			t.Errorf("%q goes to %v, want no worker", topic, workers)
		}
	}
}

func TestMetadata(t *testing.T) {
	m := notification("fan", "1")
	m.Body = strings.TrimSuffix(m.Body, "}") + `,"MessageAttributes":{"kind":{"Type":"String","Value":"a\"b"},"n":{"Type":"Number","Value":"7"},"traceparent":{"Type":"String","Value":"00-aa-bb-01"}}}`
	baggage := "k=v"
	sqsTrace := "00-not-this-01"
	m.MessageAttributes = map[string]events.SQSMessageAttribute{"baggage": {StringValue: &baggage, DataType: "String"}, "traceparent": {StringValue: &sqsTrace, DataType: "String"}}
	jobs := translate(t, m)
	const metadata = `{"topic":"fan","topic_arn":"arn:aws:sns:us-east-1:123456789012:fan","message_id":"sns-1","subject":"Hi","timestamp":"2026-01-02T03:04:05.678Z","attributes":{"kind":"a\"b","n":"7","traceparent":"00-aa-bb-01"},"sqs_message_id":"sqs-1","receive_count":2}`
	if got, want := string(jobs[0]["args"]), "[1,"+metadata+"]"; got != want {
		t.Errorf("args = %s\nwant   %s", got, want)
	}
	if got, want := string(jobs[1]["args"]), `"arguments":[`+metadata+"]"; !strings.Contains(got, want) {
		t.Errorf("ActiveJob: args = %s\nwant %s in it", got, want)
	}
	for i, job := range jobs {
		if string(job["traceparent"]) != `"00-aa-bb-01"` || string(job["baggage"]) != `"k=v"` || job["tracestate"] != nil {
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
	withoutID := func(sqs string) func(*events.SQSMessage) {
		return func(m *events.SQSMessage) { m.MessageId = sqs; m.Body = strings.Replace(m.Body, "sns-1", "", 1) }
	}
	if jid(withoutID("sqs-1")) == jid(withoutID("sqs-2")) {
		t.Error("without an SNS id, messages with different SQS ids got the same jid")
	}
}

func TestRejectsMessageWithoutAnyID(t *testing.T) {
	m := notification("orders", "1")
	m.MessageId, m.Body = "", strings.Replace(m.Body, "sns-1", "", 1)
	if _, jobs, err := testRouter.Translate(m, time.Now()); err == nil {
		t.Errorf("jobs = %v; all messages without an id would share theirs", jobs)
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
		{"empty", "", ReasonNotEnvelope, "raw message delivery"},
		{"text", "hello", ReasonNotEnvelope, "not JSON: expected a value at byte 0; if it comes from SNS, turn off raw message delivery"},
		{"array", "[1]", ReasonNotEnvelope, "another JSON value"},
		{"raw delivery", `{"id":1}`, ReasonNotEnvelope, "raw message delivery"},
		{"cut", valid[:len(valid)-5], ReasonNotEnvelope, "not JSON"},
		{"other type", replace("Notification", "SubscriptionConfirmation"), ReasonNotEnvelope, "not an SNS notification"},
		{"key in another case", replace(`"TopicArn"`, `"topicarn"`), ReasonNotEnvelope, `no string "TopicArn"`},
		{"no message", replace(`"Message"`, `"Massage"`), ReasonNotEnvelope, `no string "Message"`},
		{"message not a string", replace(`"Message":"1"`, `"Message":{"a":1}`), ReasonNotEnvelope, `no string "Message"`},
		{"message null", replace(`"Message":"1"`, `"Message":null`), ReasonNotEnvelope, `no string "Message"`},
		{"no id", replace(`"MessageId"`, `"Id"`), ReasonNotEnvelope, `no string "MessageId"`},
		{"topic twice", replace(`{`, `{"TopicArn":"arn:aws:sns:us-east-1:123456789012:billing",`), ReasonNotEnvelope, "a duplicate key"},
		{"topic twice, escaped", replace(`{`, `{"\u0054opicArn":"x",`), ReasonNotEnvelope, "a duplicate key"},
		{"invalid UTF-8", replace(`"Message":"1"`, "\"Message\":\"\xff\""), ReasonNotEnvelope, "invalid UTF-8"},
		{"lone surrogate as text", replace(`"Message":"1"`, `"Message":"\ud800"`), ReasonNotEnvelope, "surrogate"},

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
			_, jobs, err := testRouter.Translate(&events.SQSMessage{MessageId: "sqs-1", Body: c.body}, time.Now())
			rejection, ok := errors.AsType[*Rejection](err)
			if !ok || rejection.Reason != c.reason || !strings.Contains(rejection.Detail, c.want) {
				t.Errorf("error = %v, want reason %s, %q", err, c.reason, c.want)
			}
			if len(jobs) > 0 {
				t.Errorf("%d jobs in addition to the error", len(jobs))
			}
		})
	}
	if jobs := translate(t, notification("orders", `{"_aj_globalid":"x"}`)); len(jobs) != 1 {
		t.Error("a plain worker must get a key that only ActiveJob reserves")
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
			topic, jobs, err := testRouter.Translate(m, at)
			if _, ok := errors.AsType[*Rejection](err); err != nil && (!ok || len(jobs) > 0) {
				t.Fatalf("error %v with %d jobs", err, len(jobs))
			}
			batchTopic, batchJobs, batchErr := batch.translate(m, nil)
			if batchTopic != topic || !reflect.DeepEqual(batchJobs, jobs) || !reflect.DeepEqual(batchErr, err) {
				t.Fatalf("alone: %s, %v, %v; in a batch: %s, %v, %v", topic, jobs, err, batchTopic, batchJobs, batchErr)
			}
			for _, job := range jobs {
				verdict := jsonscan.Check(job.Payload)
				if verdict.Syntax != nil || verdict.Refused != nil || !jsonscan.IsObject(job.Payload) {
					t.Fatalf("%s: %+v", job.Payload, verdict)
				}
			}
			if err == nil && m.MessageId == "sqs-1" {
				checkMessage(t, jobs[0].Payload, string([]rune(message))) // as notification quotes it
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
	if json.Valid([]byte(message)) {
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
