package sqsevent

import (
	stdjson "encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-json-experiment/json"
)

// sampleEvents returns the events in the events folder by their names.
func sampleEvents(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no sample events: %v", err)
	}
	samples := map[string][]byte{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		samples[filepath.Base(file)] = text
	}
	return samples
}

func TestDecodesSamplesLikeEncodingJSON(t *testing.T) {
	for name, text := range sampleEvents(t) {
		t.Run(name, func(t *testing.T) {
			var want events.SQSEvent
			if err := stdjson.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			got, err := Decode(text)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// odd returns an event of three records, the second of which has the members.
func odd(members string) string {
	return `{"Records":[{"messageId":"a","body":"1"},{` + members + `},{"messageId":"c","body":"3"}]}`
}

func TestDecodesOddRecords(t *testing.T) {
	one := "1"
	for _, c := range []struct {
		name, members string
		want          events.SQSMessage
	}{
		{"binary value that is not base64", `"messageId":"b","body":"2","messageAttributes":{"x":{"binaryValue":"base64Str","dataType":"Binary"}}`,
			events.SQSMessage{MessageId: "b", Body: "2", MessageAttributes: map[string]events.SQSMessageAttribute{"x": {DataType: "Binary"}}}},
		{"lists", `"messageId":"b","body":"2","messageAttributes":{"x":{"stringValue":"1","stringListValues":["a"],"binaryListValues":[1],"dataType":"String"}}`,
			events.SQSMessage{MessageId: "b", Body: "2", MessageAttributes: map[string]events.SQSMessageAttribute{"x": {StringValue: &one, DataType: "String"}}}},
		{"body an object", `"messageId":"b","body":{"a":[1,"\"}"]}`, events.SQSMessage{MessageId: "b"}},
		{"body null", `"messageId":"b","body":null`, events.SQSMessage{MessageId: "b"}},
		{"no body", `"messageId":"b"`, events.SQSMessage{MessageId: "b"}},
		{"messageId a number", `"messageId":7,"body":"2"`, events.SQSMessage{Body: "2"}},
		{"no members", ``, events.SQSMessage{}},
		{"key in another case", `"messageID":"b","Body":"2","messageId":"x"`, events.SQSMessage{MessageId: "x"}},
		{"escaped key", `"message\u0049d":"b","body":"2"`, events.SQSMessage{MessageId: "b", Body: "2"}},
		{"message attribute a number", `"messageId":"b","body":"2","messageAttributes":{"a":1}`,
			events.SQSMessage{MessageId: "b", Body: "2", MessageAttributes: map[string]events.SQSMessageAttribute{}}},
		{"message attributes a list", `"messageId":"b","body":"2","messageAttributes":[1]`, events.SQSMessage{MessageId: "b", Body: "2"}},
		{"string value a number", `"messageId":"b","body":"2","messageAttributes":{"a":{"stringValue":1,"dataType":7}}`,
			events.SQSMessage{MessageId: "b", Body: "2", MessageAttributes: map[string]events.SQSMessageAttribute{"a": {StringValue: &one}}}},
		{"attributes of other kinds", `"messageId":"b","body":"2","attributes":{"ApproximateReceiveCount":1 ,"x":true,"y":null,"z":{"k":["v"]},"n":[1]}`,
			events.SQSMessage{MessageId: "b", Body: "2", Attributes: map[string]string{"ApproximateReceiveCount": "1", "x": "true"}}},
		{"attributes a string", `"messageId":"b","body":"2","attributes":"x"`, events.SQSMessage{MessageId: "b", Body: "2"}},
		{"unknown members", `"messageId":"b","new":{"a":[{}]},"body":"2"`, events.SQSMessage{MessageId: "b", Body: "2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Decode([]byte(odd(c.members)))
			if err != nil {
				t.Fatal(err)
			}
			want := []events.SQSMessage{{MessageId: "a", Body: "1"}, c.want, {MessageId: "c", Body: "3"}}
			if !reflect.DeepEqual(got.Records, want) {
				t.Errorf("got  %+v\nwant %+v", got.Records, want)
			}
		})
	}
	for _, record := range []string{"null", "1", `"text"`, "[]"} {
		got, err := Decode([]byte(strings.Replace(odd(""), "{}", record, 1)))
		if err != nil || len(got.Records) != 3 || !reflect.DeepEqual(got.Records[1], events.SQSMessage{}) {
			t.Errorf("record %s: %+v, %v; want an empty message", record, got, err)
		}
	}
}

func TestRejectsOtherPayloads(t *testing.T) {
	for _, c := range []struct{ name, payload, want string }{
		{"empty", ``, "not JSON"},
		{"text", `hello`, "not JSON"},
		{"cut", `{"Records":[{"messageId":"a","body":"1"}`, "not JSON"},
		{"bad JSON in a value that is not needed", `{"Records":[{"messageId":"a","body":"1","x":{"y":01}}]}`, "not JSON"},
		{"bad literal among the attributes", `{"Records":[{"messageId":"a","body":"1","attributes":{"x":tru}}]}`, "not JSON"},
		{"trailing comma", `{"Records":[{"messageId":"a","body":"1"},]}`, "not JSON"},
		{"two values", `{"Records":[]} {}`, "not JSON: data after the end of the value"},
		{"null", `null`, "no Records array"},
		{"list", `[{"messageId":"a","body":"1"}]`, "no Records array"},
		{"no records", `{"version":"0","detail-type":"x","source":"aws.s3","detail":{}}`, "no Records array"},
		{"records an object", `{"Records":{"messageId":"a","body":"1"}}`, "no Records array"},
		{"key in another case", `{"records":[{"messageId":"a","body":"1"}]}`, "no Records array"},
		{"S3", `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","s3":{}}]}`, "its records are of aws:s3"},
		{"SNS", `{"Records":[{"EventVersion":"1.0","EventSource":"aws:sns","Sns":{"MessageId":"a","Message":"x"}}]}`, "its records are of aws:sns"},
		{"odd event source", `{"Records":[{"eventSource":"\u001b[31m` + strings.Repeat("x", 200) + `"}]}`, `its records are of \u001b[31mxxx`},
		{"empty records", `{"Records":[{},null]}`, "neither a messageId nor a body"},
		{"more than 10,000 records", `{"Records":[` + strings.Repeat("{},", 10_000) + `{"messageId":"a","body":"1"}]}`, "more than 10000 records"},
	} {
		t.Run(c.name, func(t *testing.T) {
			event, err := Decode([]byte(c.payload))
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 250 || event.Records != nil {
				t.Errorf("got %+v, error %v; want %q", event, err, c.want)
			}
		})
	}
	if event, err := Decode([]byte(`{"Records":[]}`)); err != nil || event.Records == nil || len(event.Records) > 0 {
		t.Errorf("an event without records: %+v, %v", event, err)
	}
}

// FuzzDecode checks that only JSON is decoded, and that what a strict decoder
// accepts is decoded alike.
func FuzzDecode(f *testing.F) {
	for _, members := range []string{
		`"messageId":"b","body":"2","messageAttributes":{"x":{"binaryValue":"AAE=","dataType":"Binary"},"y":{"stringValue":"é\u00e9\n"}},"attributes":{"a":"b"}`,
		`"messageId":"b","body":{"x":[1]},"messageAttributes":{"a":1},"attributes":{"ApproximateReceiveCount":1}`, `"\u0062ody":null`,
	} {
		f.Add([]byte(odd(members)))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := Decode(payload)
		if err == nil && !stdjson.Valid(payload) && strings.Count(string(payload), "[")+strings.Count(string(payload), "{") < 10_000 {
			t.Fatal("decoded something that is not JSON")
		}
		// Unlike encoding/json, it matches keys exactly and rejects duplicate keys and invalid UTF-8.
		var want events.SQSEvent
		if json.Unmarshal(payload, &want) != nil || want.Records == nil || len(want.Records) > maxRecords {
			return
		}
		if err != nil {
			if allEmpty(want.Records) {
				return
			}
			t.Fatalf("error %v, want %+v", err, want)
		}
		if got, want := comparable(t, got), comparable(t, want); got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

func allEmpty(records []events.SQSMessage) bool {
	for _, m := range records {
		if m.MessageId != "" || m.Body != "" {
			return false
		}
	}
	return true
}

// comparable returns an event as text, without what Decode leaves out, and with
// empty and null alike.
func comparable(t *testing.T, e events.SQSEvent) string {
	t.Helper()
	for i := range e.Records {
		m := &e.Records[i]
		maps.DeleteFunc(m.Attributes, func(_, value string) bool { return value == "" })
		for name, a := range m.MessageAttributes {
			m.MessageAttributes[name] = events.SQSMessageAttribute{StringValue: a.StringValue, DataType: a.DataType}
		}
		maps.DeleteFunc(m.MessageAttributes, func(_ string, a events.SQSMessageAttribute) bool { return a.StringValue == nil && a.DataType == "" })
	}
	text, err := json.Marshal(e, json.Deterministic(true))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func BenchmarkDecode(b *testing.B) {
	text := sampleEvents(b)["hundred.json"]
	for _, c := range []struct {
		name   string
		decode func([]byte) error
	}{
		{"sqsevent", func(text []byte) error { _, err := Decode(text); return err }},
		{"encoding-json", func(text []byte) error { var e events.SQSEvent; return stdjson.Unmarshal(text, &e) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.decode(text); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/message")
		})
	}
}
