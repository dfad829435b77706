// Package template tests template.yaml and the files that are deployed with it. It
// finds mistakes that CloudFormation would reject only on AWS, or not at all, and
// checks what other code relies on. Start at TestTemplate. TestMutations shows
// that the checks can fail.
package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const filteredLists = 5 // FilteredTopics1 and so on

// topicNames returns the ARNs of the topics from first to last.
func topicNames(first, last int) string {
	var arns []string
	for n := first; n <= last; n++ {
		arns = append(arns, fmt.Sprintf("arn:aws:sns:us-east-1:123456789012:topic-%d", n))
	}
	return strings.Join(arns, ",")
}

var (
	eventRules = []string{"arn:aws:events:us-east-1:123456789012:rule/invoices", "arn:aws:events:us-east-1:123456789012:rule/bus/uploads"}
	bucketARNs = []string{"arn:aws:s3:::shop-uploads", "arn:aws:s3:::shop-invoices"}
)

// scenarios returns three stacks for each profile: one that sets only what is
// required, one with a topic, and one that sets every parameter.
func scenarios(d document) map[string]*stack {
	required := map[string]string{"ConfigParameter": "/scout/app"}
	little := map[string]string{"ConfigParameter": "/scout/app", "Topics": topicNames(1, 1)}
	all := maps.Clone(little)
	maps.Copy(all, map[string]string{ // each other than its default
		"Architecture":       "x86_64",
		"MemorySize":         "1024",
		"MaximumConcurrency": "99",
		"MinimumPollers":     "3",
		"MaximumPollers":     "20",
		"Polling":            "disabled",
		"ReferencePath":      "/shared/redis",
		"ConfigKeyArn":       "arn:aws:kms:us-east-1:123456789012:key/k",
		"SubnetIds":          "subnet-1,subnet-2",
		"SecurityGroupIds":   "sg-1",
		"RedisIamCache":      "shop-redis",
		"RedisIamUser":       "scout",
		"AlarmTopic":         "arn:aws:sns:us-east-1:123456789012:alarms",
		"LogLevel":           "WARN",
		"LogRetentionDays":   "7",
		"Deployment":         "AllAtOnce",
		"FilterScope":        "MessageBody",
		"EventRules":         strings.Join(eventRules, ","),
		"BucketArns":         strings.Join(bucketARNs, ","),
	})
	all["Topics"] = topicNames(1, 15)
	for n := range filteredLists {
		all[fmt.Sprintf("FilteredTopics%d", n+1)] = topicNames(21+2*n, 22+2*n)
		all[fmt.Sprintf("Filter%d", n+1)] = fmt.Sprintf(`{"n": [%d]}`, n+1)
	}
	stacks := map[string]*stack{}
	for profile := range d.Mappings["Profiles"].(map[string]any) {
		for size, parameters := range map[string]map[string]string{"required": required, "little": little, "all": all} {
			parameters := maps.Clone(parameters)
			parameters["Profile"] = profile
			stacks[profile+"/"+size] = d.create(parameters)
		}
	}
	return stacks
}

// A complaint records what is wrong with a stack.
type complaint func(format string, args ...any)

// checks are the assertions about a stack, by name.
var checks = map[string]func(*stack, complaint){
	"parameters":    checkParameters,
	"times":         checkTimes,
	"polling":       checkPolling,
	"queues":        checkQueues,
	"policies":      checkPolicies,
	"subscriptions": checkSubscriptions,
	"role":          checkRole,
	"function":      checkFunction,
	"release":       checkRelease,
	"alarms":        checkAlarms,
	"dashboard":     checkDashboard,
	"names":         checkNames,
}

// complaints runs all checks on all scenarios.
func complaints(t *testing.T, text string) []string {
	d := parse(t, text)
	var all []string
	for name, s := range scenarios(d) {
		for check, run := range checks {
			run(s, func(format string, args ...any) {
				all = append(all, fmt.Sprintf("%s (%s): %s", check, name, fmt.Sprintf(format, args...)))
			})
		}
	}
	return append(all, metricComplaints(d, emittedMetrics(t))...)
}

func TestTemplate(t *testing.T) {
	for _, c := range complaints(t, readFile(t, "../../../template.yaml")) {
		t.Error(c)
	}
}

