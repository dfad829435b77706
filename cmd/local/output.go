package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"scout/config"
	"scout/internal/printable"
)

// addOutputFlag adds --output with the given formats, of which the first is the
// default.
func addOutputFlag(cmd *cobra.Command, format *string, formats ...string) {
	*format = formats[0]
	list := strings.Join(formats[:len(formats)-1], ", ") + " or " + formats[len(formats)-1]
	cmd.Flags().Var(&outputFormat{format, formats, list}, "output", "print the result as `FORMAT`: "+list)
}

// An outputFormat is the value of --output.
type outputFormat struct {
	format  *string
	formats []string
	list    string // of the formats, as text
}

func (o *outputFormat) String() string { return *o.format }
func (o *outputFormat) Type() string   { return "FORMAT" }

func (o *outputFormat) Set(text string) error {
	if !slices.Contains(o.formats, text) {
		return fmt.Errorf("must be %s", o.list)
	}
	*o.format = text
	return nil
}

// warnOfMissingManifest writes a warning if the manifest was not read. Only scout check
// prints the other warnings, which do not change the jobs.
func warnOfMissingManifest(w io.Writer, c *config.Config) {
	for _, warning := range c.Warnings {
		if warning.Key == "workers" {
			fmt.Fprintf(w, "scout: warning: %v\n", warning)
		}
	}
}

// writeJSON writes v as indented JSON. Numbers keep their digits, and characters that
// control a terminal are escaped.
func writeJSON(w io.Writer, v any) error {
	var compact, indented bytes.Buffer
	encoder := json.NewEncoder(&compact)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return err
	}
	for line := range strings.Lines(indented.String()) {
		if _, err := fmt.Fprintln(w, printable.Text(strings.TrimSuffix(line, "\n"), 0)); err != nil {
			return err
		}
	}
	return nil
}
