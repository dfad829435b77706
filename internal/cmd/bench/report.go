package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// figures are the result of a measurement. NaN means unknown.
type figures struct {
	rate           float64 // messages per second
	cpu            float64 // µs of processor time per message
	core           float64 // % of the processor used
	mallocs, bytes float64 // allocations and bytes allocated per message
	rss, peakRSS   float64 // MB
	receiving      float64 // receives in flight, on average
	goroutines     float64
	files          float64 // open descriptors
}

// A column shows one of the figures in a report.
type column struct {
	title    string
	decimals int
	of       func(f figures) float64
}

// A report is a table with a line for each measurement.
type report struct {
	out       io.Writer
	columns   []column
	nameWidth int
	measured  map[string][]figures // by contender
}

func newReport(out io.Writer, columns []column, contenders []contender) *report {
	r := &report{out: out, columns: columns, nameWidth: len("first"), measured: map[string][]figures{}}
	for _, c := range contenders {
		r.nameWidth = max(r.nameWidth, len(c.name))
	}
	fmt.Fprint(out, strings.Repeat(" ", r.nameWidth))
	for _, c := range columns {
		fmt.Fprint(out, "  ", c.title)
	}
	fmt.Fprintln(out)
	return r
}

func (r *report) add(name string, f figures) {
	r.measured[name] = append(r.measured[name], f)
	r.line(name, func(c column) float64 { return c.of(f) })
}

func (r *report) line(name string, value func(column) float64) {
	fmt.Fprintf(r.out, "%-*s", r.nameWidth, name)
	for _, c := range r.columns {
		text := "-"
		if v := value(c); !math.IsNaN(v) {
			text = strconv.FormatFloat(v, 'f', c.decimals, 64)
		}
		fmt.Fprintf(r.out, "  %*s", len([]rune(c.title)), text)
	}
	fmt.Fprintln(r.out)
}

// medians ends the report with each column's median, and with the CPU time of
// the first contender compared to the others.
func (r *report) medians(contenders []contender) {
	fmt.Fprintln(r.out, "medians")
	median := func(name string, of func(figures) float64) float64 {
		values := r.values(name, of)
		slices.Sort(values)
		return values[len(values)/2]
	}
	for _, contender := range contenders {
		r.line(contender.name, func(c column) float64 { return median(contender.name, c.of) })
	}
	cpu := func(name string) float64 { return median(name, func(f figures) float64 { return f.cpu }) }
	first := contenders[0].name
	for _, other := range contenders[1:] {
		fmt.Fprintf(r.out, "%s needs %.2f times the CPU of %s\n", first, cpu(first)/cpu(other.name), other.name)
	}
}

// course ends the report with how the figures changed over time: the first,
// last, lowest and highest of each.
func (r *report) course(name string) {
	for _, summary := range []struct {
		name string
		of   func([]float64) float64
	}{
		{"first", func(v []float64) float64 { return v[0] }},
		{"last", func(v []float64) float64 { return v[len(v)-1] }},
		{"min", slices.Min[[]float64]},
		{"max", slices.Max[[]float64]},
	} {
		r.line(summary.name, func(c column) float64 { return summary.of(r.values(name, c.of)) })
	}
}

// values returns the values of a column in the order of the measurements.
func (r *report) values(name string, of func(figures) float64) []float64 {
	values := make([]float64, len(r.measured[name]))
	for i, f := range r.measured[name] {
		values[i] = of(f)
	}
	return values
}
