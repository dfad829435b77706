package config

import (
	"slices"
	"strings"

	"scout/internal/jsonscan"
	"scout/internal/printable"
	"scout/sidekiq"
)

// An Origin is the source of the value of a job's option.
type Origin struct {
	Option string
	Value  string // JSON, or the text of a string
	From   string // "route", "redis.queue", "default" or the manifest: its file, or "workers"
}

// Origins returns the origins of the options of a job that Scout has made, or none if
// there is no manifest. A value that a route repeats from the manifest counts as the
// manifest's.
func (c *Config) Origins(job sidekiq.Job) (origins []Origin) {
	if c.Workers == nil {
		return nil
	}
	class := c.Workers.Classes[job.Class]
	declared := map[string]string{}
	if class.Queue != "" {
		declared["queue"] = string(jsonscan.AppendQuote(nil, class.Queue))
	}
	for _, o := range class.Options {
		declared[o.Key] = string(o.Value)
	}
	for key, value := range jsonscan.Members(job.Payload) {
		o := Origin{Option: string(key), Value: string(value), From: "route"}
		if slices.Contains(reservedOptions, o.Option) && o.Option != "queue" {
			continue
		}
		own, isDeclared := declared[o.Option]
		switch {
		case isDeclared && own == o.Value:
			o.From = c.Workers.name()
		case isDeclared:
		case o.Option == "retry" && o.Value == "true" && declared["retry_for"] == "":
			o.From = "default"
		case o.Option == "queue" && job.Queue == c.Redis.Queue && !class.ActiveJob:
			o.From = "redis.queue"
		}
		if jsonscan.IsString(value) {
			o.Value = string(jsonscan.Unquote(value))
		}
		origins = append(origins, o)
	}
	return origins
}

// DescribeOrigins returns the origins of a job's options in one line, "" if it has
// none.
func DescribeOrigins(origins []Origin) string {
	parts := make([]string, len(origins))
	for i, o := range origins {
		parts[i] = printable.Text(o.Option, maxName) + " " + printable.Text(o.Value, maxName) + " (" + o.From + ")"
	}
	return strings.Join(parts, ", ")
}

// name returns the name of the manifest in messages: its file, or "workers".
func (m *Manifest) name() string {
	if isJSON(m.written) {
		return "workers"
	}
	return m.written
}