// TestOutageTable checks that docs/deploy.md says how many receives a message needs
// during an outage of Redis: one at once, and one after each visibility timeout.
func TestOutageTable(t *testing.T) {
	text := readFile(t, "../../../docs/deploy.md")
	for name, s := range scenarios(parse(t, readFile(t, "../../../template.yaml"))) {
		visibility, receives := s.number("Queue", "VisibilityTimeout"), s.number("Queue", "RedrivePolicy", "maxReceiveCount")
		for _, seconds := range []int{60, 600, 3600} {
			if want := fmt.Sprintf("%d of %d receives", seconds/visibility+1, receives); !strings.Contains(text, want) {
				t.Errorf("%s: the table does not say that an outage of %d s costs %s", name, seconds, want)
			}
		}
	}
}

// TestQueueTemplate checks the template of the daemon's queue, standard and FIFO.
func TestQueueTemplate(t *testing.T) {
	stacks := daemonQueues(t)
	for fifo, names := range map[string][2]string{"false": {"shop", "shop-dead"}, "true": {"shop.fifo", "shop-dead.fifo"}} {
		s := stacks["Fifo="+fifo]
		if s.property("Queue", "QueueName") != names[0] || s.property("DeadLetterQueue", "QueueName") != names[1] {
			t.Errorf("the queues are %v and %v", s.property("Queue", "QueueName"), s.property("DeadLetterQueue", "QueueName"))
		}
		for _, name := range []string{"Queue", "DeadLetterQueue"} {
			if got := s.property(name, "FifoQueue") == true; got != (fifo == "true") {
				t.Errorf("Fifo=%s: FifoQueue of %s is %v", fifo, name, got)
			}
		}
		subscriptions := s.ofType("AWS::SNS::Subscription")
		if len(subscriptions) != 15 || len(s.twice) > 0 {
			t.Errorf("there are the subscriptions %v", subscriptions)
		}
		for _, name := range subscriptions {
			if s.property(name, "RawMessageDelivery") != false || s.property(name, "Endpoint") != "${Queue.Arn}" || fmt.Sprint(s.resources[name].DependsOn) != "[QueuePolicy DeadLetterQueuePolicy]" {
				t.Errorf("%s is %v", name, s.resources[name])
			}
		}
	}
}

// checkParameters checks that the rules accept the parameters.
func checkParameters(s *stack, complain complaint) {
	for _, violation := range s.violations() {
		complain("%s", violation)
	}
}

// checkTimes checks the timeouts and counts that depend on each other.
func checkTimes(s *stack, complain complaint) {
	timeout := s.number("ScoutFunction", "Timeout")
	window := s.number("ScoutFunction", "Events", "Queue", "Properties", "MaximumBatchingWindowInSeconds")
	visibility := s.number("Queue", "VisibilityTimeout")
	receives := s.number("Queue", "RedrivePolicy", "maxReceiveCount")
	if timeout <= 0 || timeout > 900 {
		complain("the function's timeout is %d s", timeout)
	}
	if visibility < 6*timeout+window {
		complain("a visibility timeout of %d s is below 6 times %d s and %d s", visibility, timeout, window)
	}
	if receives < 5 {
		complain("a message has only %d receives", receives)
	}
	// The first receive may be at the start of an outage, and the last one must
	// be after its end.
	if rides := (receives - 1) * visibility; rides < 3600 {
		complain("an outage of Redis of %d s sends messages to the dead-letter queue", rides)
	}
	if alarm := s.number("DurationAlarm", "Threshold"); alarm != timeout*1000*8/10 {
		complain("the duration alarm at %d ms is not at 80 %% of %d s", alarm, timeout)
	}
}

