// Package events holds sample events: Lambda events with messages of SNS (with
// an envelope and raw), EventBridge and S3, and scout.yml, a configuration that
// they fit, except those of poison.json. Use them with
// scout explain, scout dev --demo, and sam local invoke.
package events

import "embed"

//go:generate go run scout/internal/cmd/samples

// Files are the events and the configuration.
//
//go:embed *.json scout.yml
var Files embed.FS
