package devpage

import (
	"bytes"
	"encoding/json"
	"strings"

	"scout/internal/printable"
)

// Arguments returns the arguments of a job in one line, without brackets around
// them, safe to show. It returns "" if the payload is not a job.
func Arguments(payload []byte) string {
	var job struct {
		Wrapped string            `json:"wrapped"`
		Args    []json.RawMessage `json:"args"`
	}
	if err := json.Unmarshal(payload, &job); err != nil {
		return ""
	}
	if job.Wrapped != "" && len(job.Args) == 1 {
		var activeJob struct {
			Arguments []json.RawMessage `json:"arguments"`
		}
		if json.Unmarshal(job.Args[0], &activeJob) == nil {
			job.Args = activeJob.Arguments
		}
	}
	var shown []string
	for _, arg := range job.Args {
		var b bytes.Buffer
		if json.Compact(&b, arg) == nil {
			shown = append(shown, b.String())
		}
	}
	return printable.Text(strings.Join(shown, ", "), 0)
}

// preview returns the beginning of a job's arguments.
func preview(payload []byte) string { return printable.Text(Arguments(payload), maxPreview) }

// maxPretty is the maximum size of JSON with a line for each value, in bytes.
const maxPretty = 1 << 20

// prettySize returns the approximate size of JSON with a line for each value. With deep
// nesting, it can be many times the length of the text.
func prettySize(text string) int {
	size, depth, quoted := len(text), 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			size += 2 * depth
		case c == ']' || c == '}':
			depth--
			size += 2 * depth
		case c == ',':
			size += 2 * depth
		}
	}
	return size
}

// pretty returns text safe to show. JSON gets a line for each value, unless the result
// would be too long. Numbers keep their digits.
func pretty(text string) string {
	var b bytes.Buffer
	if prettySize(text) <= maxPretty && json.Indent(&b, []byte(text), "", "  ") == nil {
		text = b.String()
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = printable.Text(line, 0)
	}
	return strings.Join(lines, "\n")
}
