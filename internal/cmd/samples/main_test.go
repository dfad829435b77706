package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestCommittedEvents checks that the files in events are those that the
// command writes.
func TestCommittedEvents(t *testing.T) {
	const dir = "../../../events/"
	samples := files()
	for name, messages := range samples {
		want, err := event(t.Context(), name, messages)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile(dir + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what this command writes: run go generate ./events", name)
		}
	}
	committed, err := filepath.Glob(dir + "*.json")
	if err != nil || len(committed) != len(samples) {
		t.Errorf("events has %d files (%v), want %d", len(committed), err, len(samples))
	}
}
