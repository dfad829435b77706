//go:build integration

package eventsource

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Messages are what is sent to a queue, and what has to come of it.
type messages struct {
	bodies []body   // in the order in which they are sent
	good   []string // the argument of each job
	poison []string // the body of each message for the dead-letter queue
}

type body struct{ text, group string }

// newMessages returns n different messages. About 5 % are poison, and as many
// are sent a second time.
func newMessages(rng *rand.Rand, n int) (m messages) {
	for i := range n {
		var text string
		if rng.IntN(20) == 0 {
			text = poison(rng, i)
			m.poison = append(m.poison, text)
		} else {
			message, arg := good(rng, i)
			text = envelope("orders", message)
			m.good = append(m.good, arg)
			if rng.IntN(20) == 0 {
				m.bodies = append(m.bodies, body{text: text})
			}
		}
		m.bodies = append(m.bodies, body{text: text})
	}
	// A copy comes at any time.
	rng.Shuffle(len(m.bodies), func(i, j int) { m.bodies[i], m.bodies[j] = m.bodies[j], m.bodies[i] })
	return m
}

// good returns a message that Scout has to accept, and its job's argument.
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

// poison returns the body of a message that Scout has to refuse.
func poison(rng *rand.Rand, i int) string {
	refused := []string{
		`{"n":%d,"total":1e999}`,
		`{"n":%d,"n":0}`,
		`{"n":%d,"name":"\ud800"}`,
		strings.Repeat("[", 100) + "%d" + strings.Repeat("]", 100),
	}
	switch kind := rng.IntN(4 + len(refused)); kind {
	case 0:
		return fmt.Sprintf("raw text %d", i)
	case 1:
		return fmt.Sprintf(`{"raw":%d}`, i)
	case 2:
		return envelope("orders", fmt.Sprint("cut ", i))[:200]
	case 3:
		return envelope("unheard-of", fmt.Sprint(i))
	default:
		return envelope("orders", fmt.Sprintf(refused[kind-4], i))
	}
}

// envelope returns a notification as SNS puts it into a queue. The messages
// of a test differ, and so do their ids.
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
