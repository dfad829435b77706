// Package monitor shows operators and their tools over HTTP what a Scout is doing. Start at
// [Monitor].
package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Monitor serves
//
//	/metrics  the metrics, in Prometheus's text format
//	/healthz  200 while the process responds
//	/readyz   200 if messages become jobs now, else 503 and the reasons
//	/status   the Status, in JSON
type Monitor struct {
	status   func() Status
	registry *prometheus.Registry
	metrics  *metrics
}

// New returns a Monitor that shows what status returns.
func New(status func() Status) *Monitor {
	m := &Monitor{status: status}
	m.registry = newRegistry(m)
	m.metrics = newMetrics(m.registry)
	return m
}

// Gatherer returns the metrics.
func (m *Monitor) Gatherer() prometheus.Gatherer { return m.registry }

// Serve serves at the listener, which it closes, until ctx ends.
func (m *Monitor) Serve(ctx context.Context, listener net.Listener) {
	server := &http.Server{Handler: m.handler(), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(listener) // returns only after Close
}

func (m *Monitor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", m.ready)
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(m.status()) // fails only if the client has gone
	})
	return mux
}

func (m *Monitor) ready(w http.ResponseWriter, _ *http.Request) {
	status := m.status()
	if reasons := status.unready(); len(reasons) > 0 {
		http.Error(w, strings.Join(reasons, "\n"), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ready")
}
