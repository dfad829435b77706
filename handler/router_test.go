package handler

import (
	"fmt"
	"sync"
	"testing"
)

// manyPatterns returns a router with n patterns that match one topic each.
func manyPatterns(n int) *Router {
	routes := make([]Route, n)
	for i := range routes {
		routes[i] = Route{fmt.Sprintf("topic-%d-*", i), worker(fmt.Sprint("Worker", i), "default")}
	}
	return NewRouter(Routes{Topics: routes})
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
			for i := range 2*maxMatches + patterns { // more topics than it remembers, most without a route
				route, _ := r.Topic(topicARN(i))
				if ok := route.Key == fmt.Sprintf("topic-%d-*", i); ok != (i < patterns) {
					t.Errorf("topic %d goes to %v", i, route)
				}
			}
		})
	}
	wg.Wait()
	if n := len(r.topics.matches.routes); n > maxMatches {
		t.Errorf("%d topics are remembered, want at most %d", n, maxMatches)
	}
	for i := range patterns {
		if route, _ := r.Topic(topicARN(i)); route.Key != fmt.Sprintf("topic-%d-*", i) {
			t.Errorf("after many other topics, topic %d goes to %v", i, route)
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
		r.Topic(arns[i%topics])
	}
}
