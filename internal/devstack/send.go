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

// sendInput is a message as its sender supplies it, in the JSON form of SendMessage.
type sendInput struct {
	Body             string `json:"MessageBody"`
	DelaySeconds     *int
	Attributes       map[string]Attribute `json:"MessageAttributes"`
	SystemAttributes map[string]Attribute `json:"MessageSystemAttributes"`
	GroupID          string               `json:"MessageGroupId"`
	DeduplicationID  string               `json:"MessageDeduplicationId"`

	resent string // the id of an earlier message that this one repeats, or ""
}

// size is the number of bytes that count towards the limits.
func (in sendInput) size() int { return len(in.Body) + attributesSize(in.Attributes) }

var validFIFOID = regexp.MustCompile("^[!-~]{1,128}$")

// check returns the error with which a queue of such settings rejects the message.
func (in sendInput) check(queue settings) error {
	if in.Body == "" {
		return errMissing("MessageBody")
	}
	if strings.ContainsFunc(in.Body, invalidInBody) {
		return &apiError{"InvalidMessageContents", "InvalidMessageContents", "The message contains characters outside the allowed set."}
	}
	if len(in.Attributes) > maxAttributes {
		return errInvalidValue("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(in.Attributes), maxAttributes)
	}
	if reason := invalidAttribute(in.Attributes); reason != "" {
		return errInvalidValue("%s", reason)
	}
	for name := range in.SystemAttributes {
		if name != traceHeader {
			return errInvalidFor("MessageSystemAttributes", name, "Only "+traceHeader+" can be sent.")
		}
	}
	if in.size() > queue.maxSize {
		return errInvalidValue("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", queue.maxSize)
	}
	if s := in.DelaySeconds; s != nil && (*s < 0 || *s > maxDelay) {
		return errInvalidFor("DelaySeconds", *s, fmt.Sprintf("DelaySeconds must be >= 0 and <= %d.", maxDelay))
	}
	if id := in.GroupID; id != "" && !validFIFOID.MatchString(id) {
		return errInvalidFor("MessageGroupId", id, "It can have 1 to 128 alphanumeric and punctuation characters.")
	}
	if id := in.DeduplicationID; id != "" && !validFIFOID.MatchString(id) {
		return errInvalidFor("MessageDeduplicationId", id, "It can have 1 to 128 alphanumeric and punctuation characters.")
	}
	return in.checkQueueType(queue)
}

// checkQueueType checks what differs between standard and FIFO queues. Both accept a message group; a
// standard queue uses it for fairness between tenants, which makes no difference here.
func (in sendInput) checkQueueType(queue settings) error {
	switch {
	case !queue.fifo && in.DeduplicationID != "":
		return errInvalidFor("MessageDeduplicationId", in.DeduplicationID, otherQueueType)
	case !queue.fifo:
		return nil
	case in.GroupID == "":
		return errMissing("MessageGroupId")
	case in.DeduplicationID == "" && !queue.contentDedup:
		return errInvalidValue("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	case in.DelaySeconds != nil && *in.DelaySeconds > 0:
		return errInvalidFor("DelaySeconds", *in.DelaySeconds, otherQueueType)
	}
	return nil
}

// invalidInBody reports whether SQS rejects the character, because XML does not allow it.
func invalidInBody(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\ufffe' || r == '\uffff'
}
