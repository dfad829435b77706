package logging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// An output is what a Writer writes to. It can block and fail.
type output struct {
	turn  chan struct{} // has a value unless somebody uses the output, or it blocks
	err   error
	lines []string
}

func newOutput() *output {
	o := &output{turn: make(chan struct{}, 1)}
	o.unblock()
	return o
}

func (o *output) block()   { <-o.turn }
func (o *output) unblock() { o.turn <- struct{}{} }

func (o *output) Write(p []byte) (int, error) {
	o.block()
	defer o.unblock()
	if o.err != nil {
		return 0, o.err
	}
	o.lines = append(o.lines, string(p))
	return len(p), nil
}

// newWriter returns a Writer, and a function that returns what it has written
// since the last call.
func newWriter(t *testing.T) (w *Writer, o *output, written func() []string) {
	o = newOutput()
	w = &Writer{Out: o, Report: slog.NewTextHandler(o, &slog.HandlerOptions{ReplaceAttr: withoutTime})}
	t.Cleanup(func() { _ = w.Close(time.Minute) })
	return w, o, func() []string {
		t.Helper()
		synctest.Wait()
		o.block()
		defer o.unblock()
		lines := o.lines
		o.lines = nil
		return lines
	}
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

func TestWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, written := newWriter(t)
		var want []string
		for i := range 1000 {
			line := fmt.Sprintf("line %d\n", i)
			want = append(want, line)
			if n, err := io.WriteString(w, line); n != len(line) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		if got := written(); !equal(got, want) {
			t.Errorf("wrote %d lines, want 1,000, each whole and in order", len(got))
		}
		if n := w.Dropped(); n != 0 {
			t.Errorf("%d lines dropped", n)
		}
	})
}

// While the output blocks, lines are buffered up to a bound and dropped after
// that. One line says so when the output is written to again.
func TestOutputBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, written := newWriter(t)
		o.block()
		line := bytes.Repeat([]byte{'x'}, 1<<10)
		const lines = 3000 // about 3 MiB
		for range lines {
			_, _ = w.Write(line) // deadlocks the test if it blocks
		}
		dropped := w.Dropped()
		if dropped != lines-maxBuffered>>10 {
			t.Errorf("%d lines dropped, want all but 1 MiB", dropped)
		}
		o.unblock()
		got := written()
		want := fmt.Sprintf("level=WARN msg=\"log lines dropped\" count=%d\n", dropped)
		notices := 0
		for _, line := range got {
			if strings.HasPrefix(line, "level") {
				notices++
				if line != want {
					t.Errorf("the notice is %q, want %q", line, want)
				}
			}
		}
		if len(got) != lines-int(dropped)+1 || notices != 1 {
			t.Errorf("wrote %d lines with %d notices", len(got), notices)
		}
		_, _ = w.Write([]byte("later\n"))
		if got := written(); !equal(got, []string{"later\n"}) {
			t.Errorf("later, it wrote %q", got)
		}
	})
}

func TestOutputFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, written := newWriter(t)
		o.err = errors.New("broken pipe")
		for range 3 {
			_, _ = w.Write([]byte("lost\n"))
			written()
		}
		o.block()
		o.err = nil
		o.unblock()
		_, _ = w.Write([]byte("kept\n"))
		if got := written(); !equal(got, []string{"kept\n", "level=WARN msg=\"log lines dropped\" count=3\n"}) || w.Dropped() != 3 {
			t.Errorf("wrote %q, %d dropped", got, w.Dropped())
		}
	})
}

func TestLongLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, o, written := newWriter(t)
		long := strings.Repeat("x", maxBuffered+1)
		_, _ = io.WriteString(w, long)
		if got := written(); !equal(got, []string{long}) {
			t.Errorf("a long line alone: wrote %d lines", len(got))
		}
		o.block()
		_, _ = io.WriteString(w, "short\n")
		_, _ = io.WriteString(w, long)
		o.unblock()
		if got := written(); len(got) != 2 || got[0] != "short\n" || w.Dropped() != 1 {
			t.Errorf("a long line after a short one: wrote %d lines, dropped %d", len(got), w.Dropped())
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, written := newWriter(t)
		_, _ = io.WriteString(w, "before\n")
		if err := w.Close(time.Second); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, "after\n")
		if got := written(); !equal(got, []string{"before\n"}) || w.Dropped() != 1 {
			t.Errorf("wrote %q, dropped %d", got, w.Dropped())
		}

		w, o, _ := newWriter(t)
		o.block()
		defer o.unblock()
		_, _ = io.WriteString(w, "blocked\n")
		start := time.Now()
		if err := w.Close(time.Second); err == nil || err.Error() != "closing the log: 8 bytes not written within 1s" || time.Since(start) != time.Second {
			t.Errorf("Close = %v after %v", err, time.Since(start))
		}
		if err := new(Writer).Close(time.Second); err != nil {
			t.Errorf("Close of an unused Writer = %v", err)
		}
	})
}

func TestWriterDoesNotAllocate(t *testing.T) {
	w := &Writer{Out: io.Discard}
	defer w.Close(time.Second)
	line := bytes.Repeat([]byte{'x'}, 200)
	allocations := testing.AllocsPerRun(10_000, func() { _, _ = w.Write(line) })
	if allocations >= 1 {
		t.Errorf("%v allocations for a line", allocations)
	}
}

// TestPipe has a process write to a real pipe that nobody reads, and then close
// it: the process goes on, and ends in time.
func TestPipe(t *testing.T) {
	if os.Getenv("SCOUT_TEST_PIPE") != "" {
		signal.Ignore(syscall.SIGPIPE)
		w := &Writer{Out: os.Stderr}
		for range 100_000 {
			_, _ = w.Write([]byte("a line that is long enough to fill up the pipe after some of them\n"))
		}
		fmt.Printf("dropped: %t\n", w.Dropped() > 0)
		_, _ = os.Stdin.Read(make([]byte, 1)) // until the pipe is closed
		_ = w.Close(time.Minute)
		os.Exit(0)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestPipe$")
	cmd.Env = append(os.Environ(), "SCOUT_TEST_PIPE=1", "GOCOVERDIR="+t.TempDir())
	cmd.Stderr = writer
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	told := make([]byte, 64)
	n, err := stdout.Read(told)
	if string(told[:n]) != "dropped: true\n" {
		t.Errorf("with a full pipe, the process wrote %q (%v)", told[:n], err)
	}
	reader.Close()
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("with a closed pipe: %v", err)
	}
}

func equal(got, want []string) bool {
	return fmt.Sprint(got) == fmt.Sprint(want) && len(got) == len(want)
}