func checkPolling(s *stack, complain complaint) {
	event := s.property("ScoutFunction", "Events", "Queue")
	p, _ := at(event, "Properties").(map[string]any)
	size, _ := p["BatchSize"].(int)
	window, hasWindow := p["MaximumBatchingWindowInSeconds"].(int)
	fifo := s.parameters["Profile"] == "fifo"
	switch {
	case at(event, "Type") != "SQS" || p["Queue"] != "${Queue.Arn}":
		complain("the function does not poll the queue")
	case size < 1 || size > 10000:
		complain("the batch size is %d", size)
	case size > 10 && window < 1:
		complain("a batch of over 10 needs a window")
	case fifo && (size > 10 || hasWindow):
		complain("a FIFO queue has no window and at most 10 messages in a batch")
	}
	if !reflect.DeepEqual(p["FunctionResponseTypes"], []any{"ReportBatchItemFailures"}) {
		complain("the event source mapping ignores batch item failures: %v", p["FunctionResponseTypes"])
	}
	var scaling, pollers any = map[string]any{"MaximumConcurrency": s.parameters["MaximumConcurrency"]}, nil
	if s.parameters["MaximumPollers"] != "0" {
		scaling, pollers = nil, map[string]any{"MinimumPollers": s.parameters["MinimumPollers"], "MaximumPollers": s.parameters["MaximumPollers"]}
	}
	if !reflect.DeepEqual(p["ScalingConfig"], scaling) || !reflect.DeepEqual(p["ProvisionedPollerConfig"], pollers) {
		complain("the event source mapping scales by %v and %v, which exclude each other", p["ScalingConfig"], p["ProvisionedPollerConfig"])
	}
	if !reflect.DeepEqual(at(p, "MetricsConfig", "Metrics"), []any{"EventCount"}) {
		complain("the event source mapping has no metrics")
	}
	if p["Enabled"] != (s.parameters["Polling"] == "enabled") {
		complain("Enabled is %v with Polling %s", p["Enabled"], s.parameters["Polling"])
	}
}

func checkQueues(s *stack, complain complaint) {
	const twoWeeks = 14 * 24 * 3600
	fifo := s.parameters["Profile"] == "fifo"
	for _, name := range s.ofType("AWS::SQS::Queue") {
		r := s.resources[name]
		if r.DeletionPolicy != "Retain" || r.UpdateReplacePolicy != "Retain" {
			complain("%s is deleted with its messages", name)
		}
		if r.Properties["SqsManagedSseEnabled"] != true || r.Properties["KmsMasterKeyId"] != nil {
			complain("%s is not encrypted with a key that SNS can use", name)
		}
		if (r.Properties["FifoQueue"] == true) != fifo || strings.HasSuffix(fmt.Sprint(r.Properties["QueueName"]), ".fifo") != fifo {
			complain("%s is not of the profile's type, standard or FIFO", name)
		}
	}
	if s.property("Queue", "RedrivePolicy", "deadLetterTargetArn") != "${DeadLetterQueue.Arn}" {
		complain("the queue has no dead-letter queue")
	}
	queue := s.number("Queue", "MessageRetentionPeriod")
	if dead := s.number("DeadLetterQueue", "MessageRetentionPeriod"); dead != twoWeeks || dead <= queue {
		complain("dead letters are kept for %d s, the queue's messages for %d s", dead, queue)
	}
	if s.number("UndeliveredQueue", "MessageRetentionPeriod") != twoWeeks {
		complain("undelivered messages are not kept for two weeks")
	}
	allow := map[string]any{
		"redrivePermission": "byQueue",
		"sourceQueueArns":   []any{"arn:aws:sqs:us-east-1:123456789012:" + fmt.Sprint(s.property("Queue", "QueueName"))},
	}
	if got := s.property("DeadLetterQueue", "RedriveAllowPolicy"); !reflect.DeepEqual(got, allow) {
		complain("the dead-letter queue admits messages of %v", got)
	}
}

// topics returns the ARNs of the topics in the parameters of a stack, with their
// filter policies, or "" for none.
func (s *stack) topics() map[string]string {
	topics := map[string]string{}
	add := func(parameter, filter string) {
		for arn := range strings.SplitSeq(s.parameters[parameter], ",") {
			topics[arn] = filter
		}
	}
	add("Topics", "")
	for n := range filteredLists {
		add(fmt.Sprintf("FilteredTopics%d", n+1), s.parameters[fmt.Sprintf("Filter%d", n+1)])
	}
	return topics
}

// unused begins the ARNs that stand for empty lists.
const unused = "arn:aws:sns:us-east-1:000000000000:"

