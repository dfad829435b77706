package handler

import (
	"bytes"
	"net/url"
	"strconv"
	"strings"

	"scout/internal/jsonscan"
	"scout/internal/printable"
)

// maxRecords is the maximum number of records in an S3 notification.
const maxRecords = 100

// An s3Record is a record of an S3 event notification. See "Event message
// structure" in the Amazon S3 User Guide.
type s3Record struct {
	text                            []byte
	bucket, key                     string // the key is URL-encoded
	versionID, sequencer, requestID string
	event, time, region             string
}

// records are what a body with a key Records is, or a test event of S3.
type records struct {
	list   []s3Record // at most maxRecords
	n      int
	areS3  bool   // there are records, and all are of S3
	other  string // the eventSource of the first that is not of S3
	isTest bool   // a test event, which S3 sends when notifications are configured
	bucket string // of the test event
}

func readRecords(members []jsonscan.Member) (r records) {
	var service, event []byte
	for _, m := range members {
		switch string(m.Key) {
		case "Records":
			if jsonscan.IsArray(m.Value) {
				r.readList(m.Value)
			}
		case "Service":
			service = m.String
		case "Event":
			event = m.String
		case "Bucket":
			r.bucket = string(m.String)
		}
	}
	r.isTest = string(service) == "Amazon S3" && string(event) == "s3:TestEvent"
	return r
}

func (r *records) readList(list []byte) {
	r.areS3 = true
	for text := range jsonscan.Elements(list) {
		record, source := readRecord(text)
		if source != "aws:s3" || record.bucket == "" || record.key == "" {
			r.areS3 = false
			if source != "aws:s3" {
				r.other = source
			}
			return
		}
		if r.n++; r.n <= maxRecords {
			r.list = append(r.list, record)
		}
	}
	r.areS3 = r.n > 0
}

// readRecord also returns the record's eventSource.
func readRecord(text []byte) (r s3Record, source string) {
	r.text = text
	eachMember(text, func(key string, value []byte) {
		switch key {
		case "eventSource", "EventSource": // the latter in records of SNS
			source = string(decodeString(value))
		case "eventName":
			r.event = strings.TrimPrefix(string(decodeString(value)), "s3:")
		case "eventTime":
			r.time = string(decodeString(value))
		case "awsRegion":
			r.region = string(decodeString(value))
		case "responseElements":
			r.requestID = memberText(value, "x-amz-request-id")
		case "s3":
			eachMember(value, func(key string, value []byte) {
				switch key {
				case "bucket":
					r.bucket = memberText(value, "name")
				case "object":
					r.key = memberText(value, "key")
					r.versionID = memberText(value, "versionId")
					r.sequencer = memberText(value, "sequencer")
				}
			})
		}
	})
	return r, source
}

// eachMember calls read for the members of a JSON text, of which there are none
// unless it is an object.
func eachMember(text []byte, read func(key string, value []byte)) {
	if jsonscan.IsObject(text) {
		for key, value := range jsonscan.Members(text) {
			read(string(key), value)
		}
	}
}

// memberText returns the string of that name in a JSON object, "" if there is none.
func memberText(object []byte, name string) (text string) {
	eachMember(object, func(key string, value []byte) {
		if key == name {
			text = string(decodeString(value))
		}
	})
	return text
}

// identity returns the fields that tell the record, the n-th of its message, from
// others of its bucket. It reports false if there are none.
func (r *s3Record) identity(sqsID string, n int) ([]string, bool) {
	id := []string{r.key, r.versionID, r.sequencer, r.event, r.time, r.requestID}
	if r.sequencer != "" || r.requestID != "" {
		return id, true
	}
	return append(id, sqsID, strconv.Itoa(n)), sqsID != ""
}

// decodedKey returns the key of the object as S3's other interfaces show it.
func (r *s3Record) decodedKey() string {
	if key, err := url.QueryUnescape(r.key); err == nil {
		return key
	}
	return r.key
}

// readS3 makes an item of each record. A test event has none, so it is ignored.
func (t *translator) readS3(r *records, refused error) error {
	bucket := r.bucket
	if r.areS3 {
		bucket = r.list[0].bucket
	}
	bucket = printable.Text(bucket, 100)
	switch {
	case t.router.s3.isEmpty():
		return reject(ReasonNotEnvelope, "the body is an event notification of the S3 bucket %s; see queue.s3", bucket)
	case r.n > maxRecords:
		return reject(ReasonNotEnvelope, "the notification of the S3 bucket %s has %d records, and S3 sends at most %d", bucket, r.n, maxRecords)
	case refused != nil: // which may be a duplicate key
		return reject(ReasonUnacceptable, "the notification of the S3 bucket %s has text that a Sidekiq job cannot carry safely: it has %v", bucket, refused)
	}
	for i := range r.list {
		record := &r.list[i]
		t.addItem(item{source: SourceS3, name: record.bucket, text: record.text, record: record}, t.router.s3, record.bucket)
	}
	return nil
}

// maxTestEvent is more than the size of a test event of S3, whose parts all have a
// maximum length.
const maxTestEvent = 600

// isTestEvent reports whether an SNS message is a test event of S3.
func (t *translator) isTestEvent(message []byte) bool {
	if len(message) > maxTestEvent || !bytes.Contains(message, []byte("s3:TestEvent")) {
		return false
	}
	members, verdict := t.argumentScanner.Object(message)
	return verdict == (jsonscan.Verdict{}) && readRecords(members).isTest
}
