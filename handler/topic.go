package handler

import (
	"bytes"
	"strings"
)

// TopicName returns the last part of a topic's ARN.
func TopicName(arn string) string { return arn[strings.LastIndexByte(arn, ':')+1:] }

// maxTopicName is the maximum length of a topic's name, ".fifo" included.
const maxTopicName = 256

// isTopicARN reports whether text is arn:PARTITION:sns:REGION:ACCOUNT:NAME, as in
// "Resource types defined by Amazon SNS" in the Service Authorization Reference.
// What passes is safe to show: letters, digits, hyphens, underscores and ".fifo".
func isTopicARN(text []byte) bool {
	var parts [5][]byte // before the name
	for i := range parts {
		var found bool
		if parts[i], text, found = bytes.Cut(text, []byte(":")); !found {
			return false
		}
	}
	partition, region, account, name := parts[1], parts[3], parts[4], text
	isAccount := len(account) == 12 && len(bytes.Trim(account, "0123456789")) == 0
	return string(parts[0]) == "arn" && string(parts[2]) == "sns" && isAccount && isWord(partition, 32) && isWord(region, 32) &&
		len(name) <= maxTopicName && isWord(bytes.TrimSuffix(name, []byte(".fifo")), maxTopicName)
}

// isWord reports whether text has 1 to max letters, digits, hyphens and underscores.
func isWord(text []byte, max int) bool {
	for _, c := range text {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return 0 < len(text) && len(text) <= max
}
