package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"scout/handler"
)

// Findings judges the facts. The findings about the queue come first.
func (f Facts) Findings() []Finding {
	list := slices.Clone(f.Unasked)
	found := findings{&list, AreaQueue, f.Queue.Label()}
	if f.Attributes == nil {
		return list
	}
	p, err := parsePolicy(f.Attributes["Policy"])
	switch services := f.services(); {
	case err != nil:
		found.fail("set a valid policy", "the queue's policy cannot be read: %v", err)
	case len(p.Statement) == 0 && len(services) > 0:
		found.fail("allow sqs:SendMessage to them, with aws:SourceArn of the sources, and deny requests without TLS", "the queue has no policy: on AWS, nothing from %s arrives", strings.Join(services, ", "))
		p.unknown = true
	}
	f.judgeLocation(found)
	f.judgeDeadLetters(found.about(AreaDLQ, f.Queue.Label()))
	f.judgeVisibility(found)
	f.judgeMemory(found.about(AreaConfig, "redis.dedup_ttl"))
	f.judgeKey(found)
	f.judgePolicy(p, found)
	f.judgeTopics(p, found)
	return list
}

// judgeLocation compares where requests go with where the queue is.
func (f Facts) judgeLocation(found findings) {
	if region := parseARN(f.Attributes["QueueArn"]).region; region != "" && region != f.Region {
		found.fail("set aws.region to "+region, "the queue is in the region %s, but requests are signed for %s", region, f.Region)
	}
	if f.Queue.URL != "" && f.Endpoint != "" && isAWS(f.Queue.URL) != isAWS(f.Endpoint) {
		found.warn("remove aws.endpoint and AWS_ENDPOINT_URL, or change queue.url", "requests go to %s, not to the host of queue.url", f.Endpoint)
	}
}

// judgeDeadLetters judges where rejected messages go.
func (f Facts) judgeDeadLetters(found findings) {
	target, receives := f.Attributes.redrive()
	if target == "" {
		found.fail("set a RedrivePolicy", "the queue has no dead-letter queue: a message that Scout rejects returns to the queue until its retention period ends, and is then lost")
		return
	}
	if receives < 5 {
		found.warn("raise maxReceiveCount", "messages go to the dead-letter queue after %d receives: with fewer than 5, a short outage of Redis moves them there", receives)
	} else {
		found.ok("rejected messages go to %s after %d receives", target, receives)
	}
	dead := f.DeadLetters
	name := parseARN(target).resource
	switch {
	case dead.Missing:
		found.fail("create the queue "+name+", or change the RedrivePolicy", "the dead-letter queue %s does not exist: a message that Scout rejects returns to the queue until its retention period ends, and is then lost", target)
		return
	case dead.Attributes == nil:
		return // Unasked says so
	}
	isFIFO := func(name string) bool { return strings.HasSuffix(name, ".fifo") }
	if isFIFO(name) != isFIFO(parseARN(f.Attributes["QueueArn"]).resource) {
		found.fail("use a dead-letter queue of the same type", "the queue and its dead-letter queue %s are not both FIFO queues or both standard queues, so no message can be moved there", name)
	}
	if !dead.accepts(f.Attributes["QueueArn"]) {
		found.fail("add the queue to sourceQueueArns of its RedriveAllowPolicy", "the dead-letter queue %s does not accept messages of this queue", name)
	}
	f.judgeRetention(name, found)
	if n := dead.Attributes["ApproximateNumberOfMessages"]; n != "" && n != "0" {
		found.warn("see why with scout dlq ls --queue "+f.Queue.Label(), "the dead-letter queue %s holds %s", name, messages(n))
	}
}

// messages returns a number with its noun.
func messages(n string) string {
	if n == "1" {
		return "1 message"
	}
	return n + " messages"
}

// judgeRetention judges how long dead letters are kept. In a standard queue, their
// age counts from when they were first sent; in a FIFO queue, from when they were
// moved. See "Dead-letter queues" in the SQS Developer Guide.
func (f Facts) judgeRetention(deadLetters string, found findings) {
	own, okOwn := f.Attributes.seconds("MessageRetentionPeriod")
	dead, okDead := f.DeadLetters.Attributes.seconds("MessageRetentionPeriod")
	if okOwn && okDead && dead <= own && !strings.HasSuffix(deadLetters, ".fifo") {
		found.warn("raise its MessageRetentionPeriod to 14 days, or lower that of the queue", "the dead-letter queue %s keeps messages for %s since they were sent, which is not longer than the queue's %s: after an outage, messages can expire as soon as they are there", deadLetters, hours(dead), hours(own))
	}
}

