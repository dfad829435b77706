package handler

import (
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

// Limits of W3C Baggage and W3C Trace Context (section 3.3.1.5). What exceeds
// them would cost the app more than it is worth: OpenTelemetry's propagator for
// Ruby takes 400 ms to parse 1 MiB of baggage.
const (
	maxTracestate     = 512
	maxBaggage        = 8192
	maxBaggageMembers = 180
)

// traceFields returns the fields of W3C Trace Context and Baggage among the
// message's attributes. Those of SNS win over those of SQS. A field that does
// not have W3C's form is left out, and so is a tracestate without its
// traceparent.
func (r *Router) traceFields(attributes []attribute, m *events.SQSMessage) []sidekiq.TraceField {
	if r.OmitTrace {
		return nil
	}
	var fields []sidekiq.TraceField
	if parent := attributeValue("traceparent", attributes, m); isTraceparent(parent) {
		fields = append(fields, sidekiq.TraceField{Key: "traceparent", Value: parent})
		if state := attributeValue("tracestate", attributes, m); isPrintableASCII(state, maxTracestate) {
			fields = append(fields, sidekiq.TraceField{Key: "tracestate", Value: state})
		}
	}
	if baggage := attributeValue("baggage", attributes, m); isPrintableASCII(baggage, maxBaggage) && strings.Count(baggage, ",") < maxBaggageMembers {
		fields = append(fields, sidekiq.TraceField{Key: "baggage", Value: baggage})
	}
	return fields
}

// attributeValue returns the value of the message's string attribute of that
// name, "" if there is none.
func attributeValue(name string, attributes []attribute, m *events.SQSMessage) string {
	for _, a := range attributes {
		if string(a.Name) == name && string(a.Type) == "String" {
			return string(a.Value)
		}
	}
	if value := m.MessageAttributes[name].StringValue; value != nil {
		return *value
	}
	return ""
}

// isTraceparent reports whether value is version-traceid-parentid-flags in lower
// case hexadecimal digits, with a version other than ff and ids other than 0.
func isTraceparent(value string) bool {
	const form = "00-00000000000000000000000000000000-0000000000000000-00"
	if len(value) != len(form) || value[:2] == "ff" || value[3:35] == form[3:35] || value[36:52] == form[36:52] {
		return false
	}
	for i := range len(form) {
		isHex := '0' <= value[i] && value[i] <= '9' || 'a' <= value[i] && value[i] <= 'f'
		if form[i] == '-' && value[i] != '-' || form[i] == '0' && !isHex {
			return false
		}
	}
	return true
}

// isPrintableASCII reports whether value has 1 to max bytes, all printable ASCII.
func isPrintableASCII(value string, max int) bool {
	if value == "" || len(value) > max {
		return false
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}
