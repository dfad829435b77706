package devstack

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	maxAttributes  = 10
	traceHeader    = "AWSTraceHeader"
	otherQueueType = "The request include parameter that is not valid for this queue type"
)

// draft is a message as its sender gives it, in the JSON of SendMessage.
type draft struct {
	Body             string `json:"MessageBody"`
	DelaySeconds     *int
	Attributes       map[string]Attribute `json:"MessageAttributes"`
	SystemAttributes map[string]Attribute `json:"MessageSystemAttributes"`
	GroupID          string               `json:"MessageGroupId"`
	DeduplicationID  string               `json:"MessageDeduplicationId"`
}

// size is what counts towards the limits.
func (d draft) size() int { return len(d.Body) + attributesSize(d.Attributes) }

var validFIFOID = regexp.MustCompile("^[!-~]{1,128}$")

// check returns why a queue with such settings refuses the draft.
func (d draft) check(queue settings) error {
	if d.Body == "" {
		return errMissing("MessageBody")
	}
	if strings.ContainsFunc(d.Body, notAllowedInBody) {
		return &apiError{"InvalidMessageContents", "InvalidMessageContents", "The message contains characters outside the allowed set."}
	}
	if len(d.Attributes) > maxAttributes {
		return errInvalidValue("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(d.Attributes), maxAttributes)
	}
	if fault := attributesFault(d.Attributes); fault != "" {
		return errInvalidValue("%s", fault)
	}
	for name := range d.SystemAttributes {
		if name != traceHeader {
			return errInvalidFor("MessageSystemAttributes", name, "Only "+traceHeader+" can be sent.")
		}
	}
	if d.size() > queue.maxSize {
		return errInvalidValue("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", queue.maxSize)
	}
	if s := d.DelaySeconds; s != nil && (*s < 0 || *s > maxDelay) {
		return errInvalidFor("DelaySeconds", *s, fmt.Sprintf("DelaySeconds must be >= 0 and <= %d.", maxDelay))
	}
	if id := d.GroupID; id != "" && !validFIFOID.MatchString(id) {
		return errInvalidFor("MessageGroupId", id, "It can have 1 to 128 alphanumeric and punctuation characters.")
	}
	if id := d.DeduplicationID; id != "" && !validFIFOID.MatchString(id) {
		return errInvalidFor("MessageDeduplicationId", id, "It can have 1 to 128 alphanumeric and punctuation characters.")
	}
	return d.checkKind(queue)
}

// checkKind checks what differs between standard and FIFO queues. Both take a message group: in a standard queue it
// is for fair sharing, and decides nothing here.
func (d draft) checkKind(queue settings) error {
	switch {
	case !queue.fifo && d.DeduplicationID != "":
		return errInvalidFor("MessageDeduplicationId", d.DeduplicationID, otherQueueType)
	case !queue.fifo:
		return nil
	case d.GroupID == "":
		return errMissing("MessageGroupId")
	case d.DeduplicationID == "" && !queue.contentDedup:
		return errInvalidValue("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case d.DelaySeconds != nil && *d.DelaySeconds > 0:
		return errInvalidFor("DelaySeconds", *d.DelaySeconds, otherQueueType)
	}
	return nil
}

// notAllowedInBody tells whether SQS, which is XML at heart, refuses the character.
func notAllowedInBody(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\ufffe' || r == '\uffff'
}
