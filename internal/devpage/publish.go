package devpage

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"scout/config"
	"scout/handler"
	"scout/internal/devstack"
	"scout/internal/uuid"
)

var (
	errGone        = errors.New("this message is no longer kept; the page keeps the latest 500")
	errCut         = fmt.Errorf("this message cannot be replayed: only its first %d KiB are kept", maxBody>>10)
	errDestination = errors.New("choose either a topic or a queue")
)

// A draft is a message to publish to a topic, or to send directly to a queue.
type draft struct {
	Topic      string      `json:"topic,omitempty"` // ARN, or the name of a topic, which is created if it is missing
	Queue      string      `json:"queue,omitempty"` // name
	Message    string      `json:"message"`
	Subject    string      `json:"subject,omitempty"`
	Attributes []attribute `json:"attributes,omitempty"`
	Group      string      `json:"group,omitempty"` // of FIFO topics and queues; 1 if absent
}

type published struct {
	MessageID string `json:"messageId"`
}

func (p *Page) servePublish(w http.ResponseWriter, r *http.Request) {
	var d draft
	if !readJSON(w, r, &d) {
		return
	}
	id, err := p.publish(d)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	writeJSON(w, published{id})
}

func (p *Page) publish(d draft) (id string, err error) {
	if (d.Topic == "") == (d.Queue == "") {
		return "", errDestination
	}
	group, deduplicationID := fifoIDs(d.Topic+d.Queue, d.Group)
	if d.Queue != "" {
		return p.server.Send(d.Queue, devstack.Message{Body: d.Message, Attributes: textAttributes(d.Attributes), GroupID: group, DeduplicationID: deduplicationID})
	}
	arn := d.Topic
	if !strings.HasPrefix(arn, "arn:") {
		attributes := map[string]string{}
		if deduplicationID != "" {
			attributes["FifoTopic"] = "true"
		}
		if arn, err = p.server.CreateTopic(d.Topic, attributes); err != nil {
			return "", err
		}
	}
	return p.server.Publish(arn, devstack.Notification{
		Message: d.Message, Subject: d.Subject, Attributes: textAttributes(d.Attributes), GroupID: group, DeduplicationID: deduplicationID,
	})
}

// fifoIDs returns the group of a message, "1" if it has none, and a new deduplication id
// for a FIFO topic or queue. For other destinations, it returns the group unchanged and
// "".
func fifoIDs(destination, group string) (groupID, deduplicationID string) {
	if !strings.HasSuffix(destination, ".fifo") {
		return group, ""
	}
	if group == "" {
		group = "1"
	}
	return group, uuid.New()
}

// A replay is a request to deliver a message again.
type replay struct {
	As string `json:"as"` // redelivery or new
}

func (p *Page) serveReplay(w http.ResponseWriter, r *http.Request) {
	var in replay
	if !readJSON(w, r, &in) {
		return
	}
	m := p.messages.find(r.PathValue("id"))
	if m == nil {
		writeError(w, http.StatusNotFound, errGone)
		return
	}
	id, err := p.replay(m, in.As)
	if err != nil {
		writeError(w, http.StatusConflict, err)
		return
	}
	writeJSON(w, published{id})
}

// replay delivers a message again: as SQS redelivers it, or as a new message with the
// same content.
func (p *Page) replay(m *message, as string) (id string, err error) {
	group, deduplicationID := fifoIDs(m.Queue, m.group)
	same := devstack.Message{Body: m.body, Attributes: m.attributes, GroupID: group, DeduplicationID: deduplicationID}
	switch {
	case m.cut:
		return "", errCut
	case as == "redelivery":
		same.ID = m.SQSID
		return p.server.Send(m.Queue, same)
	case as != "new":
		return "", fmt.Errorf("as must be redelivery or new, not %q", as)
	}
	if reason := p.notRepeatable(m); reason != "" {
		return "", errors.New(reason)
	}
	switch handler.Source(m.Source) {
	case handler.SourceSNS:
		if d := newDraft(m); d.Topic != "" {
			return p.publish(d)
		}
	case handler.SourceEventBridge:
		// A replay of EventBridge's archive adds the same key, and Scout treats the
		// event as new.
		same.Body = fmt.Sprintf(`{"replay-name":"scout-dev-%s",`, uuid.New()) + strings.TrimPrefix(strings.TrimSpace(m.body), "{")
	}
	return p.server.Send(m.Queue, same)
}

// notRepeatable returns why a message cannot be sent as a new one, "" if it can.
func (p *Page) notRepeatable(m *message) string {
	const edit = "; edit it to send another"
	switch source := handler.Source(m.Source); {
	case m.cut:
		return errCut.Error()
	case source == handler.SourceS3:
		return "S3's records carry their own identity" + edit
	case source == handler.SourceEventBridge && strings.Contains(m.body, `"replay-name"`):
		return "this event is already a replay" + edit
	case source == handler.SourcePlain && p.identifiesPlain(m.Queue):
		return "queue.message_id says that the message carries its own identity" + edit
	}
	return ""
}

// identifiesPlain reports whether the plain messages of a queue carry their own id.
func (p *Page) identifiesPlain(queue string) bool {
	return slices.ContainsFunc(p.config().Queues, func(q config.Queue) bool {
		return q.Name == queue && q.MessageID != (handler.Selector{})
	})
}

// newDraft returns the draft that publishes a message again.
func newDraft(m *message) draft {
	var envelope struct {
		Type, TopicArn, Message, Subject string
		MessageAttributes                map[string]struct{ Type, Value string }
	}
	if err := json.Unmarshal([]byte(m.body), &envelope); err != nil || envelope.Type != "Notification" {
		return draft{Queue: m.Queue, Message: m.body, Attributes: shownAttributes(m.attributes), Group: m.group}
	}
	d := draft{Topic: envelope.TopicArn, Message: envelope.Message, Subject: envelope.Subject, Group: m.group}
	for _, name := range slices.Sorted(maps.Keys(envelope.MessageAttributes)) {
		a := envelope.MessageAttributes[name]
		d.Attributes = append(d.Attributes, attribute{name, a.Type, a.Value})
	}
	return d
}

// shownAttributes returns attributes sorted by name, without binary ones.
func shownAttributes(attributes map[string]devstack.Attribute) []attribute {
	var list []attribute
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if a := attributes[name]; a.BinaryValue == nil {
			list = append(list, attribute{name, a.DataType, a.StringValue})
		}
	}
	return list
}
