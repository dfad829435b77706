package handler

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// A Router finds the workers for a topic and makes their jobs.
type Router struct {
	Milliseconds bool // the form of times in jobs; see sidekiq.Call

	exact    map[string]Route
	patterns []Route // the most specific first
}

// NewRouter returns a router over routes. Of several that fit a topic, its
// full ARN wins over its name, that over patterns, and a longer pattern over a
// shorter one.
func NewRouter(routes []Route) *Router {
	r := &Router{exact: map[string]Route{}}
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

// Route returns the route for the topic with the given ARN. It has no workers
// if none fits.
func (r *Router) Route(topicARN string) Route {
	if route, ok := r.exact[topicARN]; ok {
		return route
	}
	name := TopicName(topicARN)
	if route, ok := r.exact[name]; ok {
		return route
	}
	for _, route := range r.patterns {
		if ok, _ := path.Match(route.Topic, name); ok {
			return route
		}
	}
	return Route{}
}
