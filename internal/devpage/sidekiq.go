package devpage

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"scout/sidekiq"
)

// A listView is a queue or set of Sidekiq.
type listView struct {
	Kind string    `json:"kind"` // as text
	Name string    `json:"name"`
	Size int       `json:"size"`
	Jobs []jobView `json:"jobs"`
}

type jobView struct {
	Class   string     `json:"class"`
	JID     string     `json:"jid"`
	Preview string     `json:"preview"`         // of the arguments
	Error   string     `json:"error,omitempty"` // why it failed
	At      *time.Time `json:"at,omitempty"`
	JSON    string     `json:"json"`
	Cut     bool       `json:"cut"`
}

// serveSidekiq reads Sidekiq's queues and sets.
func (p *Page) serveSidekiq(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	options := p.config().Redis.ClientOptions()
	options.Conns = 1
	client, err := sidekiq.NewClient(options)
	if err != nil {
		writeError(w, http.StatusBadGateway, err)
		return
	}
	defer client.Close()
	contents, err := client.Contents(ctx)
	if err != nil {
		writeError(w, http.StatusBadGateway, err)
		return
	}
	lists := []listView{}
	for _, queue := range contents.Queues {
		lists = append(lists, newListView("Queue", queue))
	}
	writeJSON(w, append(lists, newListView("Retries", contents.Retry), newListView("Scheduled", contents.Scheduled), newListView("Dead", contents.Dead)))
}

func newListView(kind string, list sidekiq.JobList) listView {
	v := listView{Kind: kind, Name: show(list.Name), Size: list.Size, Jobs: []jobView{}}
	for _, job := range list.Jobs {
		v.Jobs = append(v.Jobs, newJobView(job))
	}
	return v
}

func newJobView(job sidekiq.WaitingJob) jobView {
	var known struct {
		Class        string `json:"class"`
		Wrapped      string `json:"wrapped"`
		JID          string `json:"jid"`
		ErrorClass   string `json:"error_class"`
		ErrorMessage string `json:"error_message"`
	}
	_ = json.Unmarshal(job.Payload, &known) // anything else is shown unchanged
	v := jobView{Class: show(known.Class), JID: show(known.JID), Preview: preview(job.Payload), JSON: pretty(string(job.Payload)), Cut: len(job.Payload) == sidekiq.MaxWaitingPayload}
	if known.Wrapped != "" {
		v.Class = show(known.Wrapped)
	}
	if known.ErrorClass != "" {
		v.Error = show(known.ErrorClass + ": " + known.ErrorMessage)
	}
	if !job.At.IsZero() {
		v.At = &job.At
	}
	return v
}
