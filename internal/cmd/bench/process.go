package main

import (
	"bufio"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// A process is a contender that runs alone on processor 0.
type process struct {
	cmd         *exec.Cmd
	metricsAddr string // where it serves Prometheus metrics; empty if it does not
}

// start starts a process that trusts the certificate in a file, unless that is "".
func start(args []string, trusted, metricsAddr string) (*process, error) {
	cmd := exec.Command("taskset", append([]string{"--cpu-list", "0"}, args...)...)
	cmd.Stderr = os.Stderr
	if trusted != "" {
		cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+trusted, "AWS_CA_BUNDLE="+trusted) // the second is for SQS
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{cmd, metricsAddr}, nil
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// A usage is what a process uses now, or has used since its start.
type usage struct {
	cpu     time.Duration
	rss     float64 // bytes
	peakRSS float64 // since the start; VmHWM
	files   float64 // open descriptors

	// NaN if the process serves no metrics.
	goroutines, mallocs, mallocBytes float64
}

func (p *process) usage() (u usage, err error) {
	if u.cpu, err = p.cpu(); err != nil {
		return u, err
	}
	if u.rss, u.peakRSS, err = p.memory(); err != nil {
		return u, err
	}
	files, err := os.ReadDir(p.proc("fd"))
	if err != nil {
		return u, err
	}
	u.files = float64(len(files))
	metrics, err := p.metrics()
	metric := func(name string) float64 {
		if v, ok := metrics[name]; ok {
			return v
		}
		return math.NaN()
	}
	u.goroutines, u.mallocs, u.mallocBytes = metric("go_goroutines"), metric("go_memstats_mallocs_total"), metric("go_memstats_alloc_bytes_total")
	return u, err
}

// proc returns the path of a file of the process in /proc; see proc(5).
func (p *process) proc(name string) string {
	return fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name)
}

func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(p.proc("stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const ticksPerSecond = 100 // sysconf(_SC_CLK_TCK) on Linux
	return time.Duration(user+system) * time.Second / ticksPerSecond, nil
}

// memory returns the resident memory in bytes, now and at its peak.
func (p *process) memory() (rss, peak float64, err error) {
	status, err := os.ReadFile(p.proc("status"))
	for line := range strings.Lines(string(status)) {
		fields := append(strings.Fields(line), "", "") // such as VmRSS: 1234 kB
		kB, _ := strconv.ParseFloat(fields[1], 64)
		switch fields[0] {
		case "VmRSS:":
			rss = kB * 1024
		case "VmHWM:":
			peak = kB * 1024
		}
	}
	return rss, peak, err
}

// metrics returns the metrics without labels.
func (p *process) metrics() (map[string]float64, error) {
	if p.metricsAddr == "" {
		return nil, nil
	}
	response, err := http.Get("http://" + p.metricsAddr + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	values := map[string]float64{}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			values[name] = value
		}
	}
	return values, lines.Err()
}