// list returns the elements of parameters that are lists.
func (s *stack) list(parameters ...string) (elements []any) {
	for _, name := range parameters {
		elements = append(elements, s.ref(name).([]any)...)
	}
	return elements
}

// otherSenders returns the statements for the rules and buckets in the parameters of
// a stack.
func (s *stack) otherSenders() (statements []any) {
	add := func(service, parameter string, more map[string]any) {
		arns := s.ref(parameter).([]any)
		if slices.Equal(arns, []any{""}) {
			return
		}
		condition := map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": arns}}
		maps.Copy(condition, more)
		statements = append(statements, map[string]any{
			"Effect":    "Allow",
			"Principal": map[string]any{"Service": service},
			"Action":    "sqs:SendMessage",
			"Resource":  "${Queue.Arn}",
			"Condition": condition,
		})
	}
	add("events.amazonaws.com", "EventRules", nil)
	add("s3.amazonaws.com", "BucketArns", map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": "123456789012"}})
	return statements
}

func checkPolicies(s *stack, complain complaint) {
	if n := len(s.ofType("AWS::SQS::QueuePolicy")); n != 3 {
		complain("there are %d queue policies", n)
	}
	for _, queue := range []string{"Queue", "DeadLetterQueue", "UndeliveredQueue"} {
		policy, arn := queue+"Policy", "${"+queue+".Arn}"
		want := []any{map[string]any{
			"Effect":    "Deny",
			"Principal": "*",
			"Action":    "sqs:*",
			"Resource":  arn,
			"Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": false}},
		}}
		if queue != "DeadLetterQueue" {
			want = append(want, map[string]any{
				"Effect":    "Allow",
				"Principal": map[string]any{"Service": "sns.amazonaws.com"},
				"Action":    "sqs:SendMessage",
				"Resource":  arn,
				"Condition": map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": s.list("Topics", "FilteredTopics1", "FilteredTopics2", "FilteredTopics3", "FilteredTopics4", "FilteredTopics5")}},
			})
		}
		if queue == "Queue" {
			want = append(want, s.otherSenders()...)
		}
		if got := s.property(policy, "PolicyDocument", "Statement"); !reflect.DeepEqual(got, want) {
			complain("%s allows %v", policy, got)
		}
		if !reflect.DeepEqual(s.property(policy, "Queues"), []any{"${" + queue + "}"}) {
			complain("%s is not the policy of %s", policy, queue)
		}
	}
}

func checkSubscriptions(s *stack, complain complaint) {
	topics := s.topics()
	maps.DeleteFunc(topics, func(arn, _ string) bool { return strings.HasPrefix(arn, unused) })
	for _, name := range s.ofType("AWS::SNS::Subscription") {
		r := s.resources[name]
		arn := fmt.Sprint(r.Properties["TopicArn"])
		filter, ok := topics[arn]
		if !ok {
			complain("%s subscribes to %s", name, arn)
			continue
		}
		delete(topics, arn)
		want := map[string]any{
			"TopicArn":           arn,
			"Protocol":           "sqs",
			"Endpoint":           "${Queue.Arn}",
			"RawMessageDelivery": false,
			"RedrivePolicy":      map[string]any{"deadLetterTargetArn": "${UndeliveredQueue.Arn}"},
		}
		if filter != "" {
			want["FilterPolicy"], want["FilterPolicyScope"] = filter, s.parameters["FilterScope"]
		}
		if !reflect.DeepEqual(r.Properties, want) {
			complain("%s is %v", name, r.Properties)
		}
		if !reflect.DeepEqual(r.DependsOn, []any{"QueuePolicy", "UndeliveredQueuePolicy"}) {
			complain("%s does not wait for the queue policies", name)
		}
		// The name is the same in each list, so a topic can move between them.
		if want := "Subscription" + notAlphanumeric.ReplaceAllString(arn, ""); name != want {
			complain("%s is not named %s", name, want)
		}
	}
	if len(topics) > 0 {
		complain("no subscription to %v", topics)
	}
}

