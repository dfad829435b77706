// Package audit checks whether AWS is set up as a configuration expects.
//
// [Auditor.Facts] reads facts about a queue from SQS and SNS: its attributes, its
// subscriptions and its dead-letter queues. [Facts.Findings] checks them without any
// call, so it is a pure function of the facts.
//
// A fact that AWS does not reveal, for example because a permission is missing, becomes
// a finding of the severity [Unknown]. The number of calls and pages is bounded. An
// audit changes nothing.
package audit

import (
	"fmt"
	"strings"

	"scout/internal/printable"
)

// A Severity says what a Finding means.
type Severity string

// The severities of findings.
const (
	OK      Severity = "ok"      // correct
	Error   Severity = "error"   // keeps Scout from working, loses messages, or lets anyone send
	Warning Severity = "warning" // works, but change is advisable
	Unknown Severity = "unknown" // could not be checked
)

// An Area is the part of the setup that a Finding is about.
type Area string

// The areas of findings.
const (
	AreaConfig Area = "config"
	AreaRedis  Area = "redis"
	AreaQueue  Area = "queue" // the SQS queue, its policy and its key
	AreaTopic  Area = "topic" // an SNS topic and its subscription
	AreaDLQ    Area = "dlq"   // the dead-letter queues of the queue and of its subscriptions
)

// A Finding is one result of an audit. A [Reporter] makes its texts printable and
// limits their length.
type Finding struct {
	Severity Severity `json:"severity"`
	Area     Area     `json:"area"`
	Subject  string   `json:"subject"` // a key of the configuration, a queue's name, a topic's ARN, or a host
	Message  string   `json:"message"` // the observation and its consequence
	Fix      string   `json:"fix"`     // what to do; "" if Message says that
	File     string   `json:"file"`    // the faulty configuration; "" for other findings
	Line     int      `json:"line"`    // in File; 0 if there is none
}

// A Reporter adds findings about one subject. A message and its arguments are those
// of fmt.Sprintf.
type Reporter struct {
	Add     func(Finding)
	Area    Area
	Subject string
}

// about returns a Reporter for another subject.
func (r Reporter) about(area Area, subject string) Reporter { return Reporter{r.Add, area, subject} }

// maxText is the maximum length in bytes of each text of a finding.
const maxText = 2000

func (r Reporter) find(severity Severity, fix, message string, args ...any) {
	text := func(s string) string { return printable.Text(s, maxText) }
	r.Add(Finding{Severity: severity, Area: r.Area, Subject: text(r.Subject), Message: text(fmt.Sprintf(message, args...)), Fix: text(fix)})
}

// OK adds a finding that the subject is correct. Fail, Warn and Unknown add findings of
// the other severities, with a fix.
func (r Reporter) OK(message string, args ...any)           { r.find(OK, "", message, args...) }
func (r Reporter) Fail(fix, message string, args ...any)    { r.find(Error, fix, message, args...) }
func (r Reporter) Warn(fix, message string, args ...any)    { r.find(Warning, fix, message, args...) }
func (r Reporter) Unknown(fix, message string, args ...any) { r.find(Unknown, fix, message, args...) }

// An arn is an ARN in parts: arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE.
type arn struct{ partition, service, region, account, resource string }

// parseARN returns the zero value if text is not an ARN.
func parseARN(text string) arn {
	parts := strings.SplitN(text, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" {
		return arn{}
	}
	return arn{parts[1], parts[2], parts[3], parts[4], parts[5]}
}

func (a arn) String() string {
	return strings.Join([]string{"arn", a.partition, a.service, a.region, a.account, a.resource}, ":")
}
