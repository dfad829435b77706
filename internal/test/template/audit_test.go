package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"scout/config"
	"scout/handler"
	"scout/internal/audit"
	"scout/sidekiq"
)

// TestAudit checks that an audit has no findings for the queues, policies and
// subscriptions of the templates.
func TestAudit(t *testing.T) {
	for name, s := range scenarios(parse(t, readFile(t, "../../../template.yaml"))) {
		checkAudit(t, name, s.facts(t))
	}
	for name, s := range daemonQueues(t) {
		checkAudit(t, name, s.facts(t))
	}
}

// checkAudit checks that an audit has no findings.
func checkAudit(t *testing.T, name string, facts audit.Facts) {
	t.Helper()
	for _, f := range facts.Findings() {
		if f.Severity != audit.OK {
			t.Errorf("%s: %s %s %s: %s; %s", name, f.Severity, f.Area, f.Subject, f.Message, f.Fix)
		}
	}
}

// daemonQueues returns the stacks of packaging/queue.yaml.
func daemonQueues(t *testing.T) map[string]*stack {
	d := parse(t, readFile(t, "../../../packaging/queue.yaml"))
	stacks := map[string]*stack{}
	for _, fifo := range []string{"false", "true"} {
		stacks["Fifo="+fifo] = d.create(map[string]string{"QueueName": "shop", "Topics": topicNames(1, 15), "Fifo": fifo})
	}
	return stacks
}

// facts returns the facts that an audit would read about the stack, for a configuration
// with a route for each topic, bucket and rule.
func (s *stack) facts(t *testing.T) audit.Facts {
	queue := s.attributes(t, "Queue")
	arn := queue["QueueArn"]
	f := audit.Facts{
		Queue:      config.Queue{Name: arn[strings.LastIndexByte(arn, ':')+1:]},
		DedupTTL:   24 * time.Hour,
		Region:     "us-east-1",
		Attributes: queue,
		AllListed:  true,
	}
	f.DeadLetters = map[string]audit.Target{}
	for _, name := range []string{"DeadLetterQueue", "UndeliveredQueue"} {
		if _, ok := s.resources[name]; ok {
			a := s.attributes(t, name)
			f.DeadLetters[a["QueueArn"]] = audit.Target{Attributes: a}
		}
	}
	route := func(key string) []handler.Route {
		return []handler.Route{{Key: key, Outcome: handler.Worker{JobTemplate: sidekiq.JobTemplate{Class: "Worker", Queue: "default"}}}}
	}
	for _, name := range s.ofType("AWS::SNS::Subscription") {
		topic := fmt.Sprint(s.property(name, "TopicArn"))
		f.Queue.Topics = append(f.Queue.Topics, route(topic)...)
		f.Subscriptions = append(f.Subscriptions, audit.Subscription{ARN: topic + ":1", Topic: topic, Attributes: s.texts(t, name)})
	}
	for _, bucket := range f.Admitted("s3") {
		f.Queue.S3 = append(f.Queue.S3, route(bucket)...)
	}
	if len(f.Admitted("events")) > 0 {
		f.Queue.EventBridge = route("*/*")
	}
	return f
}

// attributes returns the attributes of a queue and its policy, as SQS would.
func (s *stack) attributes(t *testing.T, queue string) audit.Attributes {
	a := s.texts(t, queue)
	a["QueueArn"] = s.resolveARNs("${" + queue + ".Arn}")
	a["Policy"] = s.texts(t, queue+"Policy")["PolicyDocument"]
	return a
}

// texts returns the properties of a resource as texts. Values that are not scalars are
// in JSON.
func (s *stack) texts(t *testing.T, name string) audit.Attributes {
	a := audit.Attributes{}
	for key, value := range s.resources[name].Properties {
		text, isText := value.(string)
		if !isText {
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			text = string(encoded)
		}
		a[key] = s.resolveARNs(text)
	}
	return a
}

// resolveARNs replaces the names that stand for the ARNs of queues.
func (s *stack) resolveARNs(text string) string {
	for _, queue := range slices.Sorted(maps.Keys(s.resources)) {
		if name, ok := s.resources[queue].Properties["QueueName"].(string); ok {
			text = strings.ReplaceAll(text, "${"+queue+".Arn}", "arn:aws:sqs:us-east-1:123456789012:"+name)
		}
	}
	return text
}
