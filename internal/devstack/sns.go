package devstack

import (
	"encoding/xml"
	"maps"
	"net/http"
	"slices"
)

const snsNamespace = "http://sns.amazonaws.com/doc/2010-03-31/"

// snsAction runs an action of SNS and returns the result to encode, or nil if the action has none.
type snsAction func(s *Server, r *http.Request, f form) (any, error)

var snsActions = map[string]snsAction{
	"CreateTopic":               (*Server).snsCreateTopic,
	"DeleteTopic":               (*Server).snsDeleteTopic,
	"GetSubscriptionAttributes": (*Server).snsGetSubscriptionAttributes,
	"GetTopicAttributes":        (*Server).snsGetTopicAttributes,
	"ListSubscriptions":         (*Server).snsListSubscriptions,
	"ListSubscriptionsByTopic":  (*Server).snsListSubscriptionsByTopic,
	"ListTopics":                (*Server).snsListTopics,
	"Publish":                   (*Server).snsPublish,
	"PublishBatch":              (*Server).snsPublishBatch,
	"SetSubscriptionAttributes": (*Server).snsSetSubscriptionAttributes,
	"Subscribe":                 (*Server).snsSubscribe,
	"Unsubscribe":               (*Server).snsUnsubscribe,
}

// serveSNS serves a request of the AWS Query protocol: a form that names its action.
func (s *Server) serveSNS(w http.ResponseWriter, r *http.Request) {
	var result any
	err := r.ParseForm()
	name := r.PostForm.Get("Action")
	if err == nil {
		if do := snsActions[name]; do != nil {
			result, err = do(s, r, form{values: r.PostForm})
		} else if r.PostForm.Get("Version") == "2012-11-05" {
			err = errInvalidAction(name, " It belongs to SQS in the Query protocol: use an SDK that uses the JSON protocol for SQS.")
		} else {
			err = errInvalidAction(name, "")
		}
	}
	w.Header().Set("Content-Type", "text/xml")
	requestID := w.Header().Get("X-Amzn-Requestid")
	var response any = snsResponse{
		XMLName:   xml.Name{Space: snsNamespace, Local: name + "Response"},
		Result:    snsResult{name: name + "Result", value: result},
		RequestID: requestID,
	}
	if err != nil {
		e := asAPIError(err)
		w.WriteHeader(e.status())
		response = snsError{Type: "Sender", Code: e.code, Message: e.message, RequestID: requestID}
	}
	_ = xml.NewEncoder(w).Encode(response) // fails only if the client has disconnected
}

type snsError struct {
	XMLName   xml.Name `xml:"http://sns.amazonaws.com/doc/2010-03-31/ ErrorResponse"`
	Type      string   `xml:"Error>Type"`
	Code      string   `xml:"Error>Code"`
	Message   string   `xml:"Error>Message"`
	RequestID string   `xml:"RequestId"`
}

// snsResponse is the response to an action. The response and the result in it are named after the
// action.
type snsResponse struct {
	XMLName   xml.Name
	Result    snsResult
	RequestID string `xml:"ResponseMetadata>RequestId"`
}

type snsResult struct {
	name  string
	value any // nil for an action without a result
}

// MarshalXML implements xml.Marshaler.
func (r snsResult) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	if r.value == nil {
		return nil
	}
	return e.EncodeElement(r.value, xml.StartElement{Name: xml.Name{Local: r.name}})
}

// list encodes as one element that holds a member for each item, even if there are no items.
type list[T any] struct {
	Members []T `xml:"member"`
}

type attributesResult struct {
	Entries []attributeEntry `xml:"Attributes>entry"`
}

type attributeEntry struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

func newAttributesResult(attributes map[string]string) attributesResult {
	var result attributesResult
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		result.Entries = append(result.Entries, attributeEntry{name, attributes[name]})
	}
	return result
}
