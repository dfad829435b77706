package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"scout/handler"
)

// A policy is the access policy of a queue. See "IAM JSON policy elements
// reference" in the IAM User Guide.
type policy struct {
	Statement statements
	unknown   bool // whether its statements are not checked
}

// parsePolicy returns a policy without statements, which allows nothing, for "".
func parsePolicy(text string) (p policy, err error) {
	if text == "" {
		return p, nil
	}
	if err = json.Unmarshal([]byte(text), &p); err != nil {
		return policy{unknown: true}, err
	}
	return p, nil
}

type statements []statement

// UnmarshalJSON accepts a list, and a single statement without one.
func (s *statements) UnmarshalJSON(data []byte) error {
	var list []statement
	if data[0] != '[' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	err := json.Unmarshal(data, &list)
	*s = list
	return err
}

type statement struct {
	Effect                  string
	Principal, NotPrincipal principals
	Action, NotAction       texts
	Resource, NotResource   texts
	Condition               map[string]map[string]texts // by operator and key
}

// principals are the principals of a statement by kind: AWS, Service and others. "*" is
// {"AWS": "*"}.
type principals map[string]texts

// UnmarshalJSON accepts a mapping, and "*".
func (p *principals) UnmarshalJSON(data []byte) error {
	if data[0] == '"' {
		data = slices.Concat([]byte(`{"AWS":`), data, []byte("}"))
	}
	var kinds map[string]texts
	err := json.Unmarshal(data, &kinds)
	*p = kinds
	return err
}

// texts are the elements of a list of texts, or a single text.
type texts []string

// UnmarshalJSON accepts texts, numbers and booleans.
func (t *texts) UnmarshalJSON(data []byte) error {
	if data[0] != '[' {
		data = slices.Concat([]byte("["), data, []byte("]"))
	}
	var list []any
	err := json.Unmarshal(data, &list)
	*t = nil
	for _, v := range list {
		*t = append(*t, fmt.Sprint(v))
	}
	return err
}

// match reports whether one of the patterns matches a text.
func (t texts) match(text string) bool {
	return slices.ContainsFunc(t, func(pattern string) bool { return handler.MatchPattern(pattern, text) })
}

// A truth is the value of a condition. In a conjunction, the lowest value counts.
type truth int

const (
	no truth = iota
	maybe
	yes
)

// A sender is an AWS service that sends to a queue on behalf of a source.
type sender struct {
	service string // such as sns.amazonaws.com
	source  arn    // its account is empty in the ARN of a bucket
	account string // of the source; "" if unknown
	queue   string // the ARN of the queue
}

// allows reports whether the policy lets x send messages. It assumes that a Deny does
// not apply if its conditions cannot be judged, and that an unknown policy allows x.
func (p policy) allows(x sender) truth {
	if p.unknown {
		return yes
	}
	allowed := no
	for _, s := range p.Statement {
		switch applies := s.appliesTo(x); {
		case s.Effect == "Deny" && applies == yes:
			return no
		case s.Effect == "Allow":
			allowed = max(allowed, applies)
		}
	}
	return allowed
}

func (s statement) appliesTo(x sender) truth {
	principal := s.appliesToEveryone() || s.Principal["Service"].match(x.service)
	if s.NotPrincipal != nil {
		principal = !s.NotPrincipal["Service"].match(x.service)
	}
	resource := s.Resource.match(x.queue) || s.NotResource != nil && !s.NotResource.match(x.queue)
	if !principal || !resource || !s.coversSending(x.queue) {
		return no
	}
	result := yes
	for operator, keys := range s.Condition {
		for key, values := range keys {
			result = min(result, x.meets(strings.ToLower(operator), strings.ToLower(key), values))
		}
	}
	return result
}

// appliesToEveryone reports whether the principals of the statement are everyone.
func (s statement) appliesToEveryone() bool {
	return slices.Contains(s.Principal["AWS"], "*") || slices.Contains(s.Principal["*"], "*")
}

// coversSending reports whether the actions of the statement include sqs:SendMessage,
// and its resources do not exclude the queue with an ARN.
func (s statement) coversSending(queue string) bool {
	if s.Resource != nil && !s.Resource.match(queue) || s.NotResource.match(queue) {
		return false
	}
	const action = "sqs:sendmessage"
	matches := func(t texts) bool {
		return slices.ContainsFunc(t, func(pattern string) bool { return handler.MatchPattern(strings.ToLower(pattern), action) })
	}
	return matches(s.Action) || s.NotAction != nil && !matches(s.NotAction)
}

// meets reports whether the request of x meets a condition.
func (x sender) meets(operator, key string, values texts) truth {
	var actual string
	switch key {
	case "aws:sourcearn":
		actual = x.source.String()
	case "aws:sourceaccount":
		actual = x.account
	case "aws:securetransport", "aws:principalisawsservice":
		actual = "true" // AWS's services use TLS
	case "aws:principalservicename":
		actual = x.service
	}
	operator, negated := baseOperator(operator)
	var found bool
	switch {
	case actual == "":
		return maybe
	case operator == "stringequals" || operator == "bool":
		found = slices.Contains(values, actual)
	case operator == "arnequals" || operator == "arnlike" || operator == "stringlike":
		found = values.match(actual)
	default:
		return maybe
	}
	if found != negated {
		return yes
	}
	return no
}

// baseOperator returns an operator in lower case without its modifiers.
func baseOperator(operator string) (base string, negated bool) {
	_, base, found := strings.Cut(operator, ":") // ForAnyValue: and ForAllValues:
	if !found {
		base = operator
	}
	base = strings.TrimSuffix(base, "ifexists")
	positive := strings.Replace(base, "not", "", 1)
	return positive, positive != base
}

// condition returns the values that a condition key must have one of, or nil if
// no condition names the key.
func (s statement) condition(key string) texts {
	var all texts
	for operator, keys := range s.Condition {
		if _, negated := baseOperator(strings.ToLower(operator)); negated {
			continue
		}
		for k, values := range keys {
			if strings.EqualFold(k, key) {
				all = append(all, values...)
			}
		}
	}
	return all
}

// deniesPlainText reports whether the policy denies requests to a queue without TLS.
func (p policy) deniesPlainText(queue string) bool {
	return slices.ContainsFunc(p.Statement, func(s statement) bool {
		return s.Effect == "Deny" && s.appliesToEveryone() && s.coversSending(queue) && slices.Contains(s.condition("aws:SecureTransport"), "false")
	})
}

// noAccount is an account number that no AWS account has. Templates use it for topics
// that are not configured, because the value of a condition must not be empty.
const noAccount = "000000000000"

// sources returns the ARNs without wildcards that the queue's policy names as sources.
func (f Facts) sources() []arn {
	p, _ := parsePolicy(f.Attributes["Policy"])
	isEmulated := parseARN(f.Attributes["QueueArn"]).account == noAccount
	var all []arn
	for _, s := range p.Statement {
		if s.Effect != "Allow" || !s.coversSending(f.Attributes["QueueArn"]) {
			continue
		}
		for _, text := range s.condition("aws:SourceArn") {
			source := parseARN(text)
			if source.service == "s3" { // AWS's examples have arn:aws:s3:*:*:BUCKET
				source.region, source.account = "", ""
			}
			isUsable := source.service != "" && !hasWildcard(source.String()) && (source.account != noAccount || isEmulated)
			if isUsable && !slices.Contains(all, source) {
				all = append(all, source)
			}
		}
	}
	return all
}

func hasWildcard(text string) bool { return strings.ContainsAny(text, "*?") }
