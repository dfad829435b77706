package sqsclient

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"scout/config"
	"scout/internal/devstack"
)

func TestDescribeQueue(t *testing.T) {
	const url = "https://sqs.example/123456789012/app.fifo"
	derived := func(partition, region string) string {
		return "arn:" + partition + ":sqs:" + region + ":123456789012:app.fifo"
	}
	for _, test := range []struct {
		name, region, attributes string // "" is an error
		want                     Queue
	}{
		{"all", "us-gov-west-1", `"QueueArn":"arn:aws-us-gov:sqs:us-gov-west-1:999999999999:app.fifo","VisibilityTimeout":"30","ReceiveMessageWaitTimeSeconds":"20"`,
			Queue{"arn:aws-us-gov:sqs:us-gov-west-1:999999999999:app.fifo", 30 * time.Second, 20 * time.Second, 0}},
		{"no ARN", "eu-west-1", `"VisibilityTimeout":"30"`, Queue{derived("aws", "eu-west-1"), 30 * time.Second, 0, 0}},
		{"an ARN that is none", "eu-west-1", `"QueueArn":"app.fifo"`, Queue{ARN: derived("aws", "eu-west-1")}},
		{"the ARN of another queue", "eu-west-1", `"QueueArn":"arn:aws:sqs:eu-west-1:123456789012:app"`, Queue{ARN: derived("aws", "eu-west-1")}},
		{"a long ARN", "eu-west-1", `"QueueArn":"arn:` + strings.Repeat("x", 300) + `:app.fifo"`, Queue{ARN: derived("aws", "eu-west-1")}},
		{"odd numbers", "eu-west-1", `"VisibilityTimeout":"soon","ReceiveMessageWaitTimeSeconds":"99999999999999999999999"`, Queue{ARN: derived("aws", "eu-west-1")}},
		{"redrive policy", "eu-west-1", `"RedrivePolicy":"{\"deadLetterTargetArn\":\"arn:aws:sqs:eu-west-1:1:dead\",\"maxReceiveCount\":5}"`, Queue{ARN: derived("aws", "eu-west-1"), MaxReceiveCount: 5}},
		{"redrive policy with a string", "eu-west-1", `"RedrivePolicy":"{\"maxReceiveCount\":\"1000\"}"`, Queue{ARN: derived("aws", "eu-west-1"), MaxReceiveCount: 1000}},
		{"odd redrive policy", "eu-west-1", `"RedrivePolicy":"{\"maxReceiveCount\":-5.5}"`, Queue{ARN: derived("aws", "eu-west-1")}},
		{"denied", "eu-west-1", "", Queue{ARN: derived("aws", "eu-west-1")}},
		{"denied in China", "cn-north-1", "", Queue{ARN: derived("aws-cn", "cn-north-1")}},
		{"denied in GovCloud", "us-gov-east-1", "", Queue{ARN: derived("aws-us-gov", "us-gov-east-1")}},
		{"denied in the European sovereign cloud", "eusc-de-east-1", "", Queue{ARN: derived("aws-eusc", "eusc-de-east-1")}},
		{"denied in an isolated region", "us-isob-east-1", "", Queue{ARN: derived("aws-iso-b", "us-isob-east-1")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if test.attributes == "" {
					w.WriteHeader(http.StatusForbidden)
					return
				}
				fmt.Fprintf(w, `{"Attributes":{%s}}`, test.attributes)
			}))
			defer server.Close()
			c, err := New(t.Context(), config.AWS{Region: test.region, AccessKey: "x", SecretKey: "x", Endpoint: server.URL}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.DescribeQueue(t.Context(), url)
			if got != test.want || (err != nil) != (test.attributes == "") {
				t.Errorf("DescribeQueue = %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

// A response without a usable URL is an error.
func TestQueueURL(t *testing.T) {
	for response, want := range map[string]string{
		`{"QueueUrl":"http://sqs/1/app"}`: "http://sqs/1/app",
		`{}`:                              "",
		`{"QueueUrl":null}`:               "",
		`{"QueueUrl":"http://sqs/1/app\u001b[31m"}`:                       "",
		`{"QueueUrl":"http://sqs/` + strings.Repeat("1", 2000) + `/app"}`: "",
	} {
		s := newService(t)
		s.setHandler(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, response) })
		got, err := configured(t, s.URL, false).QueueURL(t.Context(), config.Queue{Name: "app"})
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%.100s: %q, %v", response, got, err)
		}
	}
}

func TestDeriveARN(t *testing.T) {
	for url, want := range map[string]string{
		"https://sqs.eu-west-1.amazonaws.com/123456789012/app":        "arn:aws:sqs:eu-west-1:123456789012:app",
		"https://sqs.eu-west-1.amazonaws.com/123456789012/app/":       "arn:aws:sqs:eu-west-1:123456789012:app",
		"http://localhost:4566/queue/eu-west-1/000000000000/app.fifo": "arn:aws:sqs:eu-west-1:000000000000:app.fifo",
		"app": "",
	} {
		if got := deriveARN(url, "eu-west-1"); got != want {
			t.Errorf("deriveARN(%q) = %q, want %q", url, got, want)
		}
	}
}

// The queues of scout dev have all that DescribeQueue asks for.
func TestDescribeQueueOfDevstack(t *testing.T) {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	if _, err := server.CreateQueue("app", map[string]string{"VisibilityTimeout": "7", "ReceiveMessageWaitTimeSeconds": "3"}); err != nil {
		t.Fatal(err)
	}
	c := configured(t, endpoint.URL, false)
	got, err := c.DescribeQueue(t.Context(), devstack.QueueURL(endpoint.Listener.Addr().String(), "app"))
	if want := (Queue{"arn:aws:sqs:us-east-1:000000000000:app", 7 * time.Second, 3 * time.Second, 0}); err != nil || got != want {
		t.Errorf("DescribeQueue = %+v, %v; want %+v", got, err, want)
	}
}
