package template

import (
	"strings"
	"testing"
)

// mutations are mistakes that could be made in template.yaml, each with the check
// that must notice it.
var mutations = []struct{ name, old, new, check string }{
	{"visibility below 6 timeouts", "VisibilityTimeout: 180", "VisibilityTimeout: 179", "times"},
	{"visibility without the window", "VisibilityTimeout: 420", "VisibilityTimeout: 364", "times"},
	{"too few receives for an hour", "ReceiveCount: 24", "ReceiveCount: 20", "times"},
	{"few receives", "ReceiveCount: 11", "ReceiveCount: 4", "times"},
	{"timeout changed alone", "Timeout: 60", "Timeout: 50", "times"},
	{"duration alarm of another timeout", "DurationAlarm: 24000", "DurationAlarm: 30000", "times"},

	{"large batch without window", "BatchWindow: 5", "BatchWindow: 0", "polling"},
	{"large batch of FIFO", "    fifo: # AWS allows no larger batch and no window; survives 69 minutes without Redis\n      Timeout: 30\n      BatchSize: 10", "    fifo:\n      Timeout: 30\n      BatchSize: 11", "polling"},
	{"window with FIFO", "!If [IsFifo, !Ref AWS::NoValue, !FindInMap [Profiles, !Ref Profile, BatchWindow]]", "!FindInMap [Profiles, !Ref Profile, BatchWindow]", "polling"},
	{"no partial responses", "            FunctionResponseTypes: [ReportBatchItemFailures]", "           #", "polling"},
	{"both kinds of scaling", "ScalingConfig: !If [HasPollers, !Ref AWS::NoValue, {MaximumConcurrency: !Ref MaximumConcurrency}]", "ScalingConfig: {MaximumConcurrency: !Ref MaximumConcurrency}", "polling"},
	{"pollers without being asked", "{MinimumPollers: !Ref MinimumPollers, MaximumPollers: !Ref MaximumPollers}, !Ref AWS::NoValue]", "{MinimumPollers: !Ref MinimumPollers, MaximumPollers: !Ref MaximumPollers}, {MinimumPollers: 2}]", "polling"},
	{"no concurrency", "{MaximumConcurrency: !Ref MaximumConcurrency}]", "!Ref AWS::NoValue]", "polling"},
	{"no event metrics", "            MetricsConfig: {Metrics: [EventCount]}", "", "polling"},
	{"always polling", "Enabled: !If [IsPolling, true, false]", "Enabled: true", "polling"},

	{"queue deleted", "DeletionPolicy: Retain\n    UpdateReplacePolicy: Retain", "UpdateReplacePolicy: Retain", "queues"},
	{"queue deleted when replaced", "    UpdateReplacePolicy: Retain\n", "", "queues"},
	{"no encryption", "SqsManagedSseEnabled: true", "SqsManagedSseEnabled: false", "queues"},
	{"key that SNS cannot use", "SqsManagedSseEnabled: true #", "KmsMasterKeyId: alias/aws/sqs #", "queues"},
	{"dead letters as short as the queue", "MessageRetentionPeriod: 1209600 # two weeks", "MessageRetentionPeriod: 604800 #", "queues"},
	{"queue as long as dead letters", "MessageRetentionPeriod: 604800", "MessageRetentionPeriod: 1209600", "queues"},
	{"dead letters from all", "redrivePermission: byQueue", "redrivePermission: allowAll", "queues"},
	{"dead letters of another name", "${AWS::StackName}${Suffix}", "${AWS::StackName}-queue${Suffix}", "queues"},
	{"dead letters of FIFO", "Suffix: !If [IsFifo, .fifo, \"\"]", "Suffix: \"\"", "queues"},
	{"FIFO without its name", "QueueName: !If [IsFifo, !Sub \"${AWS::StackName}-dead.fifo\", !Sub \"${AWS::StackName}-dead\"]", "QueueName: !Sub \"${AWS::StackName}-dead\"", "queues"},

	{"any sender", "Principal: {Service: sns.amazonaws.com}", "Principal: '*'", "policies"},
	{"topics missing in the policy", `, !Join [",", !Ref FilteredTopics4]`, "", "policies"},
	{"any topic", "ArnEquals:\n                aws:SourceArn:", "ArnLike:\n                aws:SourceArn:", "policies"},
	{"more than sending", "Action: sqs:SendMessage", "Action: sqs:*", "policies"},
	{"requests without TLS to the queue", "          - Effect: Deny # requests without TLS\n            Principal: \"*\"\n            Action: sqs:*\n            Resource: !GetAtt Queue.Arn\n            Condition: {Bool: {aws:SecureTransport: false}}\n", "", "policies"},
	{"requests without TLS to the dead-letter queue", "Resource: !GetAtt DeadLetterQueue.Arn\n            Condition: {Bool: {aws:SecureTransport: false}}", "Resource: !GetAtt DeadLetterQueue.Arn", "policies"},
	{"only requests with TLS denied", "aws:SecureTransport: false", "aws:SecureTransport: true", "policies"},
	{"only sending without TLS denied", "Action: sqs:*", "Action: sqs:SendMessage", "policies"},
	{"no policy of the dead-letter queue", "      Queues: [!Ref DeadLetterQueue]\n", "      Queues: [!Ref Queue]\n", "policies"},

	{"any rule", "Condition: {ArnEquals: {aws:SourceArn: !Ref EventRules}}", "Condition: {}", "policies"},
	{"rules of any account", "{ArnEquals: {aws:SourceArn: !Ref EventRules}}", "{ArnLike: {aws:SourceArn: !Ref EventRules}}", "policies"},
	{"rules without being asked", "            - HasEventRules\n", "            - IsPolling\n", "policies"},
	{"any bucket", "                ArnEquals: {aws:SourceArn: !Ref BucketArns}\n", "", "policies"},
	{"bucket of any account", "                StringEquals: {aws:SourceAccount: !Ref AWS::AccountId} #", "#", "policies"},
	{"buckets without being asked", "HasBuckets: !Not [!Equals [!Join [\"\", !Ref BucketArns], \"\"]]", "HasBuckets: !Equals [a, a]", "policies"},
	{"buckets may do more", "              Principal: {Service: s3.amazonaws.com}\n              Action: sqs:SendMessage", "              Principal: {Service: s3.amazonaws.com}\n              Action: sqs:*", "policies"},
	{"rules send as another service", "events.amazonaws.com", "scheduler.amazonaws.com", "policies"},

	{"raw delivery", "RawMessageDelivery: false", "RawMessageDelivery: true", "subscriptions"},
	{"subscription to the default", "        Condition: HasTopics\n", "", "subscriptions"},
	{"subscription to the default of a filtered list", "        Condition: HasFilteredTopics2\n", "", "subscriptions"},
	{"condition of another", "        Condition: HasFilteredTopics4\n", "        Condition: IsFifo\n", "subscriptions"},
	{"other topics", "    - !Ref FilteredTopics4\n", "    - !Ref FilteredTopics3\n", "subscriptions"},
	{"filter of another", "FilterPolicy: !Ref Filter5", "FilterPolicy: !Ref Filter4", "subscriptions"},
	{"no filter", "          FilterPolicy: !Ref Filter1\n          FilterPolicyScope: !Ref FilterScope\n", "", "subscriptions"},
	{"topic that cannot move between lists", "    - !Ref FilteredTopics1\n    - Subscription&", "    - !Ref FilteredTopics1\n    - Filtered&", "subscriptions"},
	{"subscribed too early", "        DependsOn: [QueuePolicy, UndeliveredQueuePolicy]\n", "", "subscriptions"},
	{"no redrive", "          RedrivePolicy: {deadLetterTargetArn: !GetAtt UndeliveredQueue.Arn}\n", "", "subscriptions"},

	{"any queue", "Resource: !GetAtt Queue.Arn\n              - Sid: Log", "Resource: '*'\n              - Sid: Log", "role"},
	{"one action more", "sqs:GetQueueAttributes]", "sqs:GetQueueAttributes, sqs:ChangeMessageVisibility]", "role"},
	{"one action less", "[logs:CreateLogStream, logs:PutLogEvents]", "[logs:PutLogEvents]", "role"},
	{"another call of Parameter Store", "Action: ssm:GetParameters", "Action: ssm:GetParameter", "role"},
	{"all parameters", "parameter${Path}/*", "parameter/*", "role"},
	{"key used for anything", "kms:ViaService: !Sub ssm.", "kms:ViaService: !Sub s3.", "role"},
	{"any cache", "replicationgroup:${RedisIamCache}", "replicationgroup:*", "role"},
	{"any user of Redis", "                    - !Sub arn:${AWS::Partition}:elasticache:${AWS::Region}:${AWS::AccountId}:user:${RedisIamUser}\n", "", "role"},
	{"more than connecting", "Action: elasticache:Connect", "Action: elasticache:*", "role"},
	{"connecting without IAM", "- HasRedisIam #", "- IsPolling #", "role"},
	{"cache without user", "      - Assert: !Not [!Equals [!Ref RedisIamUser, \"\"]]", "      - Assert: !Equals [!Ref RedisIamUser, \"\"]", "parameters"},
	{"user without cache asserted", "    RuleCondition: !Not [!Equals [!Ref RedisIamCache, \"\"]]\n", "", "parameters"},
	{"network without VPC", "- IsInVpc # AWS", "- IsPolling # AWS", "role"},
	{"network for the code", "Effect: Deny\n                  Action: ec2:*", "Effect: Allow\n                  Action: ec2:*", "role"},
	{"managed policy", "      Policies:\n        - PolicyName: scout", "      ManagedPolicyArns: [arn:aws:iam::aws:policy/PowerUserAccess]\n      Policies:\n        - PolicyName: scout", "role"},
	{"role for all", "Principal: {Service: lambda.amazonaws.com}", "Principal: {AWS: '*'}", "role"},

	{"configuration elsewhere", "ssm:${ConfigParameter}\n", "${ConfigParameter}\n", "function"},
	{"plain logs", "LogFormat: JSON", "LogFormat: Text", "function"},
	{"fixed architecture", "[!Ref Architecture]", "[arm64]", "function"},
	{"reserved concurrency", "      Handler: bootstrap", "      Handler: bootstrap\n      ReservedConcurrentExecutions: 5", "function"},
	{"build by SAM", "BuildMethod: makefile", "BuildMethod: go1.x", "function"},
	{"build in another folder", "      WorkingDirectory: .\n", "", "function"},
	{"build for one architecture", "CodeUri: !Sub lambda/${Architecture}", "CodeUri: lambda/arm64", "function"},
	{"log kept for ever", "      RetentionInDays: !Ref LogRetentionDays\n", "", "function"},

	{"misspelt deployment", "Default: Canary10Percent5Minutes", "Default: Canary10Percent5Minute", "release"},
	{"unknown deployment", "AllowedValues: [Canary10Percent5Minutes,", "AllowedValues: [Canary20Percent5Minutes,", "release"},
	{"no roll-back", "        Alarms: [!Ref ReleaseErrorsAlarm]\n", "", "release"},
	{"code not published", "AutoPublishAlias: live", "AutoPublishAlias: live\n      AutoPublishCodeSha256: 0000000000", "release"},
	{"no alias", "      AutoPublishAlias: live\n", "", "release"},

	{"alarm about another queue", "{Name: QueueName, Value: !GetAtt DeadLetterQueue.QueueName}", "{Name: QueueName, Value: !GetAtt Queue.QueueName}", "alarms"},
	{"alarm without dimension", "      MetricName: Throttles\n      Dimensions:\n        - {Name: FunctionName, Value: !Ref ScoutFunction}", "      MetricName: Throttles\n      Dimensions: []", "alarms"},
	{"silent alarm", "      AlarmActions: !If [HasAlarmTopic, [!Ref AlarmTopic], !Ref AWS::NoValue]\n", "", "alarms"},
	{"alarm without data", "TreatMissingData: notBreaching", "TreatMissingData: breaching", "alarms"},
	{"unknown metric of Scout", "MetricName: Failed", "MetricName: Failures", "metrics"},

	{"ignored messages not shown", `["Scout", "Ignored", "FunctionName"`, `["Scout", "Skipped", "FunctionName"`, "metrics"},
	{"unknown metric on the dashboard", `["Scout", "FailedNoRoute"`, `["Scout", "NoRoute"`, "metrics"},
	{"unknown metric of AWS", `["AWS/Lambda", "Invocations"`, `["AWS/Lambda", "Invocation"`, "metrics"},
	{"dashboard of other dimensions", `["Scout", "Received", "FunctionName"`, `["Scout", "Received", "Function"`, "dashboard"},
	{"dashboard that is no JSON", `["Scout", "Enqueued", "FunctionName", "${ScoutFunction}"],`, `["Scout", "Enqueued", "FunctionName", "${ScoutFunction}"]`, "dashboard"},
	{"widgets that overlap", `"x": 8, "y": 0`, `"x": 7, "y": 0`, "dashboard"},
	{"alarm not shown", `"${FailedAlarm.Arn}", `, "", "dashboard"},

	{"name that is not there", "LogGroup: !Ref LogGroup\n", "LogGroup: !Ref Logs\n", "names"},
}

