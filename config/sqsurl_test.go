package config

import "testing"

// TestQueueURL has URLs as AWS and its emulators return them, with the access
// that follows from each.
func TestQueueURL(t *testing.T) {
	const q = "/123456789012/q"
	tests := map[string]struct{ url, region, endpoint string }{
		"standard":         {"https://sqs.eu-west-1.amazonaws.com" + q, "eu-west-1", ""},
		"GovCloud":         {"https://sqs.us-gov-west-1.amazonaws.com" + q, "us-gov-west-1", ""},
		"China":            {"https://sqs.cn-north-1.amazonaws.com.cn" + q, "cn-north-1", ""},
		"Europe":           {"https://sqs.eusc-de-east-1.amazonaws.eu" + q, "eusc-de-east-1", ""},
		"isolated":         {"https://sqs.us-iso-east-1.c2s.ic.gov" + q, "us-iso-east-1", ""},
		"legacy":           {"https://eu-west-1.queue.amazonaws.com" + q, "eu-west-1", ""},
		"legacy, Virginia": {"https://queue.amazonaws.com" + q, "us-east-1", ""},
		"legacy, China":    {"https://cn-north-1.queue.amazonaws.com.cn" + q, "cn-north-1", ""},
		"capitals":         {"https://SQS.EU-West-1.amazonaws.com" + q, "eu-west-1", ""},
		"VPC endpoint": {"https://vpce-0a1b-2c3d.sqs.us-east-1.vpce.amazonaws.com" + q, "us-east-1",
			"https://vpce-0a1b-2c3d.sqs.us-east-1.vpce.amazonaws.com"},
		"FIPS":            {"https://sqs-fips.us-east-2.amazonaws.com" + q, "us-east-2", "https://sqs-fips.us-east-2.amazonaws.com"},
		"dual-stack":      {"https://sqs.eu-west-1.api.aws" + q, "eu-west-1", "https://sqs.eu-west-1.api.aws"},
		"dual-stack FIPS": {"https://sqs-fips.us-west-1.api.aws" + q, "us-west-1", "https://sqs-fips.us-west-1.api.aws"},
		"localhost":       {"http://localhost:4566/000000000000/q", "", "http://localhost:4566"},
		"IPv6":            {"http://[::1]:4566/000000000000/q", "", "http://[::1]:4566"},
		"LocalStack":      {"http://sqs.eu-west-1.localhost.localstack.cloud:4566/000000000000/q", "eu-west-1", "http://sqs.eu-west-1.localhost.localstack.cloud:4566"},
		"path":            {"http://localhost:4566/queue/us-east-1/000000000000/q", "", "http://localhost:4566"},
		"ElasticMQ":       {"https://mq.internal/queue/q.fifo", "", "https://mq.internal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, end := range []string{"", "/"} {
				c := mustLoad(t, "redis: {host: h}\nqueue: {url: \""+test.url+end+"\", topics: {t: W}}")
				check(t, "URL", c.Queues[0].URL, test.url)
				check(t, "AWS", c.AWS, AWS{Region: test.region, Endpoint: test.endpoint})
				check(t, "again", mustLoad(t, c.String()), c)
			}
			c := mustLoad(t, "redis: {host: h}\naws: {endpoint: 'http://proxy'}\nqueue: {url: \""+test.url+"\", topics: {t: W}}")
			check(t, "configured endpoint", c.AWS.Endpoint, "http://proxy")
		})
	}
}

func TestInvalidQueueURL(t *testing.T) {
	const form = "must be the URL of an SQS queue, such as https://sqs.us-east-1.amazonaws.com/123456789012/myapp_queue"
	tests := map[string]struct{ url, want string }{
		"console": {"https://us-east-1.console.aws.amazon.com/sqs/v3/home?region=us-east-1#/queues/https%3A%2F%2Fsqs.us-east-1.amazonaws.com%2F123456789012%2Fq",
			"is a page of the AWS console; " + form + ", which that page shows"},
		"old console":   {"https://console.aws.amazon.com/sqs/home", "is a page of the AWS console; " + form + ", which that page shows"},
		"China console": {"https://cn-north-1.console.amazonaws.cn/sqs/v3/home", "is a page of the AWS console; " + form + ", which that page shows"},
		"no path":       {"https://sqs.us-east-1.amazonaws.com", form},
		"slash":         {"https://sqs.us-east-1.amazonaws.com/", form},
		"no account":    {"https://sqs.us-east-1.amazonaws.com/q", "has no account number of 12 digits before the name; " + form},
		"short account": {"https://sqs.us-east-1.amazonaws.com/1234/q", "has no account number of 12 digits before the name; " + form},
		"name":          {"https://sqs.us-east-1.amazonaws.com/123456789012/a.b", form},
		"query":         {"https://sqs.us-east-1.amazonaws.com/123456789012/q?Action=ReceiveMessage", form},
		"fragment":      {"https://sqs.us-east-1.amazonaws.com/123456789012/q#x", form},
		"other service": {"https://sns.us-east-1.amazonaws.com/123456789012/q", "has an AWS host that is not one of SQS; " + form},
		"typo":          {"https://sqs.us-east-1.amazonaws.co/123456789012/q", "has an AWS host that is not one of SQS; " + form},
		"no region":     {"https://sqs.amazonaws.com/123456789012/q", "has an AWS host that is not one of SQS; " + form},
		"ARN":           {"arn:aws:sqs:us-east-1:123456789012:q", "must be an http:// or https:// URL without a user name or password"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			checkInvalid(t, "redis: {host: h}\nqueue:\n  url: \""+test.url+"\"\n  topics: {t: W}", "3: queue.url: "+test.want)
		})
	}
}

