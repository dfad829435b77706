package handler

import (
	"regexp"
	"strings"
	"sync"

	"github.com/aws/aws-lambda-go/events"

	"scout/sidekiq"
)

// Limits of W3C Baggage and W3C Trace Context (section 3.3.1.5). What exceeds
// them would cost the app more than it is worth: OpenTelemetry's propagator for
// Ruby takes 400 ms to parse 1 MiB of baggage.
const (
	maxTracestate        = 512
	maxTracestateMembers = 32
	maxBaggage           = 8192
	maxBaggageMembers    = 180
)

// The forms of a whole tracestate (W3C Trace Context, section 3.3.1) and baggage (W3C
// Baggage, section 3.3.1). They are compiled when the first message has such a field,
// because the start of the Lambda function must not wait for it.
var (
	tracestateForm = sync.OnceValue(func() *regexp.Regexp { return listOf(`[a-z0-9][a-z0-9_*/@-]*=[ -+\--<>-~]*[!-+\--<>-~]`) })
	baggageForm    = sync.OnceValue(func() *regexp.Regexp {
		return listOf(token + ` *= *` + text + `( *; *` + token + `( *= *` + text + `)?)*`)
	})
)

const (
	token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	text  = `[!#-+\--:<-\[\]-~]*`
)

// listOf returns the form of a list of members, which commas separate. Members
// may be empty.
func listOf(member string) *regexp.Regexp {
	return regexp.MustCompile(`^(` + member + `)?( *, *(` + member + `)?)*$`)
}

// hasForm reports whether value is a list of at most members members in the given form,
// and of 1 to bytes bytes.
func hasForm(form func() *regexp.Regexp, value string, bytes, members int) bool {
	return value != "" && len(value) <= bytes && strings.Count(value, ",") < members && form().MatchString(value)
}

// traceFields returns the fields of W3C Trace Context and Baggage among the
// message's attributes. Those of SNS win over those of SQS. A field that does
// not have W3C's form is left out, and so is a tracestate without its
// traceparent. Without a traceparent, the X-Ray header of SQS becomes one.
func (r *Router) traceFields(e *envelope, m *events.SQSMessage) []sidekiq.TraceField {
	if r.OmitTrace {
		return nil
	}
	var attributes []attribute
	if e != nil {
		attributes = e.Attributes
	}
	var fields []sidekiq.TraceField
	if parent := attributeValue("traceparent", attributes, m); isTraceparent(parent) {
		fields = append(fields, sidekiq.TraceField{Key: "traceparent", Value: parent})
		if state := attributeValue("tracestate", attributes, m); hasForm(tracestateForm, state, maxTracestate, maxTracestateMembers) {
			fields = append(fields, sidekiq.TraceField{Key: "tracestate", Value: state})
		}
	} else if parent := fromXRay(m.Attributes["AWSTraceHeader"]); parent != "" {
		fields = append(fields, sidekiq.TraceField{Key: "traceparent", Value: parent})
	}
	if baggage := attributeValue("baggage", attributes, m); hasForm(baggageForm, baggage, maxBaggage, maxBaggageMembers) {
		fields = append(fields, sidekiq.TraceField{Key: "baggage", Value: baggage})
	}
	return fields
}

// maxXRay is the maximum length of an X-Ray header that is read, several times that
// of one without the fields that others may add.
const maxXRay = 1024

// fromXRay returns the traceparent of an X-Ray tracing header, such as
// Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1. It
// returns "" if the header has no whole trace. The keys may be in any case.
func fromXRay(header string) string {
	if header == "" || len(header) > maxXRay {
		return ""
	}
	var root, parent string
	flags := "00"
	for field := range strings.SplitSeq(header, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch strings.ToLower(key) {
		case "root":
			root = strings.ToLower(value)
		case "parent":
			parent = strings.ToLower(value)
		case "sampled":
			if value == "1" {
				flags = "01"
			}
		}
	}
	const form = "1-00000000-000000000000000000000000"
	if len(root) != len(form) || root[:2] != "1-" || root[10] != '-' {
		return ""
	}
	if traceparent := "00-" + root[2:10] + root[11:] + "-" + parent + "-" + flags; isTraceparent(traceparent) {
		return traceparent
	}
	return ""
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
