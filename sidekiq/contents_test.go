package sidekiq

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func testContents(t *testing.T, addr string) {
	c := newTestClient(t, addr, nil)
	if contents, err := c.Contents(t.Context()); err != nil || len(contents.Queues) != 0 || contents.Dead.Size != 0 {
		t.Errorf("of an empty Redis: %+v, %v", contents, err)
	}
	mustPush(t, c, testJobs("low", 25))
	mustPush(t, c, testJobs("high", 1))
	do(t, addr, "SADD", "queues", "odd")
	do(t, addr, "SET", "queue:odd", "no list")
	do(t, addr, "ZADD", "retry", "1767323045.5", "later", "1767323044", "first")
	do(t, addr, "ZADD", "dead", 1, "old", 2, strings.Repeat("x", MaxWaitingPayload+1))
	contents, err := c.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, list := range append(contents.Queues, contents.Retry, contents.Scheduled, contents.Dead) {
		got = append(got, fmt.Sprint(list.Name, " ", list.Size, " ", len(list.Jobs)))
	}
	if want := "high 1 1, low 25 20, odd 0 0, retry 2 2, schedule 0 0, dead 2 2"; strings.Join(got, ", ") != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if next := string(contents.Queues[1].Jobs[0].Payload); next != string(testJobs("low", 1)[0].Payload) {
		t.Errorf("the next job of low is %s", next)
	}
	retry, dead := contents.Retry.Jobs, contents.Dead.Jobs
	if string(retry[0].Payload) != "first" || !retry[1].At.Equal(time.UnixMilli(1767323045500)) {
		t.Errorf("the retry set is %v", retry)
	}
	if len(dead[0].Payload) != MaxWaitingPayload || string(dead[1].Payload) != "old" {
		t.Errorf("the dead set has %d bytes, then %s", len(dead[0].Payload), dead[1].Payload)
	}
}
