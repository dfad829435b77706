package devpage

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	lambdaevents "github.com/aws/aws-lambda-go/events"

	"scout/events"
	"scout/handler"
)

// A sample is a message of a sample event, ready to be published.
type sample struct {
	Name  string `json:"name"`
	Draft draft  `json:"draft"` // to a topic by name, or to no queue in particular
}

// maxSamples is the maximum number of messages of a sample event. The others are of
// the same kind.
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
	files, err := events.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		name, ok := strings.CutSuffix(file.Name(), ".json")
		if !ok || name == "hundred" {
			continue
		}
		text, err := events.Files.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		var event lambdaevents.SQSEvent
		if err := json.Unmarshal(text, &event); err != nil {
			return nil, fmt.Errorf("events/%s: %w", file.Name(), err)
		}
		for i := range event.Records[:min(len(event.Records), maxSamples)] {
			samples = append(samples, newSample(name, i+1, &event.Records[i]))
		}
	}
	return samples, nil
}

func newSample(file string, n int, m *lambdaevents.SQSMessage) sample {
	d := newDraft(&message{body: m.Body, attributes: attributesOf(m), group: m.Attributes["MessageGroupId"]})
	d.Topic = handler.TopicName(d.Topic)
	name := fmt.Sprintf("%s %d", file, n)
	if d.Topic != "" {
		name += ": " + d.Topic
	}
	return sample{name, d}
}
