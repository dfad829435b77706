package handler

// A Router looks up the outcome of a message and builds its jobs. It is safe for
// concurrent use.
type Router struct {
	Sidekiq      int  // whose form jobs have; see sidekiq.Call
	Milliseconds bool // how jobs write times; see sidekiq.Call
	OmitTrace    bool // leave trace context and baggage out of the jobs

	// DeadSet sends rejected messages to Sidekiq's dead set instead of back to
	// their SQS queue. It is empty, or the Sidekiq queue of entries for messages
	// without a route.
	DeadSet string

	topics, eventBridge, s3 *table
	plain                   *route // nil if there is none
	messageID               Selector
}

// NewRouter returns a Router for routes. If several match a topic, its full ARN
// wins over its name.
func NewRouter(routes Routes) *Router {
	m := &matches{routes: map[match]*route{}}
	r := &Router{
		topics:      newTable(routes.Topics, m),
		eventBridge: newTable(routes.EventBridge, m),
		s3:          newTable(routes.S3, m),
		messageID:   routes.MessageID,
	}
	if routes.Plain != nil {
		r.plain = &route{Route{"plain", routes.Plain}, routes.Plain.compile(m)}
	}
	return r
}

// Topic returns the route for the topic with the given ARN. It reports false if
// none matches.
func (r *Router) Topic(arn string) (Route, bool) {
	if found := r.findTopic(arn); found != nil {
		return found.Route, true
	}
	return Route{}, false
}

func (r *Router) findTopic(arn string) *route {
	if found, ok := r.topics.exact[arn]; ok {
		return found
	}
	return r.topics.find(TopicName(arn))
}

// A node is a compiled Outcome. At most one of its fields is set; without any, it
// ignores messages.
type node struct {
	workers []Worker
	list    []*node
	choice  *choice
}

type choice struct {
	by       Selector
	to       *table
	fallback *node // nil rejects messages
}

func (w Worker) compile(*matches) *node { return &node{workers: []Worker{w}} }

func (Ignore) compile(*matches) *node { return &node{} }

// compile makes a list of workers a single node.
func (l List) compile(m *matches) *node {
	n := &node{}
	for _, o := range l {
		child := o.compile(m)
		n.workers = append(n.workers, child.workers...)
		n.list = append(n.list, child)
	}
	if len(n.workers) == len(l) {
		return &node{workers: n.workers}
	}
	return &node{list: n.list}
}

func (c Choice) compile(m *matches) *node {
	compiled := &choice{by: c.By, to: newTable(c.To, m)}
	if c.Else != nil {
		compiled.fallback = c.Else.compile(m)
	}
	return &node{choice: compiled}
}
