package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"scout/handler"
)

// emf writes metrics in CloudWatch's embedded metric format: log lines that
// CloudWatch turns into metrics. See "Specification: Embedded metric format" in
// the Amazon CloudWatch User Guide.
type emf struct {
	w        io.Writer
	function string
	level    string // the log's minimum, so that Lambda does not drop the lines; "" means INFO
}

type emfMetric struct{ Name, Unit string }

type emfDirective struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []emfMetric
}

// write writes a batch's line. Dashboards and alarms rely on the names of the
// metrics.
func (e *emf) write(ctx context.Context, s handler.Stats) {
	line := map[string]any{"FunctionName": e.function, "level": "INFO"}
	if e.level != "" {
		line["level"] = e.level
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		line["requestId"] = lc.AwsRequestID
	}
	var metrics []emfMetric
	add := func(name, unit string, value any) {
		metrics = append(metrics, emfMetric{name, unit})
		line[name] = value
	}
	add("Received", "Count", s.Received)
	add("Enqueued", "Count", s.Enqueued)
	add("Duplicate", "Count", s.Duplicate)
	add("Ignored", "Count", s.Ignored)
	add("Dead", "Count", s.Dead)
	add("Failed", "Count", s.Received-s.Enqueued-s.Duplicate-s.Ignored-s.Dead)
	for _, reason := range slices.Sorted(maps.Keys(s.Failed)) {
		add("Failed"+camel(string(reason)), "Count", s.Failed[reason])
	}
	if s.Push > 0 {
		add("PushLatency", "Milliseconds", float64(s.Push)/float64(time.Millisecond))
	}
	if s.Age > 0 {
		add("MessageAge", "Milliseconds", s.Age.Milliseconds())
	}
	line["_aws"] = map[string]any{
		"Timestamp":         time.Now().UnixMilli(),
		"CloudWatchMetrics": []emfDirective{{"Scout", [][]string{{"FunctionName"}}, metrics}},
	}
	// Encode writes the line at once, so that lines of several invocations do not
	// mix. A failed write must not fail the batch.
	_ = json.NewEncoder(e.w).Encode(line)
}

// camel converts snake_case to CamelCase.
func camel(s string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(s, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
