package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"scout/handler"
	"scout/internal/printable"
)

// The services that the configuration has sections for.
const (
	serviceSNS    = "sns.amazonaws.com"
	serviceEvents = "events.amazonaws.com"
	serviceS3     = "s3.amazonaws.com"
)

// checkPolicy checks which senders the policy allows. Scout verifies no signatures, so
// any allowed sender can forge an envelope of any topic.
func (f Facts) checkPolicy(p policy, found Reporter) {
	if p.unknown {
		return
	}
	if !p.deniesPlainText(f.Attributes["QueueArn"]) {
		found.Warn(`add a statement with Effect Deny, Principal "*", Action sqs:* and the Condition {"Bool": {"aws:SecureTransport": "false"}}`, "the queue's policy does not deny requests without TLS")
	}
	letsEventsSend := false
	for _, s := range p.Statement {
		if s.Effect == "Allow" && s.coversSending(f.Attributes["QueueArn"]) {
			f.checkStatement(s, found)
			f.checkWidth(s, found)
			letsEventsSend = letsEventsSend || s.appliesToEveryone() || s.Principal["Service"].match(serviceEvents)
		}
	}
	for _, source := range f.sources() {
		f.checkSource(source, found)
	}
	f.checkBuckets(p, found)
	if len(f.Queue.EventBridge) > 0 && !letsEventsSend {
		found.Warn("allow sqs:SendMessage to "+serviceEvents+" with aws:SourceArn of the rules", "the queue's policy does not let EventBridge send, but the configuration has the section eventbridge")
	}
}

// checkStatement checks the principals of a statement that allows sending.
func (f Facts) checkStatement(s statement, found Reporter) {
	own := parseARN(f.Attributes["QueueArn"]).account
	const sourceFix, plainFix = "add conditions on aws:SourceArn and aws:SourceAccount", "remove it from the policy, or set queue.plain"
	isLimited, required := s.limitsAccount(), s.withoutOptional()
	if (s.appliesToEveryone() || s.NotPrincipal != nil) && !required.limitsAccount() && !required.hasCondition("aws:SourceVpc", "aws:SourceVpce", "aws:SourceIp") {
		found.Fail(sourceFix, "the queue's policy lets anyone send: a sender can forge messages of any topic, which become jobs")
	}
	for _, service := range s.Principal["Service"] {
		switch {
		case !slices.Contains([]string{serviceSNS, serviceEvents, serviceS3}, service):
			if f.Queue.Plain == nil {
				found.Warn(plainFix, "the queue's policy lets %s send, but no route applies to its messages", service)
			}
		case !isLimited:
			found.Warn(sourceFix, "the queue's policy lets %s send on behalf of any AWS account", service)
		case service == serviceS3 && !s.hasCondition("aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths"):
			found.Warn("add a condition on aws:SourceAccount", "the queue's policy lets %s send without aws:SourceAccount: a bucket's ARN names no account, and another account can take the name of a deleted bucket", service)
		}
	}
	for _, principal := range s.Principal["AWS"] {
		if principal != "*" && principal != own && parseARN(principal).account != own && f.Queue.Plain == nil {
			found.Warn(plainFix, "the queue's policy lets %s of another AWS account send: it can forge messages of any topic, which become jobs", principal)
		}
	}
}

// checkWidth checks a statement that allows topics or buckets of a known account by a
// wildcard or without a name.
func (f Facts) checkWidth(s statement, found Reporter) {
	sources := s.condition("aws:SourceArn")
	if len(sources) == 0 && s.Principal["Service"].match(serviceSNS) {
		sources = texts{"arn:aws:sns:*:*:*"}
	}
	for _, text := range sources {
		source := parseARN(text)
		routes := map[string][]handler.Route{"sns": f.Queue.Topics, "s3": f.Queue.S3}[source.service]
		isSource := source.service == "sns" || source.service == "s3"
		hasPattern := slices.ContainsFunc(routes, func(r handler.Route) bool { return hasWildcard(r.Key) })
		if isSource && !hasPattern && hasWildcard(source.resource) && s.limitsAccount() {
			found.Warn("name the topics and buckets of the configuration in aws:SourceArn", "the queue's policy lets all of %s send, but no route has a pattern", text)
		}
	}
}

// withoutOptional returns the statement without the conditions that a request meets if
// it lacks their key. A request that comes from no AWS service may lack it.
func (s statement) withoutOptional() statement {
	s.Condition = maps.Clone(s.Condition)
	maps.DeleteFunc(s.Condition, func(operator string, _ map[string]texts) bool {
		operator = strings.ToLower(operator)
		return strings.HasSuffix(operator, "ifexists") || strings.HasPrefix(operator, "forallvalues:") || operator == "null"
	})
	return s
}

// limitsAccount reports whether conditions limit the accounts that a statement applies
// to.
func (s statement) limitsAccount() bool {
	if s.hasCondition("aws:SourceAccount", "aws:SourceOrgID", "aws:SourceOrgPaths", "aws:PrincipalOrgID", "aws:PrincipalOrgPaths", "aws:PrincipalAccount", "aws:PrincipalArn") {
		return true
	}
	sources := s.condition("aws:SourceArn")
	return len(sources) > 0 && !slices.ContainsFunc(sources, func(text string) bool {
		source := parseARN(text)
		return source.service == "" || hasWildcard(source.account) || source.service == "s3" && hasWildcard(source.resource[:min(1, len(source.resource))])
	})
}