func TestMutations(t *testing.T) {
	text := readFile(t, "../../../template.yaml")
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			if !strings.Contains(text, m.old) {
				t.Fatalf("the template does not contain %q", m.old)
			}
			found := complaints(t, strings.Replace(text, m.old, m.new, 1))
			for _, c := range found {
				if strings.HasPrefix(c, m.check) {
					return
				}
			}
			t.Errorf("the check %q did not notice; complaints: %q", m.check, found)
		})
	}
}

// A textMutation is a mistake in another file, and the complaint about it.
type textMutation struct{ old, new, complaint string }

func (m textMutation) test(t *testing.T, text string, complaints func(text string) []string) {
	t.Helper()
	if !strings.Contains(text, m.old) {
		t.Errorf("the file does not contain %q", m.old)
	}
	found := complaints(strings.Replace(text, m.old, m.new, 1))
	if !strings.Contains(strings.Join(found, "\n"), m.complaint) {
		t.Errorf("%q instead of %q was not noticed; complaints: %q", m.new, m.old, found)
	}
}

func TestMutatedParameterFiles(t *testing.T) {
	d := parse(t, readFile(t, "../../../template.yaml"))
	for _, m := range []textMutation{
		{"MemorySize", "Memory", "no parameter Memory"},
		{"MemorySize: 512", "RedisIamCache: shop-redis", "RedisIamCache needs RedisIamUser"},
		{"MemorySize: 512", "RedisIamCache: Shop", "does not match"},
		{"ConfigParameter: /scout/shop-production\n", "", "ConfigParameter is missing"},
		{"ConfigParameter: /", "ConfigParameter: ", "does not match"},
		{"- arn:aws:sns", "- arn:aws:sqs", "does not match"},
		{"throughput", "thruput", "is not one of"},
		{"rule/invoices", "rule/*", "does not match"},
		{"arn:aws:s3:::shop-uploads", "shop-uploads", "does not match"},
		{`{"country"`, `{country`, "is not JSON"},
		{"Profile: throughput", "Profile: fifo", "only FIFO topics"},
		{"audit-log", "user-signups", "exists twice"},
		{"audit-log", "user_signups", "exists twice"},
		{"FilteredTopics1: [arn:aws:sns:us-east-1:123456789012:user-signups]", "FilteredTopics1: []", "does not match"},
		{`'{"country": ["de", "fr"]}'`, `{"country": ["de", "fr"]}`, "in quotes"},
		{"MemorySize: 512", "Polling: false", "in quotes"},
	} {
		m.test(t, readFile(t, "../../../deploy/shop-production.yaml"), func(text string) []string { return parameterComplaints(d, text) })
	}
}

func TestMutatedEnvironments(t *testing.T) {
	for _, m := range []textMutation{
		{"deploy/shop-production.yaml", "deploy/shop-staging.yaml", "not its parameter file"},
		{`.yaml"]`, `.yaml", "MemorySize=128"]`, "not its parameter file"},
		{"region = \"us-east-1\"\n", "", "region is missing"},
		{`"scout-shop-production"`, `"scout-shop-staging"`, "another environment"},
		{"[shop-staging.global.", "[shop-staging.build.", "fewer than two environments"},
		{"[shop-staging.deploy.", "[shop-staging.build.", "capabilities is missing"},
		{"[default.global.parameters]\nlanguage_extensions = true", "[default.global.parameters]", "default: SAM cannot read"},
		{"[shop-staging.global.parameters]\nlanguage_extensions = true", "[shop-staging.global.parameters]", "shop-staging: SAM cannot read"},
	} {
		m.test(t, readFile(t, "../../../samconfig.toml"), environmentComplaints)
	}
}
