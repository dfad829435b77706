package devstack

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"
)

// signature has the length of a real signature but does not verify.
var signature = base64.StdEncoding.EncodeToString(make([]byte, 256))

// envelope returns the JSON that SNS delivers to a queue, with SNS's order of keys, spaces and line
// breaks (SNS developer guide, "Parsing Amazon SNS message formats").
func (n Notification) envelope(sub *subscription, result sendResult, now time.Time) string {
	endpoint := "https://sns." + strings.Split(sub.topicARN, ":")[3] + ".amazonaws.com/"
	fields := []field{{"Type", "Notification"}, {"MessageId", result.id}}
	if result.sequence != "" {
		fields = append(fields, field{"SequenceNumber", result.sequence})
	}
	fields = append(fields, field{"TopicArn", sub.topicARN})
	if n.Subject != "" {
		fields = append(fields, field{"Subject", n.Subject})
	}
	fields = append(fields,
		field{"Message", n.Message},
		field{"Timestamp", now.UTC().Format("2006-01-02T15:04:05.000Z")},
		field{"SignatureVersion", "1"},
		field{"Signature", signature},
		field{"SigningCertURL", endpoint + "SimpleNotificationService-0000000000000000000000000000000.pem"},
		field{"UnsubscribeURL", endpoint + "?Action=Unsubscribe&SubscriptionArn=" + sub.arn},
	)
	var b bytes.Buffer
	b.WriteString("{\n")
	writeFields(&b, "  ", fields)
	if len(n.Attributes) > 0 {
		b.WriteString(",\n  \"MessageAttributes\" : {\n")
		writeFields(&b, "    ", envelopeAttributes(n.Attributes))
		b.WriteString("\n  }")
	}
	b.WriteString("\n}")
	return b.String()
}

type field struct {
	name  string
	value any
}

// writeFields writes the fields, each on a line of its own.
func writeFields(b *bytes.Buffer, indent string, fields []field) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	for i, f := range fields {
		if i > 0 {
			b.WriteString(",\n")
		}
		b.WriteString(indent + `"` + f.name + `" : `)
		_ = encoder.Encode(f.value) // encoding strings cannot fail
		b.Truncate(b.Len() - 1)     // the encoder appends a line break
	}
}

// envelopeAttributes returns the attributes as an envelope shows them, sorted by name.
func envelopeAttributes(attributes map[string]Attribute) []field {
	var fields []field
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		value := a.StringValue
		if a.binary() {
			value = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		fields = append(fields, field{name, struct{ Type, Value string }{a.DataType, value}})
	}
	return fields
}
