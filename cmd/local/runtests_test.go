package main

import (
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSampleConfiguration runs the tests of the sample events.
func TestSampleConfiguration(t *testing.T) {
	var stdout, stderr strings.Builder
	if code := run(t.Context(), []string{"test", "-c", "../../events/scout.yml"}, nil, &stdout, &stderr); code != exitOK {
		t.Errorf("exit code %d\n%s%s", code, stdout.String(), stderr.String())
	}
}

// TestJUnit decodes the output for JUnit. It includes text that XML cannot contain or
// must escape.
func TestJUnit(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	config := write("scout.yml", "queue: {plain: W}\n")
	write("scout_test.yml", `- {name: "<a> & 'b' ]]>", body: "\a\u0001]]><x>", jobs: [{args: ["\x00"]}]}`+"\n- {body: x, jobs: [{}]}\n")
	var stdout strings.Builder
	if code := run(t.Context(), []string{"test", "-c", config, "--output", "junit"}, nil, &stdout, io.Discard); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	var got struct {
		Suites []junitSuite `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(stdout.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 1 || got.Suites[0].Tests != 2 || got.Suites[0].Failures != 1 {
		t.Fatalf("got %+v", got)
	}
	suite := got.Suites[0]
	if suite.Cases[0].Name != "<a> & 'b' ]]>" || suite.Cases[1].Name != "[1] body" || suite.Cases[1].Failure != nil {
		t.Errorf("got %+v", suite.Cases)
	}
	const want = `job 1: args[0]: expected "\u0000", actual "\u0007\u0001]]><x>"`
	if f := suite.Cases[0].Failure; f == nil || f.Message != want || f.Text != want {
		t.Errorf("got %+v", f)
	}
}

// TestColors checks that colors are only for terminals, and that NO_COLOR removes
// them.
func TestColors(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this test needs a pseudo-terminal: " + err.Error())
	}
	defer func() { _ = terminal.Close() }()
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	if got := colorsOf(terminal).red("x"); got != "\x1b[31mx\x1b[0m" {
		t.Errorf("on a terminal: %q", got)
	}
	for name, w := range map[string]io.Writer{"a file": file, "a buffer": &strings.Builder{}} {
		if got := colorsOf(w).red("x"); got != "x" {
			t.Errorf("in %s: %q", name, got)
		}
	}
	t.Setenv("NO_COLOR", "1")
	if got := colorsOf(terminal).green("x"); got != "x" {
		t.Errorf("with NO_COLOR: %q", got)
	}
}
