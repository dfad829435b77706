package devstack

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// pollResult is the result of a long poll.
type pollResult struct {
	messages int
	err      error
	after    time.Duration
}

// startPoll starts a long poll of 20 s of the queue "q".
func startPoll(ctx context.Context, s *Server) <-chan pollResult {
	done := make(chan pollResult, 1)
	wait, start := 20*time.Second, time.Now()
	go func() {
		messages, err := s.receive(ctx, "q", receiveOptions{max: 10, wait: &wait})
		done <- pollResult{len(messages), err, time.Since(start)}
	}()
	return done
}

// testPoll runs a test on synctest's clock with a Server that has the queue "q".
func testPoll(t *testing.T, attributes map[string]string, test func(t *testing.T, s *Server)) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer()
		if _, err := s.CreateQueue("q", attributes); err != nil {
			t.Fatal(err)
		}
		test(t, s)
	})
}

func send(t *testing.T, s *Server, in sendInput) {
	t.Helper()
	err := s.withQueue("q", func(q *queue, now time.Time) error {
		_, err := q.send(in, now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPollEndsWhen(t *testing.T) {
	five := 5
	for _, test := range []struct {
		name string
		do   func(t *testing.T, s *Server, cancel context.CancelFunc) // 1 s after the start of the poll
		want pollResult
	}{
		{"nothing happens", func(*testing.T, *Server, context.CancelFunc) {}, pollResult{after: 20 * time.Second}},
		{"a message arrives", func(t *testing.T, s *Server, _ context.CancelFunc) {
			send(t, s, sendInput{Body: "x"})
		}, pollResult{messages: 1, after: time.Second}},
		{"a message's delay is over", func(t *testing.T, s *Server, _ context.CancelFunc) {
			send(t, s, sendInput{Body: "x", DelaySeconds: &five})
		}, pollResult{messages: 1, after: 6 * time.Second}},
		{"its client disconnects", func(_ *testing.T, _ *Server, cancel context.CancelFunc) {
			cancel()
		}, pollResult{after: time.Second}},
		{"the Server is closed", func(_ *testing.T, s *Server, _ context.CancelFunc) {
			s.Close()
			s.Close()
		}, pollResult{after: time.Second}},
		{"the queue is deleted", func(t *testing.T, s *Server, _ context.CancelFunc) {
			if err := s.deleteQueue("q"); err != nil {
				t.Error(err)
			}
		}, pollResult{err: errQueueDoesNotExist, after: time.Second}},
	} {
		t.Run(test.name, func(t *testing.T) {
			testPoll(t, nil, func(t *testing.T, s *Server) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := startPoll(ctx, s)
				time.Sleep(time.Second)
				test.do(t, s, cancel)
				if got := <-done; got != test.want {
					t.Errorf("got %+v, want %+v", got, test.want)
				}
			})
		})
	}
}

func TestPollReceivesMessageThatBecomesVisibleAgain(t *testing.T) {
	testPoll(t, map[string]string{"VisibilityTimeout": "10"}, func(t *testing.T, s *Server) {
		send(t, s, sendInput{Body: "x"})
		if got := <-startPoll(t.Context(), s); got.messages != 1 {
			t.Fatalf("got %+v", got)
		}
		if got, want := <-startPoll(t.Context(), s), (pollResult{messages: 1, after: 10 * time.Second}); got != want {
			t.Errorf("after the timeout: got %+v, want %+v", got, want)
		}
	})
}

func TestCancelledPollReceivesNothing(t *testing.T) {
	testPoll(t, nil, func(t *testing.T, s *Server) {
		ctx, cancel := context.WithCancel(t.Context())
		done := startPoll(ctx, s)
		synctest.Wait()
		cancel()
		send(t, s, sendInput{Body: "x"}) // the poll may see either first
		cancelled := <-done
		left := <-startPoll(t.Context(), s)
		if cancelled.messages != 0 || left.messages != 1 {
			t.Errorf("the cancelled poll received %d messages, the next one %d, want 0 and 1", cancelled.messages, left.messages)
		}
	})
}

func TestConcurrentPollsReceiveEachMessageOnce(t *testing.T) {
	testPoll(t, nil, func(t *testing.T, s *Server) {
		var polls []<-chan pollResult
		for range 64 {
			polls = append(polls, startPoll(t.Context(), s))
		}
		synctest.Wait()
		for range 10 {
			send(t, s, sendInput{Body: "x"})
		}
		total := 0
		for _, done := range polls {
			total += (<-done).messages
		}
		if total != 10 {
			t.Errorf("the polls received %d messages, want 10", total)
		}
	})
}