// checkRole checks that the role allows exactly what the function needs. A new AWS
// call in the code must be added here, too.
func checkRole(s *stack, complain complaint) {
	const parameters = "arn:aws:ssm:us-east-1:123456789012:parameter"
	allowed := map[string]any{
		"sqs:ReceiveMessage":     "${Queue.Arn}",
		"sqs:DeleteMessage":      "${Queue.Arn}",
		"sqs:GetQueueAttributes": "${Queue.Arn}",
		"logs:CreateLogStream":   "${LogGroup.Arn}",
		"logs:PutLogEvents":      "${LogGroup.Arn}",
		"ssm:GetParameters":      []any{parameters + "/scout/app", parameters + "/scout/app/*"},
	}
	if s.parameters["ReferencePath"] != "" {
		allowed["ssm:GetParameters"] = []any{parameters + "/scout/app", parameters + s.parameters["ReferencePath"] + "/*"}
	}
	if key := s.parameters["ConfigKeyArn"]; key != "" {
		allowed["kms:Decrypt"] = key
	}
	if s.parameters["RedisIamCache"] != "" {
		allowed["elasticache:Connect"] = []any{
			"arn:aws:elasticache:us-east-1:123456789012:replicationgroup:shop-redis",
			"arn:aws:elasticache:us-east-1:123456789012:user:scout",
		}
	}
	denied := map[string]any{}
	if s.parameters["SubnetIds"] != "" {
		for _, action := range []string{"CreateNetworkInterface", "DescribeNetworkInterfaces", "DescribeSubnets", "DeleteNetworkInterface", "AssignPrivateIpAddresses", "UnassignPrivateIpAddresses"} {
			allowed["ec2:"+action] = "*"
		}
		denied["ec2:*"] = "*"
	}
	if r := s.resources["Role"].Properties; r["ManagedPolicyArns"] != nil || len(r["Policies"].([]any)) != 1 {
		complain("the role has other policies")
	}
	statements, _ := s.property("Role", "Policies", 0, "PolicyDocument", "Statement").([]any)
	if got := grants(statements, "Allow"); !reflect.DeepEqual(got, allowed) {
		complain("the role allows\n%v\nwant\n%v", got, allowed)
	}
	if got := grants(statements, "Deny"); !reflect.DeepEqual(got, denied) {
		complain("the role denies %v", got)
	}
	for _, statement := range statements {
		want := map[any]any{
			"Decrypt":             map[string]any{"StringEquals": map[string]any{"kms:ViaService": "ssm.us-east-1.amazonaws.com"}},
			"ConnectOnlyAsLambda": map[string]any{"ArnLike": map[string]any{"lambda:SourceFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:stack*"}},
		}[at(statement, "Sid")]
		if got := at(statement, "Condition"); !reflect.DeepEqual(got, want) {
			complain("%v has the condition %v", at(statement, "Sid"), got)
		}
	}
	trust := []any{map[string]any{"Effect": "Allow", "Principal": map[string]any{"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}}
	if got := s.property("Role", "AssumeRolePolicyDocument", "Statement"); !reflect.DeepEqual(got, trust) {
		complain("the role is trusted by %v", got)
	}
}

// grants returns the resources of the statements with an effect, by action.
func grants(statements []any, effect string) map[string]any {
	granted := map[string]any{}
	for _, statement := range statements {
		if at(statement, "Effect") != effect {
			continue
		}
		actions, ok := at(statement, "Action").([]any)
		if !ok {
			actions = []any{at(statement, "Action")}
		}
		for _, action := range actions {
			granted[fmt.Sprint(action)] = at(statement, "Resource")
		}
	}
	return granted
}

func checkFunction(s *stack, complain complaint) {
	want := map[string]any{
		"Runtime":       "provided.al2023",
		"Handler":       "bootstrap",
		"Architectures": []any{s.parameters["Architecture"]},
		"CodeUri":       "lambda/" + s.parameters["Architecture"],
		"MemorySize":    s.parameters["MemorySize"],
		"Role":          "${Role.Arn}",
		"Environment":   map[string]any{"Variables": map[string]any{"SCOUT_CONFIG": "ssm:/scout/app"}},
		"VpcConfig":     nil,
		"LoggingConfig": map[string]any{"LogGroup": "${LogGroup}", "LogFormat": "JSON", "ApplicationLogLevel": s.parameters["LogLevel"]},
		// It would throttle, and throttled batches use up receives.
		"ReservedConcurrentExecutions": nil,
	}
	if s.parameters["SubnetIds"] != "" {
		want["VpcConfig"] = map[string]any{"SubnetIds": []any{"subnet-1", "subnet-2"}, "SecurityGroupIds": []any{"sg-1"}}
	}
	for key, value := range want {
		if got := s.property("ScoutFunction", key); !reflect.DeepEqual(got, value) {
			complain("the function's %s is %v", key, got)
		}
	}
	if got, want := s.resources["ScoutFunction"].Metadata, map[string]any{"BuildMethod": "makefile", "WorkingDirectory": "."}; !reflect.DeepEqual(got, want) {
		complain("the function is built by %v", got)
	}
	if s.property("LogGroup", "RetentionInDays") != s.parameters["LogRetentionDays"] {
		complain("the log is not retained for LogRetentionDays")
	}
}

// checkRelease checks how a release is published.
func checkRelease(s *stack, complain complaint) {
	// With AutoPublishCodeSha256, SAM would not look at the code.
	if s.property("ScoutFunction", "AutoPublishAlias") != "live" || s.property("ScoutFunction", "AutoPublishCodeSha256") != nil {
		complain("changed code publishes no version")
	}
	known := []string{"AllAtOnce"}
	for _, minutes := range []int{5, 10, 15, 30} {
		known = append(known, fmt.Sprintf("Canary10Percent%dMinutes", minutes))
	}
	for _, every := range []string{"1Minute", "2Minutes", "3Minutes", "10Minutes"} {
		known = append(known, "Linear10PercentEvery"+every)
	}
	for _, value := range append(s.Parameters["Deployment"].AllowedValues, *s.Parameters["Deployment"].Default) {
		if !slices.Contains(known, value) {
			complain("CodeDeploy does not know %s", value)
		}
	}
	want := map[string]any{"Type": s.parameters["Deployment"], "Alarms": []any{"${ReleaseErrorsAlarm}"}}
	if got := s.property("ScoutFunction", "DeploymentPreference"); !reflect.DeepEqual(got, want) {
		complain("the function is deployed as %v", got)
	}
}

func checkAlarms(s *stack, complain complaint) {
	want := map[string]string{ // the metric of each alarm
		"DeadLettersAlarm":   "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=${DeadLetterQueue.QueueName}",
		"UndeliveredAlarm":   "AWS/SQS ApproximateNumberOfMessagesVisible QueueName=${UndeliveredQueue.QueueName}",
		"OldestMessageAlarm": "AWS/SQS ApproximateAgeOfOldestMessage QueueName=${Queue.QueueName}",
		"FailedAlarm":        "Scout Failed FunctionName=${ScoutFunction}",
		"ErrorsAlarm":        "AWS/Lambda Errors FunctionName=${ScoutFunction}",
		"ThrottlesAlarm":     "AWS/Lambda Throttles FunctionName=${ScoutFunction}",
		"DurationAlarm":      "AWS/Lambda Duration FunctionName=${ScoutFunction}",
		"ReleaseErrorsAlarm": "AWS/Lambda Errors FunctionName=${ScoutFunction} Resource=${ScoutFunction}:live ExecutedVersion=${ScoutFunction.Version.Version}",
	}
	got := map[string]string{}
	for _, name := range s.ofType("AWS::CloudWatch::Alarm") {
		p := s.resources[name].Properties
		got[name] = fmt.Sprintf("%v %v", p["Namespace"], p["MetricName"])
		for _, d := range p["Dimensions"].([]any) {
			got[name] += fmt.Sprintf(" %v=%v", at(d, "Name"), at(d, "Value"))
		}
		if p["TreatMissingData"] != "notBreaching" || p["ComparisonOperator"] != "GreaterThanThreshold" {
			complain("%s is in alarm without data, or below its threshold", name)
		}
		var actions any
		if topic := s.parameters["AlarmTopic"]; topic != "" && name != "ReleaseErrorsAlarm" {
			actions = []any{topic}
		}
		if !reflect.DeepEqual(p["AlarmActions"], actions) || !reflect.DeepEqual(p["OKActions"], actions) {
			complain("%s notifies %v", name, p["AlarmActions"])
		}
	}
	if !reflect.DeepEqual(got, want) {
		complain("the alarms watch\n%v\nwant\n%v", got, want)
	}
}

// A widget is a widget of the dashboard.
type widget struct {
	X, Y, Width, Height int
	Type                string
	Properties          struct {
		Title, Query string
		Metrics      [][]any
		Alarms       []string
	}
}

func (s *stack) widgets() ([]widget, error) {
	var body struct{ Widgets []widget }
	err := json.Unmarshal([]byte(fmt.Sprint(s.property("Dashboard", "DashboardBody"))), &body)
	return body.Widgets, err
}

func checkDashboard(s *stack, complain complaint) {
	widgets, err := s.widgets()
	if err != nil {
		complain("%v", err)
	}
	dimensions := map[string][]string{ // that a metric may have, by namespace
		"Scout":      {"FunctionName ${ScoutFunction}"},
		"AWS/Lambda": {"FunctionName ${ScoutFunction}", "EventSourceMappingUUID ${ScoutFunctionQueue}"},
		"AWS/SQS":    {"QueueName ${Queue.QueueName}", "QueueName ${DeadLetterQueue.QueueName}", "QueueName ${UndeliveredQueue.QueueName}"},
	}
	taken := map[[2]int]bool{}
	var alarms []string
	for _, w := range widgets {
		for x := range w.Width {
			for y := range w.Height {
				cell := [2]int{w.X + x, w.Y + y}
				if taken[cell] || cell[0] >= 24 {
					complain("widget %q overlaps another one or the border", w.Properties.Title)
					return
				}
				taken[cell] = true
			}
		}
		for _, m := range w.Properties.Metrics {
			if !slices.Contains(dimensions[fmt.Sprint(m[0])], fmt.Sprint(m[2], " ", m[3])) {
				complain("widget %q has no data: %v", w.Properties.Title, m)
			}
		}
		alarms = append(alarms, w.Properties.Alarms...)
	}
	for _, name := range s.ofType("AWS::CloudWatch::Alarm") {
		if name != "ReleaseErrorsAlarm" && !slices.Contains(alarms, "${"+name+".Arn}") {
			complain("the dashboard does not show %s", name)
		}
	}
}

// metricComplaints compares the names of metrics with those that Scout and AWS emit.
func metricComplaints(d document, emitted map[string]bool) (all []string) {
	known := map[string]bool{}
	for name := range emitted {
		known["Scout "+name] = true
	}
	for _, name := range []string{ // AWS Lambda Developer Guide, "Types of metrics for Lambda functions"
		"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions",
		"PolledEventCount", "InvokedEventCount", "FailedInvokeEventCount", "DeletedEventCount",
	} {
		known["AWS/Lambda "+name] = true
	}
	for _, name := range []string{ // Amazon SQS Developer Guide, "Available CloudWatch metrics for Amazon SQS"
		"ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage",
	} {
		known["AWS/SQS "+name] = true
	}
	used := map[string]bool{}
	s := scenarios(d)["latency/all"]
	for _, name := range s.ofType("AWS::CloudWatch::Alarm") {
		used[fmt.Sprint(s.property(name, "Namespace"), " ", s.property(name, "MetricName"))] = true
	}
	widgets, _ := s.widgets()
	for _, w := range widgets {
		for _, m := range w.Properties.Metrics {
			used[fmt.Sprint(m[0], " ", m[1])] = true
		}
	}
	for name := range used {
		if !known[name] {
			all = append(all, "metrics: nothing emits "+name)
		}
	}
	for name := range emitted {
		if !used["Scout "+name] {
			all = append(all, "metrics: nothing shows Scout's "+name)
		}
	}
	return all
}

// checkNames checks that everything the template refers to exists, once.
func checkNames(s *stack, complain complaint) {
	for _, name := range s.twice {
		complain("%s exists twice", name)
	}
	made := []string{"ScoutFunctionQueue"} // by SAM
	text, _ := json.Marshal(s.resources)
	for _, match := range variable.FindAllStringSubmatch(string(text), -1) {
		name, _, _ := strings.Cut(match[1], ".")
		if _, ok := s.resources[name]; !ok && !slices.Contains(made, name) {
			complain("%s does not exist", match[0])
		}
	}
}
