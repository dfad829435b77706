//go:build integration

package packaging

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

// TestPromtool checks the alerts with promtool and runs their test cases.
func TestPromtool(t *testing.T) {
	promtool := env.Promtool(t)
	for _, args := range [][]string{
		{"check", "rules", "monitoring/alerts.yml"},
		{"test", "rules", "monitoring/alerts_test.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestPrometheus lets a Prometheus server scrape Scout and runs all queries of the
// dashboard and the alerts.
func TestPrometheus(t *testing.T) {
	server := env.Prometheus(t, fmt.Sprintf(`
global: {scrape_interval: 1s}
scrape_configs: [{job_name: scout, static_configs: [{targets: ["%s"]}]}]
`, startScout(t)))
	chosen := strings.NewReplacer("$__rate_interval", "10s", "$job", ".+", "$instance", ".+", "$queue", ".+")
	legendLabel := regexp.MustCompile(`\{\{(\w+)\}\}`)
	for _, p := range loadDashboard(t).Panels {
		for _, target := range p.Targets {
			if runtime.GOOS != "linux" && strings.Contains(target.Expr, "process_") {
				continue // other systems have fewer of these
			}
			for _, s := range samples(t, server, chosen.Replace(target.Expr)) {
				for _, m := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
					if s.Metric[m[1]] == "" {
						t.Errorf("%s: the legend uses the label %s, which %s lacks", p.Title, m[1], target.Expr)
					}
				}
			}
		}
	}
	for _, a := range loadAlerts(t) {
		if _, err := query(server, a.Expr); err != nil {
			t.Errorf("%s: %v", a.Alert, err)
		}
	}
}

// startScout starts a scout process that keeps receiving messages, and returns the
// address of its metrics.
func startScout(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "scout")
	if out, err := exec.Command("go", "build", "-o", binary, "scout/cmd/local").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	s := newStack(t)
	config, addr := filepath.Join(t.TempDir(), "scout.yml"), env.FreeAddr(t)
	fatal(t, os.WriteFile(config, []byte(s.config), 0o600))
	cmd := exec.Command(binary, "run", "--config", config, "--listen", addr)
	cmd.Stderr = t.Output()
	fatal(t, cmd.Start())
	published := make(chan struct{})
	go func() {
		defer close(published)
		for t.Context().Err() == nil {
			_, _ = s.Publish(s.topic, devstack.Notification{Message: "{}"})
			time.Sleep(50 * time.Millisecond)
		}
	}()
	t.Cleanup(func() {
		<-published
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr
}

// A sample is an element of a query's result.
type sample struct {
	Metric map[string]string
	Value  [2]any // time and value
}

// samples returns the result of an expression as soon as it consists of numbers;
// rates need two scrapes for that.
func samples(t *testing.T, server, expr string) (got []sample) {
	t.Helper()
	isNumber := func() bool {
		for _, s := range got {
			if s.Value[1] == "NaN" {
				return false
			}
		}
		return len(got) > 0
	}
	for deadline := time.Now().Add(20 * time.Second); !isNumber(); time.Sleep(100 * time.Millisecond) {
		var err error
		if got, err = query(server, expr); err != nil || time.Now().After(deadline) {
			t.Fatalf("%s returned %v (%v)", expr, got, err)
		}
	}
	return got
}

// query evaluates an expression at the current time.
func query(server, expr string) ([]sample, error) {
	response, err := http.PostForm(server+"/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []sample }
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	return answer.Data.Result, nil
}