// TestQueueURLElsewhere has queues that requests would not reach.
func TestQueueURLElsewhere(t *testing.T) {
	const (
		us    = "https://sqs.us-east-1.amazonaws.com/123456789012/"
		eu    = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
		local = "http://localhost:4566/000000000000/"
	)
	queues := func(urls ...string) string {
		text := "redis: {host: h}\nqueues:\n"
		for _, url := range urls {
			text += "- {url: '" + url + "', topics: {t: W}}\n"
		}
		return text
	}
	const endpoint = "is not at the same endpoint as the queue on line 3; set aws.endpoint if one endpoint serves both"
	tests := map[string]struct {
		text, variable, value string
		want                  string // "" for none
	}{
		"region":               {text: queues(us+"a") + "aws: {region: eu-west-1}", want: "c:3: queues[0].url: is in another region than aws.region says"},
		"AWS_REGION":           {text: queues(us+"a") + "- {name: b, topics: {t: W}}", variable: "AWS_REGION", value: "eu-west-1", want: "c:3: queues[0].url: is in another region than AWS_REGION says"},
		"AWS_DEFAULT_REGION":   {text: queues(us+"a") + "- {name: b, topics: {t: W}}", variable: "AWS_DEFAULT_REGION", value: "eu-west-1", want: "c:3: queues[0].url: is in another region than AWS_DEFAULT_REGION says"},
		"AWS_REGION fits":      {text: queues(us+"a") + "- {name: b, topics: {t: W}}", variable: "AWS_REGION", value: "us-east-1"},
		"AWS_REGION unused":    {text: queues(us + "a"), variable: "AWS_REGION", value: "eu-west-1"},
		"the file goes first":  {text: queues(us+"a") + "aws: {region: us-east-1}", variable: "AWS_REGION", value: "eu-west-1"},
		"two regions":          {text: queues(us+"a", eu+"b"), want: "c:4: queues[1].url: is in another region than the URL on line 3 says"},
		"AWS and not":          {text: queues(us+"a", local+"b"), want: "c:4: queues[1].url: " + endpoint},
		"not AWS and AWS":      {text: queues(local+"a", us+"b"), want: "c:4: queues[1].url: " + endpoint},
		"one endpoint":         {text: queues(local+"a", us+"b") + "aws: {endpoint: 'http://h'}"},
		"same":                 {text: queues(us+"a", us+"b")},
		"same, not AWS":        {text: queues(local+"a", local+"b")},
		"endpoint in variable": {text: queues(local + "a"), variable: "AWS_ENDPOINT_URL", value: "http://h"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Loader{Env: vars("SCOUT_CONFIG", test.text+"\n", test.variable, test.value), NeedQueue: true}.Load(t.Context(), "")
			got := ""
			if err != nil {
				got = err.Error()
			}
			want := test.want
			if want != "" {
				want = "SCOUT_CONFIG" + want[1:]
			}
			check(t, "error", got, want)
		})
	}
}

// TestQueueURLBeforeEnvironment checks that the file overrides the environment.
func TestQueueURLBeforeEnvironment(t *testing.T) {
	for url, want := range map[string]string{
		"https://sqs.us-east-1.amazonaws.com/123456789012/q": "us-east-1",
		"http://localhost:4566/000000000000/q":               "eu-west-1",
	} {
		c, err := Loader{Env: vars("AWS_REGION", "eu-west-1")}.Load(t.Context(), "redis: {host: h}\nqueue: {url: '"+url+"', topics: {t: W}}\n")
		if err != nil {
			t.Fatal(err)
		}
		check(t, url, c.AWS.Region, want)
	}
}

// TestQueueURLWithLocalRedis checks that a laptop's environment does not matter
// where AWS is not used.
func TestQueueURLWithLocalRedis(t *testing.T) {
	l := Loader{Env: vars("AWS_REGION", "eu-west-1"), LocalRedis: "redis://localhost"}
	if _, err := l.Load(t.Context(), "queue: {url: 'https://sqs.us-east-1.amazonaws.com/123456789012/q', topics: {t: W}}\n"); err != nil {
		t.Error(err)
	}
}
