package devstack

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// queueTest is a queue with its own clock and a dead-letter queue.
type queueTest struct {
	*testing.T
	*queue
	deadLetters *queue
	now         time.Time
}

func newQueueTest(t *testing.T, name string) *queueTest {
	t.Helper()
	start := time.Now()
	q := &queueTest{
		T:           t,
		queue:       newQueue(name, "arn:"+name, start),
		deadLetters: newQueue("dead-"+name, "arn:dead-"+name, start),
		now:         start,
	}
	for _, each := range []*queue{q.queue, q.deadLetters} {
		if err := each.configure(attributesFor(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	q.maxReceives = 1000
	return q
}

func (q *queueTest) advance(d time.Duration) { q.now = q.now.Add(d) }

// sendToGroup sends messages to a group of a FIFO queue. The body of each is its de-duplication id.
func (q *queueTest) sendToGroup(group string, bodies ...string) {
	q.Helper()
	for _, body := range bodies {
		if _, err := q.send(sendInput{Body: body, GroupID: group, DeduplicationID: body}, q.now); err != nil {
			q.Fatal(err)
		}
	}
}

// wantReceive receives up to n messages from a queue for 30 s and checks their bodies.
func (q *queueTest) wantReceive(from *queue, n int, want string) []message {
	q.Helper()
	deadLetters := q.deadLetters
	if from == deadLetters {
		deadLetters = nil
	}
	received := from.receive(n, 30*time.Second, q.now, deadLetters)
	var got []string
	for _, m := range received {
		got = append(got, m.Body)
	}
	if strings.Join(got, " ") != want {
		q.Fatalf("received %q, want %q", got, want)
	}
	return received
}

func (q *queueTest) mustDelete(m message) {
	q.Helper()
	if err := q.delete(m.receiptHandle(), q.now); err != nil {
		q.Fatal(err)
	}
}

// attributesFor returns the attributes that a queue with the name must have.
func attributesFor(name string) map[string]string {
	if isFIFO(name) {
		return map[string]string{"FifoQueue": "true"}
	}
	return nil
}

func TestFIFODuplicateReturnsFirstResultForFiveMinutes(t *testing.T) {
	q := newQueueTest(t, "q.fifo")
	send := func() sendResult {
		result, err := q.send(sendInput{Body: "x", GroupID: "g", DeduplicationID: "id"}, q.now)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	first := send()
	q.mustDelete(q.wantReceive(q.queue, 10, "x")[0])
	q.advance(5*time.Minute - time.Millisecond)
	if again := send(); again != first {
		t.Errorf("the duplicate returned %v, want %v", again, first)
	}
	q.wantReceive(q.queue, 10, "")
	q.advance(time.Millisecond)
	if later := send(); later == first {
		t.Error("after five minutes it is still a duplicate")
	}
	q.wantReceive(q.queue, 10, "x")
}

func TestFIFODeduplicationCanBePerGroup(t *testing.T) {
	q := newQueueTest(t, "q.fifo")
	q.dedupPerGroup = true
	q.sendToGroup("a", "x", "x")
	q.sendToGroup("b", "x")
	q.wantReceive(q.queue, 10, "x x")
}

func TestFIFOGroupIsBlockedWhileMessagesAreInFlight(t *testing.T) {
	q := newQueueTest(t, "q.fifo")
	q.sendToGroup("g", "1", "2", "3", "4")
	three := q.wantReceive(q.queue, 3, "1 2 3")
	q.mustDelete(three[1])
	q.wantReceive(q.queue, 10, "")
	if err := q.changeVisibility(three[0].receiptHandle(), 0, q.now); err != nil {
		t.Fatal(err)
	}
	q.wantReceive(q.queue, 10, "") // 3 is still in flight
	q.mustDelete(three[2])
	q.wantReceive(q.queue, 10, "1 4")
}

func TestFIFOGroupsAreReceivedByAge(t *testing.T) {
	q := newQueueTest(t, "q.fifo")
	for i := range 3 {
		q.advance(time.Second)
		q.sendToGroup("a", fmt.Sprint("a", i))
		q.sendToGroup("b", fmt.Sprint("b", i))
	}
	q.wantReceive(q.queue, 4, "a0 a1 a2 b0")
	q.wantReceive(q.queue, 4, "")
}

func TestFIFOReceiptHandleExpiresWithVisibilityTimeout(t *testing.T) {
	q := newQueueTest(t, "q.fifo")
	q.sendToGroup("g", "x")
	first := q.wantReceive(q.queue, 1, "x")[0]
	q.advance(31 * time.Second)
	for _, when := range []string{"visible", "received again"} {
		for _, err := range []error{
			q.delete(first.receiptHandle(), q.now),
			q.changeVisibility(first.receiptHandle(), 0, q.now),
		} {
			if e, ok := errors.AsType[*apiError](err); !ok || !strings.Contains(e.message, "The receipt handle has expired") {
				t.Errorf("when %s: %v", when, err)
			}
		}
		if when == "visible" {
			q.wantReceive(q.queue, 1, "x")
		}
	}
}

func TestFIFORedriveKeepsOrderAndGroup(t *testing.T) {
	q := newQueueTest(t, "q.fifo")
	q.maxReceives = 1
	q.sendToGroup("g", "1", "2", "3", "4", "5")
	q.sendToGroup("h", "6")
	q.wantReceive(q.queue, 3, "1 2 3")
	q.advance(31 * time.Second)
	q.wantReceive(q.queue, 10, "6 4 5") // group h was ready before g
	dead := q.wantReceive(q.deadLetters, 10, "1 2 3")
	if dead[0].GroupID != "g" || dead[0].source != "arn:q.fifo" || dead[0].receives != 2 {
		t.Errorf("the dead-letter message is %+v", dead[0])
	}
}

func TestRedriveCountsReceivesOfOwnQueue(t *testing.T) {
	q := newQueueTest(t, "q")
	q.maxReceives = 2
	if _, err := q.send(sendInput{Body: "x"}, q.now); err != nil {
		t.Fatal(err)
	}
	q.wantReceive(q.queue, 1, "x")
	q.advance(time.Minute)
	q.wantReceive(q.queue, 1, "x")
	q.advance(time.Minute)
	q.wantReceive(q.queue, 1, "")
	m := q.wantReceive(q.deadLetters, 1, "x")[0]
	if m.receives != 3 || m.receivesHere != 1 {
		t.Errorf("received %d times, %d of them here, want 3 and 1", m.receives, m.receivesHere)
	}
}

func TestZeroVisibilityDeliversOncePerReceive(t *testing.T) {
	q := newQueueTest(t, "q")
	for _, body := range []string{"1", "2"} {
		if _, err := q.send(sendInput{Body: body}, q.now); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := q.receive(10, 0, q.now, nil); len(got) != 2 {
			t.Fatalf("received %d messages, want 2", len(got))
		}
	}
}

func TestChangeVisibilityOfMessageNotInFlight(t *testing.T) {
	q := newQueueTest(t, "q")
	if _, err := q.send(sendInput{Body: "x"}, q.now); err != nil {
		t.Fatal(err)
	}
	m := q.wantReceive(q.queue, 1, "x")[0]
	q.advance(31 * time.Second)
	if err := q.changeVisibility(m.receiptHandle(), time.Second, q.now); err != errMessageNotInflight {
		t.Errorf("when visible: %v", err)
	}
	q.mustDelete(m)
	if err := q.changeVisibility(m.receiptHandle(), time.Second, q.now); err == nil {
		t.Error("when deleted: no error")
	}
}

func TestReceiptHandleOfOtherQueueIsInvalid(t *testing.T) {
	q := newQueueTest(t, "q")
	if _, err := q.send(sendInput{Body: "x"}, q.now); err != nil {
		t.Fatal(err)
	}
	m := q.wantReceive(q.queue, 1, "x")[0]
	err := q.deadLetters.delete(m.receiptHandle(), q.now)
	if e, ok := errors.AsType[*apiError](err); !ok || e.code != "ReceiptHandleIsInvalid" {
		t.Errorf("got %v", err)
	}
}

func TestSendRejectsInvalidMessages(t *testing.T) {
	manyAttributes := make(map[string]Attribute)
	for i := range 11 {
		manyAttributes[fmt.Sprint(i)] = Attribute{DataType: "String", StringValue: "x"}
	}
	attribute := func(name, dataType, value string) sendInput {
		return sendInput{Body: "x", Attributes: map[string]Attribute{name: {DataType: dataType, StringValue: value}}}
	}
	second := 1
	for _, test := range []struct {
		name, queue string
		input       sendInput
		code        string
	}{
		{"empty", "q", sendInput{}, "MissingParameter"},
		{"control character", "q", sendInput{Body: "a\x00b"}, "InvalidMessageContents"},
		{"too long with attributes", "q", sendInput{
			Body:       strings.Repeat("x", maxMessage-10),
			Attributes: map[string]Attribute{"name": {DataType: "String", StringValue: "v"}},
		}, "InvalidParameterValue"},
		{"too many attributes", "q", sendInput{Body: "x", Attributes: manyAttributes}, "InvalidParameterValue"},
		{"reserved name", "q", attribute("AWS.x", "String", "x"), "InvalidParameterValue"},
		{"invalid name", "q", attribute("a..b", "String", "x"), "InvalidParameterValue"},
		{"invalid type", "q", attribute("a", "Text", "x"), "InvalidParameterValue"},
		{"invalid number", "q", attribute("a", "Number", "x"), "InvalidParameterValue"},
		{"empty value", "q", attribute("a", "String", ""), "InvalidParameterValue"},
		{"de-duplication id in a standard queue", "q", sendInput{Body: "x", DeduplicationID: "x"}, "InvalidParameterValue"},
		{"delay in a FIFO queue", "q.fifo", sendInput{Body: "x", GroupID: "g", DeduplicationID: "x", DelaySeconds: &second}, "InvalidParameterValue"},
		{"space in a group", "q.fifo", sendInput{Body: "x", GroupID: "a b", DeduplicationID: "x"}, "InvalidParameterValue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := newQueueTest(t, test.queue)
			_, err := q.send(test.input, q.now)
			if e, ok := errors.AsType[*apiError](err); !ok || e.query != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
			q.wantReceive(q.queue, 1, "")
		})
	}
}

func TestConfigureRejectsInvalidAttributes(t *testing.T) {
	for name, value := range map[string]string{
		"VisibilityTimeout":         "43201",
		"DelaySeconds":              "x",
		"MaximumMessageSize":        "1048577",
		"Nope":                      "1",
		"ContentBasedDeduplication": "true", // FIFO queues only
		"RedrivePolicy":             `{"deadLetterTargetArn":"arn:q","maxReceiveCount":3}`,
	} {
		q := newQueue("q", "arn:q", time.Now())
		if err := q.configure(map[string]string{"DelaySeconds": "5", name: value}, map[string]*queue{"q": q}); err == nil {
			t.Errorf("%s=%s was accepted", name, value)
		}
		if q.delay != 0 || q.attributes["DelaySeconds"] == "5" {
			t.Errorf("with an invalid %s, another attribute was set", name)
		}
	}
}

// BenchmarkQueue sends, receives and deletes many messages: the time for each must not grow with their
// number.
func BenchmarkQueue(b *testing.B) {
	for _, name := range []string{"standard", "one-group.fifo"} {
		b.Run(name, func(b *testing.B) {
			q, now := newQueue(name, "arn:"+name, time.Now()), time.Now()
			if err := q.configure(attributesFor(name), nil); err != nil {
				b.Fatal(err)
			}
			for i := range b.N {
				in := sendInput{Body: "x"}
				if q.fifo {
					in.GroupID, in.DeduplicationID = "g", fmt.Sprint(i)
				}
				if _, err := q.send(in, now); err != nil {
					b.Fatal(err)
				}
			}
			for range b.N {
				m := q.receive(1, time.Minute, now, nil)[0]
				if err := q.delete(m.receiptHandle(), now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