// hasCondition reports whether a condition limits the values of one of the keys.
func (s statement) hasCondition(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool {
		values := s.condition(key)
		return len(values) > 0 && !slices.Contains(values, "*")
	})
}

// checkSource checks a source that the policy allows to send. checkTopics checks the
// topics that the queue is subscribed to.
func (f Facts) checkSource(source arn, found Reporter) {
	var hasRoute bool
	switch source.service {
	case "sns":
		found = found.about(AreaTopic, source.String())
		_, hasRoute = f.router().Topic(source.String())
		hasRoute = hasRoute || slices.ContainsFunc(f.Subscriptions, func(s Subscription) bool { return s.Topic == source.String() })
	case "s3":
		hasRoute = slices.ContainsFunc(f.Queue.S3, func(r handler.Route) bool { return handler.MatchPattern(r.Key, source.resource) })
	case "events":
		hasRoute = len(f.Queue.EventBridge) > 0
	default:
		return
	}
	if !hasRoute {
		found.Warn("add a route, or remove it from the policy", "the queue's policy lets %s send, but no route applies to its messages", source.String())
	}
}

func (f Facts) router() *handler.Router {
	return handler.NewRouter(handler.Routes{Topics: f.Queue.Topics})
}

// checkBuckets checks whether the configured buckets may send.
func (f Facts) checkBuckets(p policy, found Reporter) {
	queue := parseARN(f.Attributes["QueueArn"])
	for _, route := range f.Queue.S3 {
		if hasWildcard(route.Key) || isIgnored(route.Outcome) {
			continue
		}
		bucket := sender{serviceS3, arn{queue.partition, "s3", "", "", route.Key}, queue.account, queue.String()}
		f.checkAllowed(p, bucket, "the bucket "+route.Key, found)
	}
}

// checkAllowed checks whether a source may send.
func (f Facts) checkAllowed(p policy, x sender, name string, found Reporter) {
	switch p.allows(x) {
	case no:
		found.Fail("allow sqs:SendMessage to "+x.service+" with aws:SourceArn "+x.source.String(), "the queue's policy does not let %s send: none of its messages arrive", name)
	case maybe:
		found.Unknown("check the conditions of its statements", "the queue's policy lets %s send under conditions that Scout cannot judge", name)
	}
}

func isIgnored(o handler.Outcome) bool {
	_, ok := o.(handler.Ignore)
	return ok
}

// checkTopics checks the subscriptions of the queue, and the topics that should
// have one.
func (f Facts) checkTopics(p policy, found Reporter) {
	router := f.router()
	for i, s := range f.Subscriptions {
		topic := found.about(AreaTopic, s.Topic)
		if i >= maxSubscriptions {
			topic.Unknown("", "Scout did not read the attributes of %d subscriptions: there are more than %d", len(f.Subscriptions)-maxSubscriptions, maxSubscriptions)
			break
		}
		f.checkSubscription(p, s, router, topic)
	}
	f.checkWaiting(found)
	for _, route := range f.Queue.Topics {
		f.checkRoute(route, router, found.about(AreaTopic, route.Key))
	}
}

func (f Facts) checkSubscription(p policy, s Subscription, router *handler.Router, found Reporter) {
	topic := parseARN(s.Topic)
	name := topic.resource
	route, hasRoute := router.Topic(s.Topic)
	if s.ARN == "" || s.Attributes["PendingConfirmation"] == "true" {
		found.Fail("request the SubscribeURL in the message that SNS sent to the queue, or subscribe the queue again from the account that owns it", "the subscription to %s is not confirmed: none of the topic's messages arrive", name)
		return
	}
	raw := s.Attributes["RawMessageDelivery"] == "true"
	switch {
	case raw && hasRoute:
		found.Fail("turn off raw message delivery, or remove the route and set queue.plain", "raw message delivery is on for %s: its messages arrive without the topic's name, so the route %s never applies", name, route.Key)
	case raw && f.Queue.Plain == nil:
		found.Fail("turn off raw message delivery and add a route, or set queue.plain", "the messages of %s have no route: raw message delivery is on, and queue.plain is not set, so they are rejected", name)
	case !raw && !hasRoute && (s.Attributes != nil || f.Queue.Plain == nil):
		found.Fail(noRouteFix(f.Queue.Plain != nil), "the queue is subscribed to %s, which has no route: its messages are rejected", name)
	case raw:
		found.OK("%s is subscribed, and its messages go to queue.plain%s", name, s.filter())
	case hasRoute:
		found.OK("%s is subscribed and has the route %s%s", name, route.Key, s.filter())
	}
	queue := f.Attributes["QueueArn"]
	f.checkAllowed(p, sender{serviceSNS, topic, topic.account, queue}, "the topic "+name, found)
	if s.Attributes != nil {
		f.checkUndelivered(s, name, found.about(AreaDLQ, found.Subject))
	}
}

