package main

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"scout/internal/configtest"
	"scout/internal/printable"
)

// writeTestResults writes a line for each test, the differences of those that failed
// and, if all passed, a summary.
func writeTestResults(w io.Writer, results []configtest.Result, failed int) {
	c := colorsOf(w)
	for _, r := range results {
		title := printable.Text(r.Title(), maxShown)
		if len(r.Differences) == 0 {
			fmt.Fprintf(w, "%s  %s\n", c.green("ok  "), title)
			continue
		}
		source, line, _ := r.Test.Place()
		fmt.Fprintf(w, "%s  %s  (%s:%d)\n", c.red("FAIL"), title, printable.Text(source, 0), line)
		for _, d := range r.Differences {
			fmt.Fprintf(w, "      %s\n        expected  %s\n        actual    %s\n",
				place(r, d), c.green(shown(d, d.Expected)), c.red(shown(d, d.Actual)))
		}
	}
	if failed == 0 {
		fmt.Fprintf(w, "%s passed\n", countTests(len(results)))
	}
}

// place returns the location of a difference.
func place(r configtest.Result, d configtest.Difference) string {
	switch {
	case d.Message > 0 && r.Test.Event == "":
		return "outcome"
	case d.Message > 0:
		return fmt.Sprintf("outcome of message %d", d.Message)
	case d.Key == "":
		return fmt.Sprintf("job %d", d.Job)
	}
	return fmt.Sprintf("job %d: %s", d.Job, printable.Text(d.Key, maxShown))
}

// shown returns one side of a difference: an outcome as text, anything else as JSON.
func shown(d configtest.Difference, value json.RawMessage) string {
	var outcome string
	switch {
	case value == nil:
		return "none"
	case d.Message > 0 && json.Unmarshal(value, &outcome) == nil:
		return printable.Text(outcome, 0)
	}
	return displayJSON(value)
}

// colors reports whether to color texts with the escape sequences of a terminal.
type colors bool

// colorsOf returns the colors for w: those of a terminal unless NO_COLOR is set
// (https://no-color.org).
func colorsOf(w io.Writer) colors {
	return colors(isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too
	return err == nil && !os.SameFile(info, null)
}

func (c colors) red(text string) string   { return c.colored("31", text) }
func (c colors) green(text string) string { return c.colored("32", text) }

func (c colors) colored(code, text string) string {
	if !c {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// A reportedTest is a test in the output of --output json. Its keys are part of
// Scout's interface: new ones may be added, but none is renamed or removed.
type reportedTest struct {
	Name        string                  `json:"name"`
	File        string                  `json:"file"` // or other source of the test, such as SCOUT_CONFIG
	Line        int                     `json:"line"`
	Key         string                  `json:"key"` // in the file
	OK          bool                    `json:"ok"`
	Differences []configtest.Difference `json:"differences"`
}

// testReport returns the results for --output json.
func testReport(results []configtest.Result, failed int) any {
	tests := make([]reportedTest, len(results))
	for i, r := range results {
		t := reportedTest{Name: r.Title(), OK: len(r.Differences) == 0, Differences: []configtest.Difference{}}
		t.File, t.Line, t.Key = r.Test.Place()
		t.Differences = append(t.Differences, r.Differences...)
		tests[i] = t
	}
	return struct {
		OK     bool           `json:"ok"`
		Passed int            `json:"passed"`
		Failed int            `json:"failed"`
		Tests  []reportedTest `json:"tests"`
	}{failed == 0, len(results) - failed, failed, tests}
}

// A junitSuite is a file in JUnit's XML, as CI systems read it
// (https://github.com/testmoapp/junitxml).
type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Class   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	File    string        `xml:"file,attr"`
	Line    int           `xml:"line,attr"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

// writeJUnit writes the results as JUnit's XML, with a suite for each file.
func writeJUnit(w io.Writer, results []configtest.Result) error {
	var out struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	for _, r := range results {
		source, line, key := r.Test.Place()
		source = printable.Text(source, 0)
		i := slices.IndexFunc(out.Suites, func(s junitSuite) bool { return s.Name == source })
		if i < 0 {
			i = len(out.Suites)
			out.Suites = append(out.Suites, junitSuite{Name: source})
		}
		suite := &out.Suites[i]
		suite.Tests++
		c := junitCase{Class: source, Name: printable.Text(r.Title(), maxShown), File: source, Line: line}
		if r.Test.Name == "" {
			c.Name = key + " " + c.Name // names distinguish tests
		}
		if len(r.Differences) > 0 {
			suite.Failures++
			c.Failure = failureOf(r)
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	err := encoder.Encode(out)
	_, newlineErr := io.WriteString(w, "\n")
	return cmp.Or(err, newlineErr)
}

func failureOf(r configtest.Result) *junitFailure {
	var lines []string
	for _, d := range r.Differences {
		lines = append(lines, fmt.Sprintf("%s: expected %s, actual %s", place(r, d), shown(d, d.Expected), shown(d, d.Actual)))
	}
	return &junitFailure{lines[0], strings.Join(lines, "\n")}
}
