// Package monitor shows operators and their tools what Scout is doing, over HTTP. Start at
// [Monitor].
package monitor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"scout/internal/logging"
)

// A Monitor serves
//
//	/metrics  the metrics, in Prometheus's text format
//	/healthz  200 while all polling loops run, else 503 and which of them hang
//	/readyz   200 if messages become jobs now, else 503 and the reasons
//	/status   the Status, in JSON
type Monitor struct {
	Log *slog.Logger // of the HTTP server's errors; nil: slog.Default()

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

const (
	maxConns    = 200              // more clients wait until one of these is closed
	headTimeout = 5 * time.Second  // to read a request's header
	timeout     = 10 * time.Second // to read a request, and to write a response
	idleTimeout = 30 * time.Second // between two requests of a connection
)

// Serve serves on the listener until ctx ends, and closes it. Limits on the number of connections and
// on their time keep slow or idle clients from holding them forever.
func (m *Monitor) Serve(ctx context.Context, listener net.Listener) {
	server := &http.Server{
		Handler:           m.handler(),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          logging.NewLibraryLogger(cmp.Or(m.Log, slog.Default())),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(netutil.LimitListener(listener, maxConns)) // returns only after Close
}

func (m *Monitor) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", m.answer("ok", (*Status).stalled))
	mux.HandleFunc("GET /readyz", m.answer("ready", (*Status).unready))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(m.status()) // fails only if the client has gone
	})
	return mux
}

// answer answers 200 and a word, or 503 and the problems if there are any.
func (m *Monitor) answer(word string, problems func(*Status) []string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status := m.status()
		if reasons := problems(&status); len(reasons) > 0 {
			http.Error(w, strings.Join(reasons, "\n"), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, word)
	}
}