func noRouteFix(hasPlain bool) string {
	if hasPlain {
		return "add a route, end the subscription, or turn on raw message delivery if queue.plain is to take its messages"
	}
	return "add a route, or end the subscription"
}

// filter describes the filter policy of a subscription.
func (s Subscription) filter() string {
	text := s.Attributes["FilterPolicy"]
	if text == "" || text == "{}" {
		return ""
	}
	scope := "attributes"
	if s.Attributes["FilterPolicyScope"] == "MessageBody" {
		scope = "body"
	}
	return ", with a filter of the message's " + scope + ": " + printable.Text(strings.Join(strings.Fields(text), " "), 300)
}

// checkUndelivered checks the dead-letter queue of a subscription.
func (f Facts) checkUndelivered(s Subscription, name string, found Reporter) {
	text, _ := s.Attributes.redrive()
	target := f.DeadLetters[text]
	queue := parseARN(text).resource
	switch {
	case text == "" && f.isEmulated():
		return
	case text == "":
		found.Warn("set its RedrivePolicy to a queue that the topic may send to", "the subscription to %s has no dead-letter queue: SNS drops messages that it cannot deliver, such as after a wrong change of the queue's policy", name)
		return
	case target.Missing:
		found.Fail("create it, or change the subscription's RedrivePolicy", "the dead-letter queue %s of the subscription to %s does not exist: SNS drops messages that it cannot deliver", queue, name)
		return
	case target.Attributes == nil:
		return // Unknowns has the reason
	}
	topic := parseARN(s.Topic)
	p, _ := parsePolicy(target.Attributes["Policy"])
	if p.allows(sender{serviceSNS, topic, topic.account, text}) == no {
		found.Fail("allow sqs:SendMessage to "+serviceSNS+" with aws:SourceArn "+s.Topic+" in the policy of "+queue, "SNS may not send to %s, the dead-letter queue of the subscription to %s: SNS drops messages that it cannot deliver", queue, name)
	}
}

// checkWaiting reports messages in the dead-letter queues of subscriptions, which SNS
// could not deliver. checkDeadLetters does so for the queue's own dead-letter queue.
func (f Facts) checkWaiting(found Reporter) {
	own, _ := f.Attributes.redrive()
	for _, text := range slices.Sorted(maps.Keys(f.DeadLetters)) {
		target, queue := f.DeadLetters[text], parseARN(text).resource
		if n := target.waiting(); n != "" && text != own {
			fix := fmt.Sprintf("see them with scout dlq ls --url %s --to %s, and send them on with scout dlq redrive --url %[1]s --to %[2]s", target.URL, f.Queue.Label())
			found.about(AreaDLQ, queue).Warn(fix, "%s holds %s that SNS could not deliver", queue, n)
		}
	}
}

// checkRoute checks whether a configured topic sends messages to the queue.
func (f Facts) checkRoute(route handler.Route, router *handler.Router, found Reporter) {
	isPattern := hasWildcard(route.Key)
	applies := func(s Subscription) bool {
		matched, ok := router.Topic(s.Topic)
		return ok && matched.Key == route.Key || !isPattern && handler.TopicName(s.Topic) == route.Key
	}
	exists, asked := f.Topics[route.Key] // an ARN
	switch isARN := parseARN(route.Key).service != ""; {
	case slices.ContainsFunc(f.Subscriptions, applies) || isIgnored(route.Outcome):
	case isARN && asked && !exists:
		found.Fail("create it, or remove the route", "the topic %s does not exist", route.Key)
	case !isARN && f.mayBeSubscribed(route, router):
	case isPattern && f.AllListed:
		found.Warn("subscribe the queue to one, or remove the route", "the queue is subscribed to no topic that matches the pattern %s", route.Key)
	case !isPattern && (asked || f.AllListed && (!isARN || f.IsOwn(route.Key))):
		found.Fail("subscribe the queue to it, or remove the route", "the queue is not subscribed to the topic %s: none of its messages arrive", route.Key)
	}
}

// mayBeSubscribed reports whether the queue's policy allows a topic of the route whose
// subscriptions are unknown. Unknowns then has a finding about the topic.
func (f Facts) mayBeSubscribed(route handler.Route, router *handler.Router) bool {
	return slices.ContainsFunc(f.sources(), func(source arn) bool {
		_, asked := f.Topics[source.String()]
		matched, ok := router.Topic(source.String())
		return source.service == "sns" && !asked && ok && matched.Key == route.Key && !(f.AllListed && f.IsOwn(source.String()))
	})
}

// Admitted returns the resources of a service, such as the names of buckets, that
// the queue's policy names as sources.
func (f Facts) Admitted(service string) []string {
	var resources []string
	for _, source := range f.sources() {
		if source.service == service {
			resources = append(resources, source.resource)
		}
	}
	return resources
}

// IsOwn reports whether a topic is in the account and region of the queue.
func (f Facts) IsOwn(topic string) bool {
	t, queue := parseARN(topic), parseARN(f.Attributes["QueueArn"])
	return t.account == queue.account && t.region == queue.region
}
