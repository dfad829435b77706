package audit

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"scout/config"
	"scout/handler"
	"scout/internal/devstack"
)

// startAuditor returns an Auditor for a new devstack, whose topics are reached at
// snsEndpoint unless that is "".
func startAuditor(t *testing.T, snsEndpoint string) (*devstack.Server, *Auditor, func(queue string) string) {
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	c := config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: endpoint.URL}
	auditor, err := New(t.Context(), &config.Config{AWS: c})
	if err != nil {
		t.Fatal(err)
	}
	if snsEndpoint != "" {
		c.Endpoint = snsEndpoint
		if auditor.sns, err = newSNS(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	url := func(queue string) string { return devstack.QueueURL(endpoint.Listener.Addr().String(), queue) }
	return server, auditor, url
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// All pages are read, and subscriptions of other queues are left out.
func TestFactsPages(t *testing.T) {
	server, auditor, url := startAuditor(t, "")
	must := must[string](t)
	app, other := must(server.CreateQueue("app", nil)), must(server.CreateQueue("other", nil))
	for i := range 101 {
		must(server.Subscribe(must(server.CreateTopic(fmt.Sprint("a", i), nil)), other, nil))
	}
	want := must(server.CreateTopic("z", nil))
	must(server.Subscribe(want, app, nil))
	facts := auditor.Facts(t.Context(), config.Queue{Name: "app"}, url("app"))
	if len(facts.Subscriptions) != 1 || facts.Subscriptions[0].Topic != want || facts.Subscriptions[0].Attributes["Endpoint"] != app {
		t.Errorf("subscriptions = %+v", facts.Subscriptions)
	}
	if !facts.AllListed || len(facts.Unknowns) > 0 {
		t.Errorf("all listed: %t, not asked: %v", facts.AllListed, facts.Unknowns)
	}
}

// An SNS that does not respond is called once.
func TestFactsWithoutSNS(t *testing.T) {
	server, auditor, url := startAuditor(t, "http://127.0.0.1:1")
	must[string](t)(server.CreateQueue("app", nil))
	q := config.Queue{Name: "app", Topics: []handler.Route{{Key: "a", Outcome: worker("A")}, {Key: "b", Outcome: worker("B")}}}
	facts := auditor.Facts(t.Context(), q, url("app"))
	const want = "unknown topic app: Scout could not ask AWS about app with sns:ListSubscriptions: "
	if got := list(facts.Unknowns); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
		t.Errorf("not asked:\n%swant %s", got, want)
	}
	if got := list(facts.Findings()); strings.Contains(got, "error topic") {
		t.Errorf("there are findings about topics:\n%s", got)
	}
}

func TestFactsOfMissingQueue(t *testing.T) {
	_, auditor, url := startAuditor(t, "")
	facts := auditor.Facts(t.Context(), config.Queue{Name: "app"}, url("app"))
	if facts.Err == nil || facts.Attributes != nil || len(facts.Findings()) > 0 {
		t.Errorf("facts = %+v", facts)
	}
}

// If ListSubscriptions does not show a subscription, the topic's subscriptions are
// listed.
func TestCandidates(t *testing.T) {
	f := &collector{facts: clean()}
	f.facts.Queue.Topics = append(f.facts.Queue.Topics, handler.Route{Key: "arn:aws:sns:us-east-1:1:far"}, handler.Route{Key: "a-*"}, handler.Route{Key: ordersARN + "-new"})
	queue := parseARN(queueARN)
	f.facts.Subscriptions = f.facts.Subscriptions[:1]
	if got, want := f.candidates(queue), []string{"arn:aws:sns:us-east-1:1:far", importsARN}; !slices.Equal(got, want) {
		t.Errorf("with all subscriptions: %q, want %q", got, want)
	}
	f.facts.AllListed = false
	debug := strings.Replace(ordersARN, "orders", "debug", 1)
	if got, want := f.candidates(queue), []string{debug, "arn:aws:sns:us-east-1:1:far", ordersARN + "-new", importsARN}; !slices.Equal(got, want) {
		t.Errorf("without all subscriptions: %q, want %q", got, want)
	}
}

// The dead-letter queue of a subscription can be where the topic is.
func TestTargetElsewhere(t *testing.T) {
	f := &collector{facts: clean()}
	const elsewhere = "arn:aws:sqs:eu-west-1:123456789012:undelivered"
	f.readTarget(Attributes{"RedrivePolicy": `{"deadLetterTargetArn":"` + elsewhere + `"}`})
	const want = "unknown dlq undelivered: Scout did not check the dead-letter queue " + elsewhere + ", because its account or region differs from the queue's"
	target, got := f.facts.DeadLetters[elsewhere], list(f.facts.Unknowns)
	if target.Missing || target.Attributes != nil || !strings.HasPrefix(got, want) {
		t.Errorf("target = %+v, not asked: %s", target, got)
	}
	f.facts.Subscriptions[0].Attributes["RedrivePolicy"] = `{"deadLetterTargetArn":"` + elsewhere + `"}`
	if got := list(f.facts.Findings()); !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
		t.Errorf("the findings are:\n%s", got)
	}
}

// SNS lists subscriptions without an ARN while they wait for confirmation.
func TestAddSubscription(t *testing.T) {
	f := &collector{facts: Facts{Attributes: Attributes{"QueueArn": queueARN}}}
	f.addSubscription("PendingConfirmation", ordersARN, queueARN)
	f.addSubscription("PendingConfirmation", ordersARN, queueARN)
	f.addSubscription("Deleted", ordersARN, queueARN)
	f.addSubscription(importsARN+":1", importsARN, queueARN+"2")
	f.addSubscription(importsARN+":1", importsARN, queueARN)
	got := f.facts.Subscriptions
	if len(got) != 2 || got[0].ARN != "" || got[0].Topic != ordersARN || got[1].ARN != importsARN+":1" {
		t.Errorf("subscriptions = %+v", got)
	}
}

func TestNewSNSEndpoint(t *testing.T) {
	const local, topics = "http://localhost:1", "http://localhost:2"
	for _, c := range []struct {
		name, configured string
		env              map[string]string
		want             string
	}{
		{"none", "", nil, ""},
		{"configured", local, nil, local},
		{"of AWS for SQS", "https://vpce-1.sqs.us-east-1.vpce.amazonaws.com", nil, ""},
		{"in the environment", "", map[string]string{"AWS_ENDPOINT_URL": local}, local},
		{"for SNS alone", local, map[string]string{"AWS_ENDPOINT_URL_SQS": local, "AWS_ENDPOINT_URL_SNS": topics}, topics},
		{"for SQS alone", local, map[string]string{"AWS_ENDPOINT_URL_SQS": local}, local},
		{"configured and in the environment", local, map[string]string{"AWS_ENDPOINT_URL": topics}, local},
	} {
		t.Run(c.name, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			client, err := newSNS(t.Context(), config.AWS{Region: "us-east-1", AccessKey: "x", SecretKey: "x", Endpoint: c.configured})
			if err != nil {
				t.Fatal(err)
			}
			if got := aws.ToString(client.Options().BaseEndpoint); got != c.want {
				t.Errorf("the endpoint is %q, want %q", got, c.want)
			}
		})
	}
}
