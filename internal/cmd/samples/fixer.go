package main

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// A fixer replaces what differs between two runs, so that the files change only
// when the samples do: random ids become ids that follow from the file's name
// and their order, and times become one time.
type fixer struct {
	file string
	ids  map[string]string // the new id by the random one
}

func newFixer(file string) *fixer { return &fixer{file, map[string]string{}} }

var (
	fixedTime = time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)

	randomID  = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	timestamp = regexp.MustCompile(`"Timestamp" : "[^"]*"`) // of an SNS envelope
)

// fix fixes a message, including the checksum of its body.
func (f *fixer) fix(m *events.SQSMessage) {
	m.MessageId = f.id(m.MessageId)
	m.ReceiptHandle = base64.StdEncoding.EncodeToString([]byte("a receipt handle of " + m.MessageId))
	m.Body = randomID.ReplaceAllStringFunc(m.Body, f.id)
	m.Body = timestamp.ReplaceAllString(m.Body, `"Timestamp" : "`+fixedTime.Format("2006-01-02T15:04:05.000Z")+`"`)
	sum := md5.Sum([]byte(m.Body))
	m.Md5OfBody = hex.EncodeToString(sum[:])
	for _, name := range []string{"SentTimestamp", "ApproximateFirstReceiveTimestamp"} {
		m.Attributes[name] = strconv.FormatInt(fixedTime.UnixMilli(), 10)
	}
}

// id returns the fixed id for a random one, the same each time.
func (f *fixer) id(random string) string {
	if f.ids[random] == "" {
		sum := sha256.Sum256([]byte(f.file + strconv.Itoa(len(f.ids))))
		h := hex.EncodeToString(sum[:16])
		f.ids[random] = h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:] // looks like version 4
	}
	return f.ids[random]
}
