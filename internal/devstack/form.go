package devstack

import (
	"encoding/base64"
	"net/url"
	"strconv"
)

// form reads the parameters of AWS's Query protocol, which numbers the elements of lists and maps from
// 1: "Attributes.entry.1.key". The prefix selects an element.
type form struct {
	values url.Values
	prefix string
}

func (f form) get(name string) string { return f.values.Get(f.prefix + name) }

// elements returns the elements of a list or map, up to the first one without the required parameter.
func (f form) elements(list, required string) []form {
	var elements []form
	for i := 1; ; i++ {
		e := form{f.values, f.prefix + list + "." + strconv.Itoa(i) + "."}
		if !f.values.Has(e.prefix + required) {
			return elements
		}
		elements = append(elements, e)
	}
}

// attributes returns the attributes of a topic or subscription.
func (f form) attributes() map[string]string {
	attributes := make(map[string]string)
	for _, e := range f.elements("Attributes.entry", "key") {
		attributes[e.get("key")] = e.get("value")
	}
	return attributes
}

// notification returns the notification of a Publish request or of an entry of PublishBatch.
func (f form) notification() (Notification, error) {
	n := Notification{
		Message:         f.get("Message"),
		Subject:         f.get("Subject"),
		Structure:       f.get("MessageStructure"),
		GroupID:         f.get("MessageGroupId"),
		DeduplicationID: f.get("MessageDeduplicationId"),
		Attributes:      make(map[string]Attribute),
	}
	for _, e := range f.elements("MessageAttributes.entry", "Name") {
		binary, err := base64.StdEncoding.DecodeString(e.get("Value.BinaryValue"))
		if err != nil {
			return n, errInvalidParameter("MessageAttributes", "BinaryValue is not base64")
		}
		n.Attributes[e.get("Name")] = Attribute{
			DataType: e.get("Value.DataType"), StringValue: e.get("Value.StringValue"), BinaryValue: binary,
		}
	}
	return n, nil
}
