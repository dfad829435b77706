package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"scout/handler"
)

// Findings returns the findings about the facts. The findings about the queue come first.
func (f Facts) Findings() []Finding {
	list := slices.Clone(f.Unknowns)
	found := Reporter{func(x Finding) { list = append(list, x) }, AreaQueue, f.Queue.Label()}
	f.checkLocation(found)
	if f.Attributes == nil {
		return list
	}
	p, err := parsePolicy(f.Attributes["Policy"])
	switch services := f.services(); {
	case err != nil:
		found.Fail("set a valid policy", "the queue's policy cannot be read: %v", err)
	case f.isEmulated():
		found.Unknown("audit the queue on AWS, too", "the queue is in an emulator and has no policy, so its policy, retention periods and dead-letter queues of subscriptions were not checked")
		p.unknown = true
	case len(p.Statement) == 0 && len(services) > 0:
		found.Fail("set a policy that allows sqs:SendMessage to them, names the sources in aws:SourceArn, and denies requests without TLS", "the queue has no policy: no messages from %s arrive", strings.Join(services, ", "))
		p.unknown = true
	}
	f.checkDeadLetters(found.about(AreaDLQ, f.Queue.Label()))
	f.checkVisibility(found)
	f.checkDedupTTL(found.about(AreaConfig, "redis.dedup_ttl"))
	f.checkKey(found)
	f.checkPolicy(p, found)
	f.checkTopics(p, found)
	return list
}

// isEmulated reports whether the queue is one of scout dev, LocalStack or another
// emulator that uses the account 000000000000, and has no policy. An emulator lets
// everyone send, so a queue for trying out usually has no policy.
func (f Facts) isEmulated() bool {
	return parseARN(f.Attributes["QueueArn"]).account == noAccount && f.Attributes["Policy"] == ""
}

// checkLocation compares the endpoint and region of requests with the location of the
// queue. If the queue's attributes are unknown, queue.url has its location.
func (f Facts) checkLocation(found Reporter) {
	region := parseARN(f.Attributes["QueueArn"]).region
	if region == "" && isAWS(f.Queue.URL) {
		_, rest, _ := strings.Cut(f.Queue.URL, "sqs.")
		region, _, _ = strings.Cut(rest, ".")
	}
	if region != "" && region != f.Region {
		found.Fail("set aws.region to "+region, "the queue is in the region %s, but requests are signed for %s", region, f.Region)
	}
	if f.Queue.URL != "" && f.Endpoint != "" && isAWS(f.Queue.URL) != isAWS(f.Endpoint) {
		found.Warn("remove aws.endpoint and AWS_ENDPOINT_URL, or change queue.url", "requests go to %s, not to the host of queue.url", f.Endpoint)
	}
}

// checkDeadLetters checks the dead-letter queue for rejected messages.
func (f Facts) checkDeadLetters(found Reporter) {
	target, receives := f.Attributes.redrive()
	if target == "" {
		found.Fail("create one, and set the queue's RedrivePolicy with a maxReceiveCount of 5 or more", "the queue has no dead-letter queue: a message that Scout rejects returns to the queue until its retention period ends, and is then lost")
		return
	}
	if receives < 5 {
		found.Warn("set maxReceiveCount to 5 or more", "messages go to the dead-letter queue after %d receives: with fewer than 5, a short outage of Redis moves them there", receives)
	} else {
		found.OK("rejected messages go to %s after %d receives", target, receives)
	}
	dead := f.DeadLetters[target]
	name := parseARN(target).resource
	switch {
	case dead.Missing:
		found.Fail("create the queue "+name+", or change the RedrivePolicy", "the dead-letter queue %s does not exist: a message that Scout rejects returns to the queue until its retention period ends, and is then lost", target)
		return
	case dead.Attributes == nil:
		return // Unknowns has the reason
	}
	if isFIFO(name) != isFIFO(parseARN(f.Attributes["QueueArn"]).resource) {
		found.Fail("use a dead-letter queue of the same type", "the queue and its dead-letter queue %s are not both FIFO queues or both standard queues, so no message can be moved there", name)
	}
	if !dead.accepts(f.Attributes["QueueArn"]) {
		found.Fail("add the queue to sourceQueueArns of its RedriveAllowPolicy", "the dead-letter queue %s does not accept messages of this queue", name)
	}
	// In a standard queue, the age of dead letters counts from when they were first
	// sent; in a FIFO queue, from when they were moved. See "Dead-letter queues" in the
	// SQS Developer Guide.
	own, kept := f.Attributes.seconds("MessageRetentionPeriod"), dead.Attributes.seconds("MessageRetentionPeriod")
	if kept > 0 && kept <= own && !isFIFO(name) && !f.isEmulated() {
		found.Warn("raise its MessageRetentionPeriod to 14 days, or lower that of the queue", "the dead-letter queue %s keeps messages for %s since they were sent, which is not longer than the queue's %s: after an outage, messages can expire as soon as they are moved there", name, hours(kept), hours(own))
	}
	if n := dead.waiting(); n != "" {
		found.Warn("see why with scout dlq ls --queue "+f.Queue.Label(), "the dead-letter queue %s holds %s", name, n)
	}
}

