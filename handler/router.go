package handler

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"sync"
)

// A Router looks up the workers for a topic and builds their jobs. It is safe
// for concurrent use.
type Router struct {
	Sidekiq      int  // whose form jobs have; see sidekiq.Call
	Milliseconds bool // how jobs write times; see sidekiq.Call
	OmitTrace    bool // leave trace context and baggage out of the jobs

	exact    map[string]Route
	patterns []Route // the longest first

	// The results of matching patterns, by topic name. Matching a thousand
	// patterns takes longer than all else that is done with a message.
	mu      sync.RWMutex
	matched map[string]Route
}

// maxMatched is the maximum number of topic names in Router.matched. A forged
// message can have any name, so the map must not grow without bound.
const maxMatched = 4096

// NewRouter returns a Router for routes. If several match a topic, its full ARN
// wins over its name, its name over patterns, and a longer pattern over a
// shorter one.
func NewRouter(routes []Route) *Router {
	r := &Router{exact: map[string]Route{}, matched: map[string]Route{}}
	for _, route := range routes {
		if strings.ContainsAny(route.Topic, "*?") {
			r.patterns = append(r.patterns, route)
		} else {
			r.exact[route.Topic] = route
		}
	}
	slices.SortFunc(r.patterns, func(a, b Route) int {
		return cmp.Or(cmp.Compare(len(b.Topic), len(a.Topic)), strings.Compare(a.Topic, b.Topic))
	})
	return r
}

// Route returns the route for the topic with the given ARN, or a Route without
// workers if none matches.
func (r *Router) Route(topicARN string) Route {
	if route, ok := r.exact[topicARN]; ok {
		return route
	}
	name := TopicName(topicARN)
	if route, ok := r.exact[name]; ok {
		return route
	}
	if len(r.patterns) == 0 {
		return Route{}
	}
	r.mu.RLock()
	route, ok := r.matched[name]
	r.mu.RUnlock()
	if !ok {
		route = r.match(name)
		r.mu.Lock()
		defer r.mu.Unlock()
		if len(r.matched) == maxMatched {
			clear(r.matched)
		}
		r.matched[name] = route
	}
	return route
}

// match returns the route of the first pattern that matches a topic name.
func (r *Router) match(name string) Route {
	for _, route := range r.patterns {
		if ok, _ := path.Match(route.Topic, name); ok {
			return route
		}
	}
	return Route{}
}
