package devstack

import (
	"fmt"
	"testing"
	"time"
)

// receiveIDs receives from a queue without hiding the messages, and returns the ids
// and bodies.
func receiveIDs(t *testing.T, s *Server, queue string) (got []string) {
	t.Helper()
	visibility := time.Duration(0)
	messages, err := s.receive(t.Context(), queue, receiveOptions{max: 10, visibility: &visibility})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		got = append(got, m.id+" "+m.Body)
	}
	return got
}

func TestSend(t *testing.T) {
	s := NewServer()
	if _, err := s.Send("q", Message{Body: "x"}); err == nil {
		t.Error("a missing queue took a message")
	}
	if _, err := s.CreateQueue("q", nil); err != nil {
		t.Fatal(err)
	}
	for body, id := range map[string]string{"new": "", "again": "an-id"} {
		got, err := s.Send("q", Message{Body: body, ID: id})
		if err != nil || got == "" || id != "" && got != id {
			t.Errorf("%s: id %q, %v", body, got, err)
		}
	}
	if _, err := s.Send("q", Message{Body: "again", ID: "an-id"}); err == nil {
		t.Error("a message was repeated while it is in the queue")
	}
	if got := receiveIDs(t, s, "q"); len(got) != 2 || got[0] != "an-id again" && got[1] != "an-id again" {
		t.Errorf("received %q", got)
	}
}

func TestTopicsWithAnyARN(t *testing.T) {
	s := NewServer()
	var created []string
	s.OnTopic = func(arn string) { created = append(created, arn) }
	const foreign = "arn:aws-cn:sns:cn-north-1:123456789012:orders"
	for range 2 {
		if err := s.CreateTopicARN(foreign, nil); err != nil {
			t.Fatal(err)
		}
	}
	if arn, err := s.CreateTopic("orders", nil); err != nil || arn != foreign {
		t.Errorf("the topic by name is %s, %v", arn, err)
	}
	if err := s.CreateTopicARN(TopicARN("orders"), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateTopicARN(TopicARN("orders.fifo"), nil); err == nil {
		t.Error("a FIFO topic was created without FifoTopic")
	}
	if got, want := fmt.Sprint(s.TopicARNs()), fmt.Sprint([]string{foreign, TopicARN("orders")}); got != want || fmt.Sprint(created) != want {
		t.Errorf("there are %s, and OnTopic got %s, want %s", got, created, want)
	}
	queue, err := s.CreateQueue("q", nil)
	if err == nil {
		_, err = s.Subscribe(foreign, queue, nil)
	}
	if err == nil {
		_, err = s.Publish(foreign, Notification{Message: "x"})
	}
	if got := receiveIDs(t, s, "q"); err != nil || len(got) != 1 {
		t.Errorf("received %q, %v", got, err)
	}
	if _, err := s.Publish("arn:aws:sns:eu-west-1:123456789012:orders", Notification{Message: "x"}); err == nil {
		t.Error("published to a topic that does not exist")
	}
}

func TestOnDeadLetter(t *testing.T) {
	s := NewServer()
	var moved []DeadLetter
	s.OnDeadLetter = func(d DeadLetter) { moved = append(moved, d) }
	dead, err := s.CreateQueue("dead", nil)
	if err == nil {
		_, err = s.CreateQueue("q", map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":2}`, dead)})
	}
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Send("q", Message{Body: "x"})
	for range 3 {
		receiveIDs(t, s, "q")
	}
	if want := (DeadLetter{id, "q", "dead", 2}); err != nil || len(moved) != 1 || moved[0] != want {
		t.Errorf("moved %+v (%v), want %+v", moved, err, want)
	}
}
