package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"scout/internal/devstack"
)

// startDev runs scout dev in this process, with the topic orders and redisURL as
// REDIS_URL. It returns the endpoint of SNS and the rest of the output.
func startDev(t *testing.T, redisURL string) (endpoint string, stdout *bufio.Scanner) {
	t.Helper()
	t.Setenv("REDIS_URL", redisURL)
	t.Setenv("SCOUT_CONFIG", "queue:\n  name: app\n  topics: {orders: OrderWorker}\n")
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	var stderr bytes.Buffer
	go func() {
		args := []string{"dev", "-v", "--listen", "127.0.0.1:0", "--listen-redis", "127.0.0.1:0"}
		ended <- run(ctx, args, strings.NewReader(""), in, &stderr)
		in.Close()
	}()
	t.Cleanup(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if code := <-ended; code != exitOK {
			t.Errorf("exit code %d: %s", code, &stderr)
		}
	})
	stdout = bufio.NewScanner(out)
	stdout.Buffer(nil, 4<<20) // a line with a large job
	for stdout.Scan() {
		if address, ok := strings.CutPrefix(stdout.Text(), "SNS and SQS  "); ok {
			return address, stdout
		}
	}
	t.Fatalf("no address in the output: %s", &stderr)
	return "", nil
}

// publishForm publishes as a form in a web page does, and returns the status.
func publishForm(t *testing.T, endpoint, message string, header http.Header, host string) int {
	t.Helper()
	form := url.Values{"Action": {"Publish"}, "TopicArn": {devstack.TopicARN("orders")}, "Message": {message}}
	r, err := http.NewRequestWithContext(t.Context(), "POST", endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = host
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	return response.StatusCode
}

func TestDevServesNoForeignPages(t *testing.T) {
	endpoint, stdout := startDev(t, "")
	for _, test := range []struct {
		name, origin, host string
		want               int
	}{
		{"foreign origin", "https://attacker.example", "", 403},
		{"foreign host", "", "attacker.example:4566", 403},
		{"SDK", "", "", 200},
	} {
		header := http.Header{}
		if test.origin != "" {
			header.Set("Origin", test.origin)
		}
		if got := publishForm(t, endpoint, test.name, header, test.host); got != test.want {
			t.Errorf("%s: status %d, want %d", test.name, got, test.want)
		}
	}
	for stdout.Scan() {
		if line := stdout.Text(); strings.Contains(line, `"class"`) {
			if !strings.Contains(line, `["SDK"]`) {
				t.Errorf("the first job is %s", line)
			}
			return
		}
	}
}

// TestDevEscapesMessages checks that a message can neither forge lines of the
// output nor control the terminal.
func TestDevEscapesMessages(t *testing.T) {
	endpoint, stdout := startDev(t, "")
	message := "[1,\n \"Queue        forged\",\n\"\u009b31m\u202e\", 1.0]"
	if got := publishForm(t, endpoint, message, http.Header{}, ""); got != 200 {
		t.Fatalf("status %d", got)
	}
	for stdout.Scan() {
		line := stdout.Text()
		if strings.ContainsAny(line, "\u009b\u202e") || strings.HasPrefix(strings.TrimSpace(line), `"Queue  `) {
			t.Fatalf("the output has the line %q", line)
		}
		if strings.Contains(line, `"class"`) {
			if want := `"args":[[1,"Queue        forged","\u009b31m\u202e",1.0]]`; !strings.Contains(line, want) {
				t.Errorf("the job is %s, want %s in it", line, want)
			}
			return
		}
	}
}

// TestDemoHasItsOwnRedis checks that the samples never reach the Redis in
// REDIS_URL.
func TestDemoHasItsOwnRedis(t *testing.T) {
	redis, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	t.Setenv("REDIS_URL", "redis://"+redis.Addr())
	t.Setenv("SCOUT_CONFIG", "")
	t.Chdir(t.TempDir())
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"dev", "--demo", "--once"}, strings.NewReader(""), &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	if keys := redis.Keys(); len(keys) > 0 {
		t.Errorf("the demo wrote %d keys into the Redis in REDIS_URL", len(keys))
	}
	if !strings.Contains(stdout.String(), "Redis        redis://127.0.0.1:") {
		t.Error("the output does not say where the jobs are")
	}
}

// TestDevSaysThatItUsesYourRedis checks that a Redis in REDIS_URL is used, and that
// the output says so.
func TestDevSaysThatItUsesYourRedis(t *testing.T) {
	redis, err := devstack.StartRedis("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	endpoint, stdout := startDev(t, "redis://"+redis.Addr())
	if want := "Redis        redis://" + redis.Addr() + "  (yours, from REDIS_URL)"; !stdout.Scan() || stdout.Text() != want {
		t.Errorf("the output says %q, want %q", stdout.Text(), want)
	}
	if got := publishForm(t, endpoint, "1", http.Header{}, ""); got != 200 {
		t.Fatalf("status %d", got)
	}
	for stdout.Scan() && !strings.Contains(stdout.Text(), `"class"`) {
		if strings.Contains(stdout.Text(), "export REDIS_URL") {
			t.Errorf("the output says to set REDIS_URL, which is set")
		}
	}
	if jobs, err := redis.List("queue:default"); err != nil || len(jobs) != 1 {
		t.Errorf("your Redis has the jobs %v (%v)", jobs, err)
	}
}

func TestListenAddressForms(t *testing.T) {
	for value, want := range map[string]string{
		"4566":           "127.0.0.1:4566",
		":4566":          "127.0.0.1:4566",
		"0":              "127.0.0.1:0",
		"0.0.0.0:4566":   "0.0.0.0:4566",
		"[::]:4566":      "[::]:4566",
		"localhost:4566": "localhost:4566",
		"65536":          "",
		"-1":             "",
		"localhost:http": "",
		"localhost:":     "",
		"localhost":      "",
		"127.0.0.1":      "",
		"::1":            "",
		"":               "",
	} {
		got, err := listenAddress("listen", 4566, value)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q (%v), want %q", value, got, err, want)
		}
	}
}

func TestLocalAddress(t *testing.T) {
	for want, ip := range map[string]net.IP{
		"127.0.0.1:4566": net.IPv4zero,
		"127.0.0.2:4566": net.IPv4(127, 0, 0, 2),
		"[::1]:4566":     net.IPv6loopback,
	} {
		if got := localAddress(&net.TCPAddr{IP: ip, Port: 4566}); got != want {
			t.Errorf("%v: got %s, want %s", ip, got, want)
		}
	}
	if got := localAddress(&net.TCPAddr{IP: net.IPv6unspecified, Port: 4566}); got != "127.0.0.1:4566" {
		t.Errorf("all interfaces: got %s", got)
	}
}
