// Package events holds sample events: Lambda events with messages of SNS (with
// an envelope and raw), EventBridge and S3, and scout.yml, a configuration that
// they fit, except those of poison.json. Use them with
// scout explain, scout dev --demo, and sam local invoke.
package events

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/aws/aws-lambda-go/events"
)

//go:generate go run scout/internal/cmd/samples

// Files are the events and the configuration.
//
//go:embed *.json scout.yml
var Files embed.FS

// A Batch is one of the events.
type Batch struct {
	Name     string // of its file, without .json
	Messages []events.SQSMessage
}

// Batches returns the events, sorted by name.
func Batches() (batches []Batch, err error) {
	files, err := Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if path.Ext(file.Name()) != ".json" {
			continue
		}
		text, err := Files.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		var event events.SQSEvent
		if err := json.Unmarshal(text, &event); err != nil {
			return nil, fmt.Errorf("events/%s: %w", file.Name(), err)
		}
		batches = append(batches, Batch{strings.TrimSuffix(file.Name(), ".json"), event.Records})
	}
	return batches, nil
}
