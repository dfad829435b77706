package devpage

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"scout/config"
	"scout/handler"
	"scout/internal/devstack"
	"scout/internal/printable"
	"scout/internal/uuid"
)

//go:embed assets
var assets embed.FS

const (
	maxRequest = 8 << 20 // bytes: a message of 1 MiB, with room for the worst case of JSON escaping
	maxStreams = 32
)

// A Page serves the page and its API under /_scout/. Make one with New. It is safe
// for concurrent use.
type Page struct {
	server   *devstack.Server
	config   func() *config.Config // the current one
	source   string                // where the configuration comes from
	mux      *http.ServeMux
	messages *messages
	run      string // identifies this process; sequence numbers are valid only within a run
	streams  atomic.Int32
}

// New returns a Page of a stack whose configuration comes from source.
func New(server *devstack.Server, current func() *config.Config, source string) *Page {
	p := &Page{server: server, config: current, source: source, mux: http.NewServeMux(), messages: newMessages(), run: uuid.New()}
	static, _ := fs.Sub(assets, "assets") // fails only for an invalid name
	files := http.FileServerFS(static)
	p.mux.Handle("GET /{$}", files)
	p.mux.Handle("GET /_scout/assets/", http.StripPrefix("/_scout/assets", files))
	p.mux.HandleFunc("GET /_scout/stream", p.serveStream)
	p.mux.HandleFunc("GET /_scout/samples", p.serveSamples)
	p.mux.HandleFunc("GET /_scout/sidekiq", p.serveSidekiq)
	p.mux.HandleFunc("GET /_scout/messages/{id}", p.serveMessage)
	p.mux.HandleFunc("POST /_scout/messages/{id}/replay", p.serveReplay)
	p.mux.HandleFunc("POST /_scout/publish", p.servePublish)
	return p
}

// Observe adds the messages of a batch to the list.
func (p *Page) Observe(stats handler.Stats) {
	now := time.Now()
	for i := range stats.Results {
		p.messages.add(newMessage(&stats.Results[i], now))
	}
}

// DeadLetter notes that a message has moved to its dead-letter queue.
func (p *Page) DeadLetter(d devstack.DeadLetter) {
	p.messages.change(messageKey(d.Queue, d.MessageID), func(m *message) {
		m.State = stateDeadLetter
		m.Detail = fmt.Sprintf("moved to the dead-letter queue %s after %d receives; %s", d.DeadLetterQueue, d.Receives, m.Detail)
	})
}

// Serves reports whether a request is for the page. All others are for SNS and SQS.
func Serves(r *http.Request) bool {
	isPage := r.Method == http.MethodGet || r.Method == http.MethodHead
	return isPage && r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/_scout/")
}

// policy allows the page to load and call only this server.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// ServeHTTP serves a request for which Serves is true. Its caller must have checked
// Host and origin; see devstack.LocalOnly.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default: // another site may link to the page, and must not read anything
		if r.URL.Path != "/" {
			http.Error(w, "requests from other sites are not allowed", http.StatusForbidden)
			return
		}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	p.mux.ServeHTTP(w, r)
}

// readJSON decodes the body of a request into in. If it cannot, it responds and
// reports false.
func readJSON(w http.ResponseWriter, r *http.Request, in any) bool {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		http.Error(w, "the Content-Type must be application/json", http.StatusUnsupportedMediaType)
		return false
	}
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		writeError(w, status, fmt.Errorf("reading the request: %w", err))
		return false
	}
	return true
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // fails only if the client has disconnected
}

func writeError(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": printable.Text(err.Error(), 4*maxText)})
}
