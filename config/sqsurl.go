package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// An sqsURL is the URL of a queue, and what it says about access to the queue.
type sqsURL struct {
	url      string // without a trailing slash
	region   string // "" if the URL does not tell
	endpoint string // "" for the default endpoint of the region
}

const queueURLForm = "must be the URL of an SQS queue, such as https://sqs.us-east-1.amazonaws.com/123456789012/myapp_queue"

var queueURL = form[string]{shape: shape{about: "a URL", pattern: httpURL.pattern}, parse: func(text string) (string, error) {
	q, err := parseQueueURL(text)
	return q.url, err
}}

func parseQueueURL(text string) (q sqsURL, err error) {
	if _, err := httpURL.parse(text); err != nil {
		return q, err
	}
	u, err := url.Parse(text)
	host := strings.ToLower(u.Hostname())
	if strings.Contains(host, "console.") {
		return q, errors.New("is a page of the AWS console; " + queueURLForm + ", which that page shows")
	}
	path := strings.TrimRight(u.Path, "/")
	if _, nameErr := sqsName.parse(QueueName(path)); err != nil || nameErr != nil || u.RawQuery != "" || u.Fragment != "" {
		return q, errors.New(queueURLForm)
	}
	q.url = strings.TrimRight(text, "/")
	region, isDefault := awsHost(host)
	q.region = region
	switch {
	case region != "" && !regexp.MustCompile(`^/\d{12}/[^/]+$`).MatchString(path):
		return q, errors.New("has no account number of 12 digits before the name; " + queueURLForm)
	case region == "" && strings.Contains(host, "amazonaws"):
		return q, errors.New("has an AWS host that is not one of SQS; " + queueURLForm)
	case region == "": // an emulator or a proxy; LocalStack's host contains the region
		before, isLocalStack := strings.CutSuffix(host, ".localhost.localstack.cloud")
		if name, isSQS := strings.CutPrefix(before, "sqs."); isSQS && isLocalStack {
			q.region = name
		}
	}
	if !isDefault {
		q.endpoint = u.Scheme + "://" + u.Host
	}
	return q, nil
}

// awsHost returns the region of a queue's host on AWS, and whether the SDK uses
// that host by default, as opposed to those of VPC endpoints, FIPS and dual-stack.
// The region is "" if the host is not one of SQS.
// See https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
func awsHost(host string) (region string, isDefault bool) {
	// Compiled only if a URL is configured, because the Lambda function has to start fast.
	legacy := regexp.MustCompile(`^(?:([a-z0-9-]+)\.)?queue\.amazonaws\.com(\.cn)?$`)
	if m := legacy.FindStringSubmatch(host); m != nil {
		return cmp.Or(m[1], "us-east-1"), true
	}
	current := regexp.MustCompile(`^(vpce-[a-z0-9-]+\.)?sqs(-fips)?\.([a-z0-9-]+)\.(vpce\.)?(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|[a-z0-9]+\.ic\.gov|[a-z0-9]+\.sgov\.gov|api\.aws|api\.amazonwebservices\.com\.cn)$`)
	m := current.FindStringSubmatch(host)
	if m == nil {
		return "", false
	}
	return m[3], m[1] == "" && m[2] == "" && !strings.HasPrefix(m[5], "api.")
}

// locate takes the region and the endpoint from the URLs of queues, unless they
// are configured, and checks that they fit all queues. A URL overrides the region
// in the environment if no queue depends on that. The items are the nodes of the
// queues.
func (c *Config) locate(root node, items []node) {
	hasName := slices.ContainsFunc(c.Queues, func(q Queue) bool { return q.URL == "" })
	source := "" // of the region; "" while a URL may set it
	section := root.child("aws")
	switch {
	case root.ignoresAWS || c.AWS.Region == "":
	case section.child("region").isSet():
		source = "aws.region"
	case hasName:
		source = root.variable("AWS_REGION", "AWS_DEFAULT_REGION").source
	}
	isConfigured := c.AWS.Endpoint != ""
	first := 0 // the line of the first URL
	for i, item := range items {
		if c.Queues[i].URL == "" || root.ignoresAWS {
			continue
		}
		n := item.child("url")
		u, _ := parseQueueURL(c.Queues[i].URL)
		switch {
		case u.region != "" && source == "":
			c.AWS.Region, source = u.region, fmt.Sprintf("the URL on line %d", n.line)
		case u.region != "" && u.region != c.AWS.Region:
			n.fail("is in another region than %s says", source)
		}
		switch {
		case isConfigured:
		case first == 0:
			c.AWS.Endpoint, first = u.endpoint, n.line
		case u.endpoint != c.AWS.Endpoint:
			n.fail("is not at the same endpoint as the queue on line %d; set aws.endpoint if one endpoint serves both", first)
		}
	}
}

// queueRegion returns the region in the URL of the first queue with one, or "".
func (n node) queueRegion() string {
	items := []node{n.child("queue")}
	for _, item := range n.child("queues").children() {
		items = append(items, item)
	}
	for _, item := range items {
		if u := item.child("url"); u.isSet() && !u.unresolved[u.value] {
			if url, err := parseQueueURL(u.value.Value); err == nil && url.region != "" {
				return url.region
			}
		}
	}
	return ""
}
