package env

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Moto starts a moto server, which simulates AWS at one URL, and returns that URL.
// The server is stopped when the test ends.
func Moto(t testing.TB) string {
	t.Helper()
	program := venv(t, "moto_server")
	addr := FreeAddr(t)
	host, port, _ := net.SplitHostPort(addr)
	serve(t, "http://"+addr+"/moto-api/", program, "-H", host, "-p", port)
	return "http://" + addr
}

// AWSCLI returns the path of the AWS CLI.
func AWSCLI(t testing.TB) string {
	t.Helper()
	return venv(t, "aws")
}

// venv returns the path of a program in the Python environment of the project.
func venv(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(projectRoot(t), ".deps", "venv", "bin", name)
	if _, err := os.Stat(path); err != nil {
		need(t, name, "from PyPI, into .deps/venv")
	}
	return path
}

// projectRoot returns the directory of go.mod, which is the test's or one above it.
func projectRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("the test does not run inside a Go module")
		}
		dir = filepath.Dir(dir)
	}
}

// answers reports whether a GET of the URL succeeds. It leaves no connection open.
func answers(url string) bool {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}
