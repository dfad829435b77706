package devstack

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// bench is a queue on a clock of its own, with a dead-letter queue.
type bench struct {
	*testing.T
	*queue
	deadLetters *queue
	now         time.Time
}

func newBench(t *testing.T, name string) *bench {
	t.Helper()
	start := time.Now()
	b := &bench{T: t, queue: newQueue(name, "arn:"+name, start), deadLetters: newQueue("dead-"+name, "arn:dead-"+name, start), now: start}
	for _, q := range []*queue{b.queue, b.deadLetters} {
		if err := q.configure(attributesFor(name), nil); err != nil {
			t.Fatal(err)
		}
	}
	b.maxReceives = 1000
	return b
}

func (b *bench) pass(d time.Duration) { b.now = b.now.Add(d) }

// put sends messages to a group of a FIFO queue, each with its body as its de-duplication id.
func (b *bench) put(group string, bodies ...string) {
	b.Helper()
	for _, body := range bodies {
		if _, err := b.send(draft{Body: body, GroupID: group, DeduplicationID: body}, b.now); err != nil {
			b.Fatal(err)
		}
	}
}

// take receives up to n messages for 30 s and checks their bodies.
func (b *bench) take(q *queue, n int, want string) []message {
	b.Helper()
	deadLetters := b.deadLetters
	if q == deadLetters {
		deadLetters = nil
	}
	received := q.receive(n, 30*time.Second, b.now, deadLetters)
	var got []string
	for _, m := range received {
		got = append(got, m.Body)
	}
	if strings.Join(got, " ") != want {
		b.Fatalf("received %q, want %q", got, want)
	}
	return received
}

func (b *bench) remove(m message) {
	b.Helper()
	if err := b.delete(m.handle(), b.now); err != nil {
		b.Fatal(err)
	}
}

// attributesFor returns the attributes that a queue of the name must have.
func attributesFor(name string) map[string]string {
	if isFIFO(name) {
		return map[string]string{"FifoQueue": "true"}
	}
	return nil
}

