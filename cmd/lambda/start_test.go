package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scout/events"
)

// BenchmarkStart measures the time from the start of the process to its first
// request for an event: what Scout itself adds to a cold start. It compares the
// function, built as for a release, with one that does nothing.
func BenchmarkStart(b *testing.B) {
	config, err := events.Files.ReadFile("scout.yml")
	if err != nil {
		b.Fatal(err)
	}
	for name, folder := range map[string]string{"scout": ".", "trivial": "./testdata/trivial"} {
		binary := filepath.Join(b.TempDir(), name)
		build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", binary, folder)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("%v\n%s", err, out)
		}
		b.Run(name, func(b *testing.B) {
			asked := make(chan struct{})
			api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				asked <- struct{}{}
				<-r.Context().Done()
			}))
			defer api.Close()
			for b.Loop() {
				cmd := exec.Command(binary)
				cmd.Env = []string{"SCOUT_CONFIG=" + string(config), "AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(api.URL, "http://")}
				if err := cmd.Start(); err != nil {
					b.Fatal(err)
				}
				select {
				case <-asked:
				case <-time.After(10 * time.Second):
					b.Fatal("the function does not ask for an event")
				}
				b.StopTimer()
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
				b.StartTimer()
			}
		})
	}
}
