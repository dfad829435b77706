package handler

import (
	"scout/internal/jsonscan"
	"scout/internal/printable"
)

// A bridgeEvent is an event as EventBridge delivers it to a queue, unless an input
// transformer changed it. See "AWS service event metadata" in the Amazon
// EventBridge User Guide.
type bridgeEvent struct {
	Source, DetailType, Detail []byte
	ID                         []byte // empty if there is none
	OddID                      bool   // the id is neither a string nor null
	Replay                     []byte // the name of the replay that delivers the event again
	Account, Region, Time      []byte
}

var bridgeKeys = []string{"source", "detail-type", "detail", "id", "replay-name"}

// readBridgeEvent returns nil if the members are not those of an event.
func readBridgeEvent(members []jsonscan.Member) *bridgeEvent {
	var e bridgeEvent
	for _, m := range members {
		switch string(m.Key) {
		case "source":
			e.Source = m.String
		case "detail-type":
			e.DetailType = m.String
		case "detail":
			e.Detail = m.Value
		case "id":
			e.ID = m.String
			e.OddID = m.String == nil && string(m.Value) != "null"
		case "replay-name":
			e.Replay = m.String
		case "account":
			e.Account = m.String
		case "region":
			e.Region = m.String
		case "time":
			e.Time = m.String
		}
	}
	if e.Source == nil || e.DetailType == nil || !jsonscan.IsObject(e.Detail) {
		return nil
	}
	return &e
}

// key is what the routes of EventBridge match.
func (e *bridgeEvent) key() string { return string(e.Source) + "/" + string(e.DetailType) }

func (t *translator) readBridge(e *bridgeEvent, members []jsonscan.Member, refused error) error {
	if t.router.eventBridge.isEmpty() {
		return reject(ReasonNotEnvelope, "the body is an EventBridge event of %s; see queue.eventbridge", printable.Text(string(e.Source), 100))
	}
	if refused != nil {
		if key := duplicateKey(members, bridgeKeys); key != "" {
			return reject(ReasonNotEnvelope, "the EventBridge event has a duplicate key %q", key)
		}
	}
	if e.OddID {
		return reject(ReasonNotEnvelope, "the EventBridge event's id is not a string")
	}
	t.addItem(item{source: SourceEventBridge, name: string(e.Source), id: string(e.ID), text: e.Detail, refused: refused, event: e}, t.router.eventBridge, e.key())
	return nil
}