func TestFIFODuplicateHasTheAnswerOfTheFirstForFiveMinutes(t *testing.T) {
	b := newBench(t, "q.fifo")
	send := func() accepted {
		a, err := b.send(draft{Body: "x", GroupID: "g", DeduplicationID: "id"}, b.now)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	first := send()
	b.remove(b.take(b.queue, 10, "x")[0])
	b.pass(5*time.Minute - time.Millisecond)
	if again := send(); again != first {
		t.Errorf("the duplicate is %v, want %v", again, first)
	}
	b.take(b.queue, 10, "")
	b.pass(time.Millisecond)
	if later := send(); later == first {
		t.Error("after five minutes it is still a duplicate")
	}
	b.take(b.queue, 10, "x")
}

func TestFIFODeduplicationCanBePerGroup(t *testing.T) {
	b := newBench(t, "q.fifo")
	b.dedupPerGroup = true
	b.put("a", "x", "x")
	b.put("b", "x")
	b.take(b.queue, 10, "x x")
}

func TestFIFOGroupIsLockedWhileAnyOfItIsInFlight(t *testing.T) {
	b := newBench(t, "q.fifo")
	b.put("g", "1", "2", "3", "4")
	three := b.take(b.queue, 3, "1 2 3")
	b.remove(three[1])
	b.take(b.queue, 10, "")
	if err := b.changeVisibility(three[0].handle(), 0, b.now); err != nil {
		t.Fatal(err)
	}
	b.take(b.queue, 10, "") // 3 is still in flight
	b.remove(three[2])
	b.take(b.queue, 10, "1 4")
}

func TestFIFOGroupsTakeTurnsByAge(t *testing.T) {
	b := newBench(t, "q.fifo")
	for i := range 3 {
		b.pass(time.Second)
		b.put("a", fmt.Sprint("a", i))
		b.put("b", fmt.Sprint("b", i))
	}
	b.take(b.queue, 4, "a0 a1 a2 b0")
	b.take(b.queue, 4, "")
}

func TestFIFOHandleExpiresWithTheVisibilityTimeout(t *testing.T) {
	b := newBench(t, "q.fifo")
	b.put("g", "x")
	first := b.take(b.queue, 1, "x")[0]
	b.pass(31 * time.Second)
	for _, when := range []string{"visible", "received again"} {
		for _, err := range []error{
			b.delete(first.handle(), b.now),
			b.changeVisibility(first.handle(), 0, b.now),
		} {
			if e, ok := errors.AsType[*apiError](err); !ok || !strings.Contains(e.message, "The receipt handle has expired") {
				t.Errorf("when %s: %v", when, err)
			}
		}
		if when == "visible" {
			b.take(b.queue, 1, "x")
		}
	}
}

func TestFIFORedriveKeepsOrderAndGroup(t *testing.T) {
	b := newBench(t, "q.fifo")
	b.maxReceives = 1
	b.put("g", "1", "2", "3", "4", "5")
	b.put("h", "6")
	b.take(b.queue, 3, "1 2 3")
	b.pass(31 * time.Second)
	b.take(b.queue, 10, "6 4 5") // h was ready before g
	dead := b.take(b.deadLetters, 10, "1 2 3")
	if dead[0].GroupID != "g" || dead[0].source != "arn:q.fifo" || dead[0].receives != 2 {
		t.Errorf("the dead letter is %+v", dead[0])
	}
}

func TestRedriveCountsTheReceivesOfItsOwnQueue(t *testing.T) {
	b := newBench(t, "q")
	b.maxReceives = 2
	if _, err := b.send(draft{Body: "x"}, b.now); err != nil {
		t.Fatal(err)
	}
	b.take(b.queue, 1, "x")
	b.pass(time.Minute)
	b.take(b.queue, 1, "x")
	b.pass(time.Minute)
	b.take(b.queue, 1, "")
	m := b.take(b.deadLetters, 1, "x")[0]
	if m.receives != 3 || m.receivesHere != 1 {
		t.Errorf("received %d times, %d of them here, want 3 and 1", m.receives, m.receivesHere)
	}
}

func TestVisibilityOfZeroDeliversOncePerReceive(t *testing.T) {
	b := newBench(t, "q")
	for _, body := range []string{"1", "2"} {
		if _, err := b.send(draft{Body: body}, b.now); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if got := b.receive(10, 0, b.now, nil); len(got) != 2 {
			t.Fatalf("received %d messages, want 2", len(got))
		}
	}
}

func TestVisibilityOfWhatIsNotInFlight(t *testing.T) {
	b := newBench(t, "q")
	if _, err := b.send(draft{Body: "x"}, b.now); err != nil {
		t.Fatal(err)
	}
	m := b.take(b.queue, 1, "x")[0]
	b.pass(31 * time.Second)
	if err := b.changeVisibility(m.handle(), time.Second, b.now); err != errMessageNotInflight {
		t.Errorf("when visible: %v", err)
	}
	b.remove(m)
	if err := b.changeVisibility(m.handle(), time.Second, b.now); err == nil {
		t.Error("when deleted: no error")
	}
}

func TestHandleOfAnotherQueueIsInvalid(t *testing.T) {
	b := newBench(t, "q")
	if _, err := b.send(draft{Body: "x"}, b.now); err != nil {
		t.Fatal(err)
	}
	m := b.take(b.queue, 1, "x")[0]
	err := b.deadLetters.delete(m.handle(), b.now)
	if e, ok := errors.AsType[*apiError](err); !ok || e.code != "ReceiptHandleIsInvalid" {
		t.Errorf("got %v", err)
	}
}

func TestDraftsThatAreRefused(t *testing.T) {
	manyAttributes := make(map[string]Attribute)
	for i := range 11 {
		manyAttributes[fmt.Sprint(i)] = Attribute{DataType: "String", StringValue: "x"}
	}
	attribute := func(name, dataType, value string) draft {
		return draft{Body: "x", Attributes: map[string]Attribute{name: {DataType: dataType, StringValue: value}}}
	}
	second := 1
	for _, test := range []struct {
		name, queue string
		draft       draft
		code        string
	}{
		{"empty", "q", draft{}, "MissingParameter"},
		{"control character", "q", draft{Body: "a\x00b"}, "InvalidMessageContents"},
		{"too long with its attributes", "q", draft{
			Body:       strings.Repeat("x", maxMessage-10),
			Attributes: map[string]Attribute{"name": {DataType: "String", StringValue: "v"}},
		}, "InvalidParameterValue"},
		{"too many attributes", "q", draft{Body: "x", Attributes: manyAttributes}, "InvalidParameterValue"},
		{"reserved name", "q", attribute("AWS.x", "String", "x"), "InvalidParameterValue"},
		{"bad name", "q", attribute("a..b", "String", "x"), "InvalidParameterValue"},
		{"bad type", "q", attribute("a", "Text", "x"), "InvalidParameterValue"},
		{"bad number", "q", attribute("a", "Number", "x"), "InvalidParameterValue"},
		{"empty value", "q", attribute("a", "String", ""), "InvalidParameterValue"},
		{"de-duplication in a standard queue", "q", draft{Body: "x", DeduplicationID: "x"}, "InvalidParameterValue"},
		{"delay in a FIFO queue", "q.fifo", draft{Body: "x", GroupID: "g", DeduplicationID: "x", DelaySeconds: &second}, "InvalidParameterValue"},
		{"space in a group", "q.fifo", draft{Body: "x", GroupID: "a b", DeduplicationID: "x"}, "InvalidParameterValue"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, test.queue)
			_, err := b.send(test.draft, b.now)
			if e, ok := errors.AsType[*apiError](err); !ok || e.query != test.code {
				t.Errorf("got %v, want %s", err, test.code)
			}
			b.take(b.queue, 1, "")
		})
	}
}

func TestQueueAttributesThatAreRefused(t *testing.T) {
	for name, value := range map[string]string{
		"VisibilityTimeout":         "43201",
		"DelaySeconds":              "x",
		"MaximumMessageSize":        "1048577",
		"Nope":                      "1",
		"ContentBasedDeduplication": "true", // of FIFO queues
		"RedrivePolicy":             `{"deadLetterTargetArn":"arn:q","maxReceiveCount":3}`,
	} {
		q := newQueue("q", "arn:q", time.Now())
		if err := q.configure(map[string]string{"DelaySeconds": "5", name: value}, map[string]*queue{"q": q}); err == nil {
			t.Errorf("%s=%s was accepted", name, value)
		}
		if q.delay != 0 || q.attributes["DelaySeconds"] == "5" {
			t.Errorf("with %s, half of the attributes were set", name)
		}
	}
}

// A queue of many messages must not get slower with each.
func BenchmarkQueue(b *testing.B) {
	for _, name := range []string{"standard", "one-group.fifo"} {
		b.Run(name, func(b *testing.B) {
			q, now := newQueue(name, "arn:"+name, time.Now()), time.Now()
			if err := q.configure(attributesFor(name), nil); err != nil {
				b.Fatal(err)
			}
			for i := range b.N {
				d := draft{Body: "x"}
				if q.fifo {
					d.GroupID, d.DeduplicationID = "g", fmt.Sprint(i)
				}
				if _, err := q.send(d, now); err != nil {
					b.Fatal(err)
				}
			}
			for range b.N {
				m := q.receive(1, time.Minute, now, nil)[0]
				if err := q.delete(m.handle(), now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
