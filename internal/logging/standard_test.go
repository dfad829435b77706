package logging

import (
	"bytes"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// A syncBuffer is a bytes.Buffer for several goroutines.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// take returns what was written since the last call.
func (b *syncBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.Reset()
	return b.String()
}

// A server sends more than its Content-Length says. net/http prints the rest.
func TestRedirect(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokthe \"secret\" body\n")
		_, _ = conn.Read(make([]byte, 1)) // until the client closes
		conn.Close()
	}()
	var out syncBuffer
	flags, output := log.Flags(), log.Writer()
	defer func() { log.SetFlags(flags); log.SetOutput(output) }()
	Redirect(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime})))

	response, err := (&http.Client{Transport: &http.Transport{}}).Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	got := ""
	for deadline := time.Now().Add(30 * time.Second); got == "" && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		got = out.take()
	}
	if !strings.HasPrefix(got, `level=WARN msg="library message" text="Unsolicited response received on idle HTTP channel starting with \"…\"; err=`) {
		t.Errorf("log = %s", got)
	}
	if strings.Contains(got, "secret") || strings.Contains(got, "body") {
		t.Errorf("the log has the body: %s", got)
	}
}

func TestLibraryLogger(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"plain", "http: TLS handshake error from 127.0.0.1:1: EOF", `text="http: TLS handshake error from 127.0.0.1:1: EOF"`},
		{"quoted twice", `a "b" c "d\"e" f`, `text="a \"…\" c \"…\" f"`},
		{"unclosed quote", `a "b c`, `text="a \"…\""`},
		{"control characters", "a\x1b[2J", `text=a\u001b[2J`},
		{"several lines", "a\nb\n", `text=a\u000ab`},
		{"long", strings.Repeat("x", 1000), "text=" + strings.Repeat("x", maxLibraryText) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			NewLibraryLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: withoutTime}))).Print(c.text)
			if got, want := out.String(), `level=WARN msg="library message" `+c.want+"\n"; got != want {
				t.Errorf("log = %s, want %s", got, want)
			}
		})
	}
}
