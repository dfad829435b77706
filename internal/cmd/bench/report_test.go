package main

import (
	"math"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	var out strings.Builder
	contenders := []contender{{name: "scout"}, {name: "bare loop"}}
	r := newReport(&out, []column{
		{"µs CPU/message", 1, func(f figures) float64 { return f.cpu }},
		{"goroutines", 0, func(f figures) float64 { return f.goroutines }},
	}, contenders)
	for _, cpu := range []float64{30, 10, 20} {
		r.add("scout", figures{cpu: cpu, goroutines: math.NaN()})
		r.add("bare loop", figures{cpu: cpu / 2, goroutines: 7})
	}
	r.medians(contenders)
	r.course("scout")
	want := `
           µs CPU/message  goroutines
scout                30.0           -
bare loop            15.0           7
scout                10.0           -
bare loop             5.0           7
scout                20.0           -
bare loop            10.0           7
medians
scout                20.0           -
bare loop            10.0           7
scout needs 2.00 times the CPU of bare loop
first                30.0           -
last                 20.0           -
min                  10.0           -
max                  30.0           -
`
	if got := "\n" + out.String(); got != want {
		t.Errorf("report = %s", got)
	}
}
