package explain

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/aws/aws-lambda-go/events"

	"scout/internal/sqsevent"
)

// A Message is a message to explain.
type Message struct {
	events.SQSMessage
	Oddities []string // contents of the record that SQS would never send
	IsBody   bool     // the input is only the body of a message, so it has no SQS message id
}

// maxInput is the maximum size in bytes of the text that Read returns. It has room for
// the largest output of ReceiveMessage: ten messages of 1 MiB, escaped as JSON.
const maxInput = 64 << 20

// ReadFile reads the text for Parse from a file. Its limits are those of Read.
func ReadFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return Read(file)
}

// Read reads the text for Parse. It returns an error for more than 64 MiB.
func Read(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err == nil && len(text) > maxInput {
		err = errors.New("the input is larger than 64 MiB")
	}
	return text, err
}

// Parse returns the messages in text: those of a Lambda event or of the
// output of aws sqs receive-message, or a part of either. Any other text is the
// body of one message. That includes the events of other services, which have
// Records too.
func Parse(text []byte) []Message {
	text = decodeText(text)
	if len(bytes.TrimSpace(text)) == 0 {
		return nil
	}
	if records, ok := findRecords(text); ok {
		payload := slices.Concat([]byte(`{"Records":[`), bytes.Join(records, []byte(",")), []byte("]}"))
		if event, err := sqsevent.Decode(payload); err == nil {
			messages := make([]Message, len(event.Records))
			for i, m := range event.Records {
				messages[i] = Message{SQSMessage: m, Oddities: oddities(records[i])}
			}
			return messages
		}
	}
	return []Message{{SQSMessage: events.SQSMessage{Body: string(text)}, IsBody: true}}
}

// decodeText returns text in UTF-8 without a byte order mark. Programs on Windows
// add one or write UTF-16.
func decodeText(text []byte) []byte {
	if rest, ok := bytes.CutPrefix(text, []byte("\ufeff")); ok {
		return rest
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case len(text) < 2 || len(text)%2 != 0:
		return text
	case text[0] == 0xff && text[1] == 0xfe, text[1] == 0: // JSON begins with ASCII
	case text[0] == 0xfe && text[1] == 0xff, text[0] == 0:
		order = binary.BigEndian
	default:
		return text
	}
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"))
}

// A record is a message as an object of JSON, in the form of a Lambda event or in
// that of ReceiveMessage.
type record map[string]json.RawMessage

func (r record) has(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return r[key] != nil })
}

// isSQS reports whether the record is a message of SQS rather than the body of one.
func (r record) isSQS() bool {
	return r.has("body") && (r.has("messageId", "receiptHandle") || string(r["eventSource"]) == `"aws:sqs"`) ||
		r.has("Body") && r.has("MessageId", "ReceiptHandle", "MD5OfBody")
}

// findRecords returns the messages in text in the form of a Lambda event. It
// reports false if text does not consist of messages of SQS.
func findRecords(text []byte) (records [][]byte, ok bool) {
	var file record
	_ = json.Unmarshal(text, &file)
	var list []json.RawMessage
	isEvent := json.Unmarshal(file["Records"], &list) == nil
	isOutput := !isEvent && json.Unmarshal(file["Messages"], &list) == nil
	if !isEvent && !isOutput && json.Unmarshal(text, &list) != nil {
		list = []json.RawMessage{text}
	}
	for _, element := range list {
		var r record
		_ = json.Unmarshal(element, &r)
		if !isEvent && !r.isSQS() {
			return nil, false
		}
		records = append(records, r.lambdaForm(element))
	}
	return records, isEvent || isOutput || len(records) > 0
}

// lambdaForm returns the record, whose text is element, in the form of a Lambda
// event.
func (r record) lambdaForm(element json.RawMessage) []byte {
	if !r.has("Body") {
		return element
	}
	var attributes map[string]record
	if json.Unmarshal(r["MessageAttributes"], &attributes) == nil {
		for _, a := range attributes {
			a.rename("StringValue", "stringValue")
			a.rename("DataType", "dataType")
		}
		r["MessageAttributes"], _ = json.Marshal(attributes)
	}
	for _, name := range []string{"MessageId", "ReceiptHandle", "Body", "Attributes", "MessageAttributes"} {
		r.rename(name, strings.ToLower(name[:1])+name[1:])
	}
	text, _ := json.Marshal(r) // cannot fail: its parts were decoded
	return text
}

func (r record) rename(from, to string) {
	if value, ok := r[from]; ok {
		r[to] = value
		delete(r, from)
	}
}

// oddities returns what SQS would never send in a record of a Lambda event. Scout
// ignores it or rejects the message.
func oddities(text []byte) (odd []string) {
	var r record
	if json.Unmarshal(text, &r) != nil {
		return []string{"the record is not an object"}
	}
	expect := func(name string, value json.RawMessage, want string) {
		switch kind := kindOf(value); kind {
		case want:
		case "":
			odd = append(odd, name+" is missing")
		default:
			odd = append(odd, fmt.Sprintf("%s is %s instead of %s", name, kind, want))
		}
	}
	expect("messageId", r["messageId"], "a string")
	expect("body", r["body"], "a string")
	expectValues := func(name, want string) {
		if !r.has(name) {
			return
		}
		expect(name, r[name], "an object")
		var values record
		_ = json.Unmarshal(r[name], &values)
		for _, key := range slices.Sorted(maps.Keys(values)) {
			expect(name+"."+key, values[key], want)
		}
	}
	expectValues("attributes", "a string")
	expectValues("messageAttributes", "an object")
	return odd
}

// kindOf returns the kind of a JSON value with its article, or "" if there is none.
func kindOf(value json.RawMessage) string {
	if len(value) == 0 {
		return ""
	}
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
