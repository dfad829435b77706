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

		{"longest tracestate", traceparent, "k=" + strings.Repeat("x", 510), "", "[{traceparent " + traceparent + "} {tracestate k=" + strings.Repeat("x", 510) + "}]"},
		{"tracestate too long", traceparent, "k=" + strings.Repeat("x", 511), "k=v", "[{traceparent " + traceparent + "} {baggage k=v}]"},
		{"tracestate of 900 KB", traceparent, strings.Repeat("x", 900_000), "", "[{traceparent " + traceparent + "}]"},
		{"tracestate with a control character", traceparent, "vendor=\x1b", "", "[{traceparent " + traceparent + "}]"},
		{"tracestate without a value", traceparent, "vendor", "", "[{traceparent " + traceparent + "}]"},
		{"tracestate with a key in upper case", traceparent, "Vendor=1", "", "[{traceparent " + traceparent + "}]"},
		{"tracestate of a tenant, with an empty member", traceparent, "1a@b=x y ,, c/d=!", "", "[{traceparent " + traceparent + "} {tracestate 1a@b=x y ,, c/d=!}]"},
		{"33 members of tracestate", traceparent, strings.Repeat("k=v,", 32) + "k=v", "", "[{traceparent " + traceparent + "}]"},
		{"tracestate beyond ASCII", traceparent, "vendor=é", "", "[{traceparent " + traceparent + "}]"},

		{"longest baggage", "", "", "k=" + strings.Repeat("v", 8190), "[{baggage k=" + strings.Repeat("v", 8190) + "}]"},
		{"baggage too long", traceparent, "", "k=" + strings.Repeat("v", 8191), "[{traceparent " + traceparent + "}]"},
		{"180 members", "", "", members(180), "[{baggage " + members(180) + "}]"},
		{"181 members", "", "", members(181), "[]"},
		{"baggage without a value", "", "", "k", "[]"},
		{"baggage with a blank in a value", "", "", "k=a b", "[]"},
		{"baggage with a quote", "", "", `k="v"`, "[]"},
		{"baggage with properties", "", "", "k = v ; p ; q=%20,l=", "[{baggage k = v ; p ; q=%20,l=}]"},
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
			if got := fmt.Sprint(testRouter.traceFields(&envelope{Attributes: fromSNS}, &events.SQSMessage{})); got != c.want {
				t.Errorf("of SNS: got %.300s, want %.300s", got, c.want)
			}
			if got := fmt.Sprint(testRouter.traceFields(nil, &events.SQSMessage{MessageAttributes: fromSQS})); got != c.want {
				t.Errorf("of SQS: got %.300s, want %.300s", got, c.want)
			}
		})
	}
}

func TestOmitTrace(t *testing.T) {
	router := NewRouter(Routes{Topics: []Route{{"orders", worker("OrderWorker", "default")}}})
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

func TestXRay(t *testing.T) {
	const root, parent = "Root=1-5759e988-bd862e3fe1be46a994272793", "Parent=53995c3f42cd8ad8"
	const want = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-0"
	for name, c := range map[string]struct{ header, want string }{
		"sampled":             {root + ";" + parent + ";Sampled=1", want + "1"},
		"not sampled":         {root + ";" + parent + ";Sampled=0", want + "0"},
		"undecided":           {root + ";" + parent + ";Sampled=?", want + "0"},
		"without a decision":  {root + ";" + parent, want + "0"},
		"other case":          {"ROOT=1-5759E988-BD862E3FE1BE46A994272793;parent=53995c3f42cd8ad8;SAMPLED=1", want + "1"},
		"other order, spaces": {"Sampled=1; " + parent + "; Lineage=a:1 ;" + root, want + "1"},
		"self first":          {"Self=1-00000000-000000000000000000000001;" + root + ";" + parent + ";Sampled=1", want + "1"},
		"without a parent":    {root + ";Sampled=1", ""},
		"parent 0":            {root + ";Parent=0000000000000000;Sampled=1", ""},
		"other version":       {strings.Replace(root, "=1-", "=2-", 1) + ";" + parent, ""},
		"short":               {root[:len(root)-1] + ";" + parent, ""},
		"no digits":           {strings.Replace(root, "5759", "x759", 1) + ";" + parent, ""},
		"long":                {root + ";" + parent + ";" + strings.Repeat("x", maxXRay), ""},
		"empty":               {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := notification("orders", "1")
			m.Attributes["AWSTraceHeader"] = c.header
			fields := testRouter.traceFields(nil, m)
			got := ""
			if len(fields) > 0 {
				got = fields[0].Value
			}
			if got != c.want || len(fields) > 1 {
				t.Errorf("got %v, want %s", fields, c.want)
			}
			m.MessageAttributes = sent("", "traceparent", traceparent).MessageAttributes
			if fields := testRouter.traceFields(nil, m); len(fields) != 1 || fields[0].Value != traceparent {
				t.Errorf("with a traceparent: %v", fields)
			}
		})
	}
}
