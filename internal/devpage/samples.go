package devpage

import (
	"fmt"
	"net/http"

	lambdaevents "github.com/aws/aws-lambda-go/events"

	"scout/events"
	"scout/handler"
)

// A sample is a message of a sample event, ready to be published.
type sample struct {
	Name  string `json:"name"`
	Draft draft  `json:"draft"` // to a topic by name, or to any queue
}

// maxSamples is the maximum number of messages from one sample event. Further messages
// are of the same kind.
const maxSamples = 12

func (p *Page) serveSamples(w http.ResponseWriter, _ *http.Request) {
	samples, err := readSamples()
	if err != nil {
		writeError(w, http.StatusInternalServerError, err)
		return
	}
	writeJSON(w, samples)
}

func readSamples() (samples []sample, err error) {
	batches, err := events.Batches()
	for _, batch := range batches {
		if batch.Name == "hundred" {
			continue
		}
		for i := range batch.Messages[:min(len(batch.Messages), maxSamples)] {
			samples = append(samples, newSample(batch.Name, i+1, &batch.Messages[i]))
		}
	}
	return samples, err
}

func newSample(file string, n int, m *lambdaevents.SQSMessage) sample {
	d := newDraft(&message{body: m.Body, attributes: AttributesOf(m), group: m.Attributes["MessageGroupId"]})
	d.Topic = handler.TopicName(d.Topic)
	name := fmt.Sprintf("%s %d", file, n)
	if d.Topic != "" {
		name += ": " + d.Topic
	}
	return sample{name, d}
}
