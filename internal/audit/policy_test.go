package audit

import (
	"strings"
	"testing"

	"scout/internal/printable"
)

func TestAllows(t *testing.T) {
	const queue, topic = "arn:aws:sqs:us-east-1:1:q", "arn:aws:sns:us-east-1:1:orders"
	x := sender{serviceSNS, parseARN(topic), "1", queue}
	for _, c := range []struct {
		name, policy string
		want         truth
	}{
		{"nothing", `{}`, no},
		{"a single statement", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"SQS:SendMessage","Resource":"*"}}`, yes},
		{"a service in a list", `{"Statement":[{"Effect":"Allow","Principal":{"Service":["s3.amazonaws.com","sns.amazonaws.com"]},"Action":["sqs:*"],"Resource":["arn:aws:sqs:*:1:q"]}]}`, yes},
		{"another service", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"sqs:*","Resource":"*"}]}`, no},
		{"another action", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:ReceiveMessage","Resource":"*"}]}`, no},
		{"all other actions", `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":"sqs:SetQueueAttributes","Resource":"*"}]}`, yes},
		{"another queue", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:sqs:us-east-1:1:q2"}]}`, no},
		{"all but another queue", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"arn:aws:sqs:us-east-1:1:q2"}]}`, yes},
		{"all but the queue", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"arn:aws:sqs:us-east-1:1:q"}]}`, no},
		{"all but the service", `{"Statement":[{"Effect":"Allow","NotPrincipal":{"Service":"sns.amazonaws.com"},"Action":"*","Resource":"*"}]}`, no},
		{"the topic", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"ArnLike":{"AWS:sourcearn":"arn:aws:sns:*:*:orders"}}}]}`, yes},
		{"the account", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":["2","1"]}}}]}`, yes},
		{"all conditions must be met", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceAccount":"2"},"Bool":{"aws:SecureTransport":true}}}]}`, no},
		{"a condition that is unknown", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o"}}}]}`, maybe},
		{"an operator that is unknown", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEqualsIgnoreCase":{"aws:SourceAccount":"1"}}}]}`, maybe},
		{"another statement is met", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o"}}},{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`, yes},
		{"denied unless it is the account's", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:SourceAccount":"1"}}}]}`, yes},
		{"denied because it is not the account's", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"ForAnyValue:StringNotLike":{"aws:SourceAccount":"2*"}}}]}`, no},
		{"denied if unknown", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`, yes},
	} {
		p, err := parsePolicy(c.policy)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := p.allows(x); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

func TestDeniesPlainText(t *testing.T) {
	const condition = `"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	for policy, want := range map[string]bool{
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*",` + condition:                                      true,
		`{"Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":["sqs:SendMessage"],` + condition:                  true,
		`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:*",` + condition:                                     false,
		`{"Statement":[{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::1:root"},"Action":"sqs:*",` + condition:            false,
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:ReceiveMessage",` + condition:                         false,
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*"}]}`:                                 false,
		`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"sqs:*",` + strings.Replace(condition, "false", "true", 1): false,
	} {
		p, err := parsePolicy(policy)
		if got := p.deniesPlainText(queueARN); got != want || err != nil {
			t.Errorf("%s: %t (%v), want %t", policy, got, err, want)
		}
	}
}

// The audit ends for any response of AWS, and its findings are printable.
func FuzzFindings(f *testing.F) {
	f.Add(clean().Attributes["Policy"], clean().Attributes["RedrivePolicy"])
	f.Add(`{"Statement":{"Effect":"Allow","Principal":{"*":"*"},"Action":["*",1,null],"Condition":{"Bool":{"a":true}}}}`, `{"maxReceiveCount":"x"}`)
	f.Add(`{"Statement":[null,{"Principal":null,"Condition":{"Not":{"":null}}}]}`, `[]`)
	f.Add(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":["arn:::::","arn:aws:s3:::","arn:aws:sns:a:b:\u202e"]}}}]}`, ``)
	f.Fuzz(func(t *testing.T, policy, redrive string) {
		facts := clean()
		queueIs("Policy", policy)(&facts)
		queueIs("RedrivePolicy", redrive)(&facts)
		orderIs("RedrivePolicy", redrive)(&facts)
		for _, f := range facts.Findings() {
			for _, text := range []string{f.Subject, f.Message, f.Fix} {
				if text != printable.Text(text, maxText) {
					t.Errorf("%q is not printable", text)
				}
			}
		}
	})
}
