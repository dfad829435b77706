package handler

import (
	"fmt"
	"sync"
	"testing"

	"scout/sidekiq"
)

// manyPatterns returns a router with n patterns that match one topic each.
func manyPatterns(n int) *Router {
	routes := make([]Route, n)
	for i := range routes {
		routes[i] = Route{Topic: fmt.Sprintf("topic-%d-*", i), Workers: []Worker{{JobTemplate: sidekiq.JobTemplate{Class: fmt.Sprint("Worker", i), Queue: "default"}}}}
	}
	return NewRouter(routes)
}

func topicARN(i int) string {
	return fmt.Sprintf("arn:aws:sns:us-east-1:123456789012:topic-%d-x", i)
}

func TestRouterRemembersMatches(t *testing.T) {
	const patterns = 100
	r := manyPatterns(patterns)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2*maxMatched + patterns { // more topics than it remembers, most without a route
				workers := r.Route(topicARN(i)).Workers
				if ok := len(workers) == 1 && workers[0].Class == fmt.Sprint("Worker", i); ok != (i < patterns) {
					t.Errorf("topic %d goes to %v", i, workers)
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.matched); n > maxMatched {
		t.Errorf("%d topics are remembered, want at most %d", n, maxMatched)
	}
	for i := range patterns {
		if workers := r.Route(topicARN(i)).Workers; len(workers) != 1 || workers[0].Class != fmt.Sprint("Worker", i) {
			t.Errorf("after many other topics, topic %d goes to %v", i, workers)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	const topics = 1000
	r := manyPatterns(topics)
	arns := make([]string, topics)
	for i := range arns {
		arns[i] = topicARN(i)
	}
	for i := 0; b.Loop(); i++ {
		r.Route(arns[i%topics])
	}
}
