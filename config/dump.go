package config

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// String returns the whole configuration, including defaults, as YAML that loads
// again, except for its secrets: of the Redis URL it shows only the address.
func (c Config) String() string {
	var text strings.Builder
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(c); err != nil {
		return "configuration cannot be shown: " + err.Error()
	}
	return text.String()
}

// MarshalYAML returns c in the shape of the file, without its secrets.
func (c Config) MarshalYAML() (any, error) { return c.section(false).show(false), nil }
