package devpage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"scout/handler"
	"scout/internal/devstack"
)

// A stackView describes the stack.
type stackView struct {
	Endpoint string      `json:"endpoint"`
	Config   string      `json:"config"`
	Redis    string      `json:"redis"`
	Topics   []topicView `json:"topics"`
	Queues   []string    `json:"queues"`
}

type topicView struct {
	ARN   string `json:"arn"`
	Name  string `json:"name"`
	Route string `json:"route,omitempty"` // "" if no queue has one
}

func (p *Page) view() stackView {
	c := p.config()
	v := stackView{Endpoint: c.AWS.Endpoint, Config: p.source, Redis: c.Redis.Address(), Topics: []topicView{}}
	var routers []*handler.Router
	for _, q := range c.Queues {
		v.Queues = append(v.Queues, q.Name)
		routers = append(routers, c.Router(q))
	}
	for _, arn := range p.server.TopicARNs() {
		t := topicView{ARN: arn, Name: handler.TopicName(arn)}
		for _, router := range routers {
			if route, ok := router.Topic(arn); ok {
				t.Route = route.Key
			}
		}
		v.Topics = append(v.Topics, t)
	}
	return v
}

const (
	streamInterval = time.Second            // between two checks of the stack's topics
	streamPause    = 100 * time.Millisecond // between two events; each has all messages that have changed
)

// serveStream sends the list of messages and its changes as server-sent events: "reset"
// if the page has messages of another run, "stack" and "messages". The id of an event
// is the run and the sequence number. The browser sends the last id when it reconnects.
func (p *Page) serveStream(w http.ResponseWriter, r *http.Request) {
	if p.streams.Add(1) > maxStreams {
		p.streams.Add(-1)
		http.Error(w, "too many pages are open; close some", http.StatusServiceUnavailable)
		return
	}
	defer p.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	s := &stream{w: w, flush: http.NewResponseController(w).Flush, run: p.run}
	run, seq, _ := strings.Cut(r.Header.Get("Last-Event-ID"), ".")
	s.seq, _ = strconv.ParseInt(seq, 10, 64)
	if run != p.run {
		s.seq = 0
		s.send("reset", nil)
	}
	ticker := time.NewTicker(streamInterval)
	defer ticker.Stop()
	for s.err == nil {
		s.sendStack(p.view())
		list, changed := p.messages.after(s.seq)
		s.sendMessages(list)
		if s.err == nil {
			s.err = s.flush()
		}
		time.Sleep(streamPause)
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-ticker.C:
		}
	}
}

type stream struct {
	w     http.ResponseWriter
	flush func() error
	run   string
	seq   int64
	stack string // the last one that was sent
	err   error  // the client has disconnected
}

func (s *stream) send(event string, value any) {
	data, err := json.Marshal(value)
	if err != nil || s.err != nil {
		return
	}
	_, s.err = fmt.Fprintf(s.w, "id: %s.%d\nevent: %s\ndata: %s\n\n", s.run, s.seq, event, data)
}

// sendStack sends the stack if it has changed.
func (s *stream) sendStack(v stackView) {
	data, err := json.Marshal(v)
	if err == nil && string(data) != s.stack {
		s.stack = string(data)
		s.send("stack", v)
	}
}

// sendMessages sends messages, sorted by sequence number, in one event.
func (s *stream) sendMessages(list []*message) {
	if len(list) == 0 {
		return
	}
	var summaries []summary
	for _, m := range list {
		summaries = append(summaries, m.summary)
	}
	s.seq = list[len(list)-1].seq
	s.send("messages", summaries)
}

// A messageView is everything about a message.
type messageView struct {
	summary
	Published     string        `json:"published"` // to the topic of an SNS notification; "" for others
	Body          string        `json:"body"`      // as SQS delivers it
	BodyCut       bool          `json:"bodyCut"`
	Attributes    []attribute   `json:"attributes"` // of the message that was published or sent
	Payloads      []payloadView `json:"payloads"`
	Draft         draft         `json:"draft"`         // for publishing the message with changes
	NotRepeatable string        `json:"notRepeatable"` // why it cannot be replayed as a new message; "" if it can
}

type payloadView struct {
	JSON string `json:"json"`
	Cut  bool   `json:"cut"`
}

// An attribute is a message attribute in the page.
type attribute struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

func (p *Page) serveMessage(w http.ResponseWriter, r *http.Request) {
	m := p.messages.find(r.PathValue("id"))
	if m == nil {
		writeError(w, http.StatusNotFound, errGone)
		return
	}
	v := messageView{summary: m.summary, Body: pretty(m.body), BodyCut: m.cut, Attributes: []attribute{}, Payloads: []payloadView{}, NotRepeatable: p.notRepeatable(m)}
	for _, payload := range m.payloads {
		v.Payloads = append(v.Payloads, payloadView{pretty(payload.text), payload.cut})
	}
	d := newDraft(m)
	if d.Topic != "" {
		v.Published = pretty(d.Message)
	}
	for _, a := range d.Attributes {
		v.Attributes = append(v.Attributes, attribute{show(a.Name), show(a.Type), show(a.Value)})
	}
	if !m.cut {
		v.Draft = d
	}
	writeJSON(w, v)
}

// textAttributes converts the attributes of a request of the page. All are text.
func textAttributes(attributes []attribute) map[string]devstack.Attribute {
	m := map[string]devstack.Attribute{}
	for _, a := range attributes {
		m[a.Name] = devstack.Attribute{DataType: a.Type, StringValue: a.Value}
	}
	return m
}
