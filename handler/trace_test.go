package handler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/jsonscan"
	"scout/sidekiq"
)

func TestTrace(t *testing.T) {
	members := func(n int) string { return strings.TrimSuffix(strings.Repeat("k=v,", n), ",") }
	for _, c := range []struct{ name, traceparent, tracestate, baggage, want string }{
		{"all", traceparent, "vendor=1", "k=v;p=1, l=w", "[{traceparent " + traceparent + "} {tracestate vendor=1} {baggage k=v;p=1, l=w}]"},
		{"none", "", "", "", "[]"},
		{"later version", "cc" + traceparent[2:], "", "", "[{traceparent cc" + traceparent[2:] + "}]"},
		{"baggage alone", "", "", "k=v", "[{baggage k=v}]"},
		{"tracestate alone", "", "vendor=1", "k=v", "[{baggage k=v}]"},
		{"tracestate of an invalid traceparent", traceparent + "\r\nx: y", "vendor=1", "", "[]"},

		{"upper case", strings.ToUpper(traceparent), "", "", "[]"},
		{"version ff", "ff" + traceparent[2:], "", "", "[]"},
		{"trace id of zeros", "00-" + strings.Repeat("0", 32) + traceparent[35:], "", "", "[]"},
		{"parent id of zeros", traceparent[:36] + strings.Repeat("0", 16) + "-01", "", "", "[]"},
		{"no flags", traceparent[:52], "", "", "[]"},
		{"longer", traceparent + "-00", "", "", "[]"},
		{"other separators", strings.ReplaceAll(traceparent, "-", "_"), "", "", "[]"},
		{"line break", traceparent[:54] + "\n", "", "", "[]"},

		{"longest tracestate", traceparent, strings.Repeat("x", 512), "", "[{traceparent " + traceparent + "} {tracestate " + strings.Repeat("x", 512) + "}]"},
		{"tracestate too long", traceparent, strings.Repeat("x", 513), "k=v", "[{traceparent " + traceparent + "} {baggage k=v}]"},
		{"tracestate of 900 KB", traceparent, strings.Repeat("x", 900_000), "", "[{traceparent " + traceparent + "}]"},
		{"tracestate with a control character", traceparent, "vendor=\x1b", "", "[{traceparent " + traceparent + "}]"},
		{"tracestate beyond ASCII", traceparent, "vendor=é", "", "[{traceparent " + traceparent + "}]"},

		{"longest baggage", "", "", "k=" + strings.Repeat("v", 8190), "[{baggage k=" + strings.Repeat("v", 8190) + "}]"},
		{"baggage too long", traceparent, "", "k=" + strings.Repeat("v", 8191), "[{traceparent " + traceparent + "}]"},
		{"180 members", "", "", members(180), "[{baggage " + members(180) + "}]"},
		{"181 members", "", "", members(181), "[]"},
		{"baggage with line breaks", "", "", "k=v\r\nx: y", "[]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var fromSNS []attribute
			fromSQS := map[string]events.SQSMessageAttribute{}
			for _, field := range []sidekiq.TraceField{{Key: "traceparent", Value: c.traceparent}, {Key: "tracestate", Value: c.tracestate}, {Key: "baggage", Value: c.baggage}} {
				if field.Value != "" {
					fromSNS = append(fromSNS, attribute{[]byte(field.Key), []byte("String"), []byte(field.Value)})
					fromSQS[field.Key] = events.SQSMessageAttribute{StringValue: &field.Value, DataType: "String"}
				}
			}
			if got := fmt.Sprint(testRouter.traceFields(fromSNS, &events.SQSMessage{})); got != c.want {
				t.Errorf("of SNS: got %.300s, want %.300s", got, c.want)
			}
			if got := fmt.Sprint(testRouter.traceFields(nil, &events.SQSMessage{MessageAttributes: fromSQS})); got != c.want {
				t.Errorf("of SQS: got %.300s, want %.300s", got, c.want)
			}
		})
	}
}

func TestOmitTrace(t *testing.T) {
	router := NewRouter([]Route{{Topic: "orders", Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: "OrderWorker", Queue: "default"}}}}})
	m := notification("orders", "1")
	m.Body = strings.TrimSuffix(m.Body, "}") + `,"MessageAttributes":{"traceparent":{"Type":"String","Value":` + string(jsonscan.AppendQuote(nil, traceparent)) + `}}}`
	for _, omit := range []bool{false, true} {
		router.OmitTrace = omit
		translation, err := router.Translate(m, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(translation.Jobs[0].Payload), "traceparent"); got == omit {
			t.Errorf("OmitTrace %t: traceparent in the job: %t", omit, got)
		}
	}
}