// accepts reports whether a dead-letter queue accepts messages of a queue. Without
// a RedriveAllowPolicy, it accepts those of all queues of the account and region.
func (t Target) accepts(queue string) bool {
	var p struct {
		RedrivePermission string
		SourceQueueArns   []string
	}
	if err := json.Unmarshal([]byte(t.Attributes["RedriveAllowPolicy"]), &p); err != nil {
		return true
	}
	return p.RedrivePermission != "denyAll" && (p.RedrivePermission != "byQueue" || slices.Contains(p.SourceQueueArns, queue))
}

// visibility returns how long SQS hides a received message, or 0 if that is unknown.
func (f Facts) visibility() time.Duration {
	if f.Queue.VisibilityTimeout > 0 {
		return f.Queue.VisibilityTimeout
	}
	v, _ := f.Attributes.seconds("VisibilityTimeout")
	return v
}

func (f Facts) judgeVisibility(found findings) {
	if v := f.visibility(); v < 30*time.Second {
		found.warn("set the visibility timeout to 30s or more", "failed messages are redelivered after %v: a slow Redis may need longer, and messages are then received twice", v)
		return
	}
	found.ok("failed messages are redelivered after %v", f.visibility())
}

// judgeMemory judges how long Redis remembers messages. A message with one job
// needs that while it can be redelivered. Of a message with several jobs, some may
// have been pushed before it went to the dead-letter queue, from where it can be
// sent back until it expires.
func (f Facts) judgeMemory(found findings) {
	if f.DedupTTL == 0 {
		found.warn("set it to 24h, unless no worker minds", "redis.dedup_ttl is 0: SQS can deliver a message more than once, and each delivery makes a job")
		return
	}
	retention, _ := f.Attributes.seconds("MessageRetentionPeriod")
	_, receives := f.Attributes.redrive()
	redelivered := min(retention, time.Duration(receives)*f.visibility())
	if f.DedupTTL < redelivered {
		found.warn("raise it", "redis.dedup_ttl is %s, but a message can be redelivered for %s: if its deletion fails for as long, it gets a second job", hours(f.DedupTTL), hours(redelivered))
		return
	}
	dead, _ := f.DeadLetters.Attributes.seconds("MessageRetentionPeriod")
	if strings.HasSuffix(f.DeadLetters.ARN, ".fifo") {
		dead += retention // the age of a message restarts when it is moved
	}
	if f.DedupTTL < dead && f.hasSeveralJobs() {
		found.warn("raise it to "+hours(dead)+", or send dead letters back sooner", "redis.dedup_ttl is %s, but dead letters are kept for up to %s: one with several jobs, of which some were pushed before it failed, gets those again if it is sent back after %[1]s", hours(f.DedupTTL), hours(dead))
	}
}

// hasSeveralJobs reports whether a route is, or contains, a list.
func (f Facts) hasSeveralJobs() bool {
	routes := slices.Concat(f.Queue.Topics, f.Queue.EventBridge, f.Queue.S3, []handler.Route{{Outcome: f.Queue.Plain}})
	return slices.ContainsFunc(routes, func(r handler.Route) bool { return hasList(r.Outcome) })
}

func hasList(o handler.Outcome) bool {
	switch o := o.(type) {
	case handler.List:
		return true
	case handler.Choice:
		return hasList(o.Else) || slices.ContainsFunc(o.To, func(r handler.Route) bool { return hasList(r.Outcome) })
	}
	return false
}

// judgeKey judges the key that encrypts the queue. AWS's services can use one only
// if its policy admits them. That of the key alias/aws/sqs cannot be changed. See
// "Key management" in the SQS Developer Guide.
func (f Facts) judgeKey(found findings) {
	key := f.Attributes["KmsMasterKeyId"]
	services := f.services()
	switch {
	case key == "" || len(services) == 0:
	case strings.HasSuffix(key, "alias/aws/sqs"):
		found.fail("use encryption by SQS (SqsManagedSseEnabled) or a key of your own", "the queue is encrypted with the key alias/aws/sqs, which %s cannot use: none of their messages arrive", strings.Join(services, ", "))
	default:
		found.unknown("see that the key's policy allows kms:GenerateDataKey and kms:Decrypt to "+strings.Join(services, ", "), "the queue is encrypted with the key %s: without its permission, none of the services' messages arrive, and Scout does not ask KMS about it", key)
	}
}

// services returns the AWS services that are expected to send to the queue.
func (f Facts) services() []string {
	var services []string
	if len(f.Queue.Topics)+len(f.Subscriptions) > 0 {
		services = append(services, serviceSNS)
	}
	if len(f.Queue.EventBridge) > 0 {
		services = append(services, serviceEvents)
	}
	if len(f.Queue.S3) > 0 {
		services = append(services, serviceS3)
	}
	return services
}

// hours returns a duration as the configuration has it, and in days if it is long.
func hours(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d > day && d%day == 0:
		return fmt.Sprintf("%dh (%d days)", d/time.Hour, d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return d.String()
}
