package env

import (
	"os"
	"path/filepath"
	"testing"
)

// Prometheus starts a Prometheus server with a configuration in YAML and returns
// its URL. The server is stopped when the test ends.
func Prometheus(t testing.TB, config string) string {
	t.Helper()
	program := prometheusProgram(t, "prometheus")
	dir, addr := t.TempDir(), FreeAddr(t)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	serve(t, "http://"+addr+"/-/ready", program,
		"--config.file", file, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", addr)
	return "http://" + addr
}

// Promtool returns the path of promtool.
func Promtool(t testing.TB) string {
	t.Helper()
	return prometheusProgram(t, "promtool")
}

// prometheusProgram returns the path of a Prometheus program: where make deps
// unpacks Debian's package or, without that, the installed one.
func prometheusProgram(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(projectRoot(t), ".deps", "prometheus", "usr", "bin", name)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	return Program(t, name, "Debian's prometheus, into .deps/prometheus, or Homebrew's")
}