// waiting returns the number of messages with its noun, or "" if there are none.
func (t Target) waiting() string {
	switch n := t.Attributes["ApproximateNumberOfMessages"]; n {
	case "", "0":
		return ""
	case "1":
		return "1 message"
	default:
		return n + " messages"
	}
}

func isFIFO(name string) bool { return strings.HasSuffix(name, ".fifo") }

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
	return f.Attributes.seconds("VisibilityTimeout")
}

func (f Facts) checkVisibility(found Reporter) {
	if v := f.visibility(); v < 30*time.Second {
		found.Warn("set the visibility timeout to 30s or more", "failed messages are redelivered after %v: a slow Redis may need longer, and messages are then received twice", v)
		return
	}
	found.OK("failed messages are redelivered after %v", f.visibility())
}

// checkDedupTTL checks how long Redis remembers messages. A message with one job must
// be remembered while it can be redelivered. Some jobs of a message with several may
// have been pushed before it moved to the dead-letter queue. Until it expires there, it
// can be sent back.
func (f Facts) checkDedupTTL(found Reporter) {
	if f.DedupTTL == 0 {
		found.Warn("set it to 24h, unless all workers can run twice for a message", "redis.dedup_ttl is 0: SQS can deliver a message more than once, and each delivery makes a job")
		return
	}
	retention := f.Attributes.seconds("MessageRetentionPeriod")
	target, receives := f.Attributes.redrive()
	redelivered := min(retention, time.Duration(receives)*f.visibility())
	if f.DedupTTL < redelivered {
		found.Warn("raise it to "+hours(redelivered), "redis.dedup_ttl is %s, but a message can be redelivered for %s: if its deletion keeps failing, it makes a second job", hours(f.DedupTTL), hours(redelivered))
		return
	}
	kept := f.DeadLetters[target].Attributes.seconds("MessageRetentionPeriod")
	if isFIFO(target) {
		kept += retention // the age of a message restarts when it is moved
	}
	if f.DedupTTL < kept && f.hasSeveralJobs() {
		found.Warn("raise it to "+hours(kept)+", or send dead letters back sooner", "redis.dedup_ttl is %s, but dead letters are kept for up to %s: a message with several jobs can make some of them twice if it is sent back after %[1]s", hours(f.DedupTTL), hours(kept))
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

// checkKey checks the key that encrypts the queue. AWS services can use a key only if
// its policy allows them to. The policy of the key alias/aws/sqs cannot be changed. See
// "Key management" in the SQS Developer Guide.
func (f Facts) checkKey(found Reporter) {
	key := f.Attributes["KmsMasterKeyId"]
	services := f.services()
	switch {
	case key == "" || len(services) == 0:
	case strings.HasSuffix(key, "alias/aws/sqs"):
		found.Fail("use encryption by SQS (SqsManagedSseEnabled) or a key of your own", "the queue is encrypted with the key alias/aws/sqs, which %s cannot use: no messages from them arrive", strings.Join(services, ", "))
	default:
		found.Unknown("check that the key's policy allows kms:GenerateDataKey and kms:Decrypt to them", "the queue is encrypted with the key %s: no messages from %s arrive unless the key's policy allows it, which Scout cannot see", key, strings.Join(services, ", "))
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

// hours returns a duration in the configuration's syntax, with the number of days if it
// is long.
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
