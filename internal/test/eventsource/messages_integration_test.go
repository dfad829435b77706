//go:build integration

package eventsource

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// messages generates what is sent to a queue, and records what must become of it.
type messages struct {
	rng    *rand.Rand
	n      int      // different messages so far
	copies []body   // still to be sent a second time
	good   []string // the argument of each job
	poison []string // the body of each message for the dead-letter queue
}

type body struct {
	text, group string
	attributes  map[string]string // of SQS
}

// next returns the next message. About 5 % are poison, and as many are sent a
// second time at some later point.
func (m *messages) next() body {
	if len(m.copies) > 0 && m.rng.IntN(20) == 0 {
		i := m.rng.IntN(len(m.copies))
		again := m.copies[i]
		m.copies = append(m.copies[:i], m.copies[i+1:]...)
		return again
	}
	m.n++
	if m.rng.IntN(20) == 0 {
		text := poison(m.rng, m.n)
		m.poison = append(m.poison, text)
		return body{text: text}
	}
	message, arg := good(m.rng, m.n)
	b := body{text: envelope("orders", message)}
	m.good = append(m.good, arg)
	if m.rng.IntN(20) == 0 {
		m.copies = append(m.copies, b)
	}
	return b
}

// good returns a message that Scout must accept, and its job's argument.
func good(rng *rand.Rand, i int) (message, arg string) {
	switch rng.IntN(4) {
	case 0:
		message = fmt.Sprintf(`text %d`, i)
		return message, `"` + message + `"`
	case 1:
		message = fmt.Sprintf(`{"n":%d,"pad":%q}`, i, strings.Repeat("x", rng.IntN(4096)))
	case 2:
		message = fmt.Sprintf(`[%d, 1.50, 1e2, 123456789012345678901234567890, "é\u00e9"]`, i)
	default:
		message = fmt.Sprintf(`{"n":%d,"lines":[{"sku":"A-1","quantity":2.0}]}`, i)
	}
	return message, message
}

// poison returns the body of a message that Scout must reject.
func poison(rng *rand.Rand, i int) string {
	unacceptable := []string{
		`{"n":%d,"total":1e999}`,
		`{"n":%d,"n":0}`,
		`{"n":%d,"name":"\ud800"}`,
		strings.Repeat("[", 100) + "%d" + strings.Repeat("]", 100),
	}
	switch kind := rng.IntN(4 + len(unacceptable)); kind {
	case 0:
		return fmt.Sprintf("raw text %d", i)
	case 1:
		return fmt.Sprintf(`{"raw":%d}`, i)
	case 2:
		return envelope("orders", fmt.Sprint("cut ", i))[:200]
	case 3:
		return envelope("unheard-of", fmt.Sprint(i))
	default:
		return envelope("orders", fmt.Sprintf(unacceptable[kind-4], i))
	}
}

// envelope returns a notification as SNS delivers it to a queue. Different
// messages have different ids.
func envelope(topic, message string) string {
	text, err := json.MarshalIndent(struct {
		Type, MessageId, TopicArn, Message, Timestamp, SignatureVersion, Signature string
	}{
		"Notification", fmt.Sprintf("id of %.100s", message), "arn:aws:sns:us-east-1:123456789012:" + topic, message,
		"2026-01-02T03:04:05.678Z", "1", "none",
	}, "", "  ")
	if err != nil {
		panic(err) // these are strings
	}
	return string(text)
}
