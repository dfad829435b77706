package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"scout/internal/devstack"
)

// startDev runs scout dev in this process, with the topic orders and redisURL as
// REDIS_URL. It returns the endpoint of SNS and the rest of the output.
func startDev(t *testing.T, redisURL string) (endpoint string, stdout *bufio.Scanner) {
	t.Helper()
	t.Setenv("REDIS_URL", redisURL)
	t.Setenv("SCOUT_CONFIG", "queue:\n  name: app\n  topics: {orders: OrderWorker}\n")
	endpoint, stdout, _ = runDev(t, "-v")
	return endpoint, stdout
}

// runDev runs scout dev with the environment of the test, until the end of the test
// or until stop is called.
func runDev(t *testing.T, flags ...string) (endpoint string, stdout *bufio.Scanner, stop func()) {
	t.Helper()
	return runDevTo(t, &syncBuffer{}, flags...)
}

// runDevTo is runDev with a buffer for standard error.
func runDevTo(t *testing.T, stderr *syncBuffer, flags ...string) (endpoint string, stdout *bufio.Scanner, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		args := append([]string{"dev", "--listen", "127.0.0.1:0", "--listen-redis", "127.0.0.1:0"}, flags...)
		ended <- run(ctx, args, strings.NewReader(""), in, stderr)
		in.Close()
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		go func() { _, _ = io.Copy(io.Discard, out) }()
		if code := <-ended; code != exitOK {
			t.Errorf("exit code %d: %s", code, stderr.String())
		}
	})
	t.Cleanup(stop)
	stdout = bufio.NewScanner(out)
	stdout.Buffer(nil, 4<<20) // a line with a large job
	for stdout.Scan() {
		if address, ok := strings.CutPrefix(stdout.Text(), "SNS and SQS  "); ok {
			return address, stdout, stop
		}
	}
	t.Fatalf("no address in the output: %s", stderr.String())
	return "", nil, nil
}

// waitLine reads lines until one matches a pattern, and returns it.
func waitLine(t *testing.T, stdout *bufio.Scanner, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for stdout.Scan() {
		if expression.MatchString(stdout.Text()) {
			return stdout.Text()
		}
	}
	t.Fatalf("the output ends without a line that matches %s", pattern)
	return ""
}

// publishARN publishes to a topic.
func publishARN(t *testing.T, endpoint, arn, message string) {
	t.Helper()
	response, err := http.PostForm(endpoint, url.Values{"Action": {"Publish"}, "TopicArn": {arn}, "Message": {message}})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); response.StatusCode != 200 {
		t.Fatalf("publishing to %s: %s", arn, text)
	}
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
	for _, path := range []string{"/", "/_scout/stream", "/_scout/assets/page.js"} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", endpoint+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "attacker.example"
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 403 {
			t.Errorf("%s with a foreign host: status %d", path, response.StatusCode)
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

// A topic that is configured by its ARN has that ARN, in any region, account and
// partition.
func TestDevHasTheConfiguredARNs(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", `queues:
  - {name: first, topics: {"arn:aws:sns:eu-west-1:123456789012:orders": EUWorker, "arn:aws:sns:us-west-2:123456789012:orders": USWorker}}
  - {name: second, topics: {"arn:aws-cn:sns:cn-north-1:123456789012:orders": CNWorker, orders: NameWorker}}
`)
	endpoint, stdout, _ := runDev(t)
	for _, test := range []struct{ arn, class string }{
		{"arn:aws:sns:eu-west-1:123456789012:orders", "EUWorker"}, {"arn:aws:sns:us-west-2:123456789012:orders", "USWorker"},
		{"arn:aws-cn:sns:cn-north-1:123456789012:orders", "CNWorker"}, {"arn:aws:sns:us-east-1:000000000000:orders", "NameWorker"},
	} {
		publishARN(t, endpoint, test.arn, "1")
		waitLine(t, stdout, `✓ orders [0-9a-f]{8} → `+test.class+` \(default\) 1$`)
	}
}

// TestDevTakesAnyQueueName checks that the names of dead-letter queues are valid and
// differ from those of configured queues.
func TestDevTakesAnyQueueName(t *testing.T) {
	long := strings.Repeat("q", 75)
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", fmt.Sprintf(`queues:
  - {name: app, topics: {a: AWorker}}
  - {name: app_dead, topics: {a: DeadWorker}}
  - {name: %sqqqqq, topics: {a: LongWorker}}
  - {name: %s.fifo, topics: {a.fifo: FIFOWorker}}
`, long, long))
	endpoint, stdout, _ := runDev(t)
	publishARN(t, endpoint, devstack.TopicARN("a"), "1")
	missing := map[string]bool{"AWorker": true, "DeadWorker": true, "LongWorker": true}
	for len(missing) > 0 {
		delete(missing, strings.Fields(waitLine(t, stdout, "✓ a "))[5])
	}
}

// replaceFile replaces a file as editors do.
func replaceFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestDevReloads changes the file of the configuration while scout dev runs.
func TestDevReloads(t *testing.T) {
	file := t.TempDir() + "/scout.yml"
	write := func(text string) { t.Helper(); replaceFile(t, file, text) }
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", "")
	write("queue: {name: app, topics: {orders: OrderWorker}}")
	var stderr syncBuffer
	endpoint, stdout, stop := runDevTo(t, &stderr, "-c", file)
	publishARN(t, endpoint, devstack.TopicARN("orders"), "1")
	waitLine(t, stdout, `✓ orders .* OrderWorker`)

	write("queue: {name: app, topics: {orders: OrderWorker, billing: low class}}")
	eventually(t, time.Minute, "the error is reported", func() bool {
		return strings.Contains(stderr.String(), "reload failed; keeping the previous configuration")
	})
	publishARN(t, endpoint, devstack.TopicARN("orders"), "2")
	waitLine(t, stdout, `✓ orders .* OrderWorker \(default\) 2`)

	write("queues:\n  - {name: app, topics: {orders: NewWorker}}\n  - {name: other, topics: {billing: InvoiceWorker}}\n")
	eventually(t, time.Minute, "the configuration is reloaded", func() bool { return strings.Contains(stderr.String(), "configuration reloaded") })
	publishARN(t, endpoint, devstack.TopicARN("billing"), "3")
	waitLine(t, stdout, `✓ billing .* InvoiceWorker \(default\) 3`)
	publishARN(t, endpoint, devstack.TopicARN("orders"), "4")
	waitLine(t, stdout, `✓ orders .* NewWorker \(default\) 4`)
	stop()
	if !strings.Contains(stderr.String(), "queue.topics.billing") {
		t.Errorf("the log does not say what is wrong: %s", stderr.String())
	}
}

// TestDevReloadsTheManifest changes the manifest that the configuration names, and then
// names another, which is missing at first.
func TestDevReloadsTheManifest(t *testing.T) {
	dir := t.TempDir()
	manifest := func(queue string) string {
		return `{"version":1,"sidekiq":"8.0.0","queues":[],"classes":{"OrderWorker":{"kind":"sidekiq","options":{"queue":"` + queue + `"},"args":[1,1],"required_keywords":[]}}}`
	}
	replaceFile(t, dir+"/workers.json", manifest("one"))
	replaceFile(t, dir+"/scout.yml", "workers: workers.json\nqueue: {name: app, topics: {orders: OrderWorker}}\n")
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", "")
	var stderr syncBuffer
	endpoint, stdout, _ := runDevTo(t, &stderr, "-c", dir+"/scout.yml")
	reloads := func(n int, message string) {
		t.Helper()
		eventually(t, time.Minute, message, func() bool { return strings.Count(stderr.String(), message) == n })
	}
	replaceFile(t, dir+"/workers.json", manifest("two_"))
	reloads(1, "configuration reloaded")
	publishARN(t, endpoint, devstack.TopicARN("orders"), "1")
	waitLine(t, stdout, `✓ orders .* OrderWorker \(two_\) 1`)

	replaceFile(t, dir+"/scout.yml", "workers: new/workers.json\nqueue: {name: app, topics: {orders: OrderWorker}}\n")
	reloads(1, "reload failed")
	if err := os.Mkdir(dir+"/new", 0o700); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, dir+"/new/workers.json", manifest("three"))
	reloads(2, "configuration reloaded")
	publishARN(t, endpoint, devstack.TopicARN("orders"), "2")
	waitLine(t, stdout, `✓ orders .* OrderWorker \(three\) 2`)
}

// TestDevReadsAPipe checks that a configuration from a pipe, as from a shell's process
// substitution, is read once.
func TestDevReadsAPipe(t *testing.T) {
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := in.WriteString("queue: {name: app, topics: {orders: OrderWorker}}\n"); err != nil {
		t.Fatal(err)
	}
	in.Close()
	t.Setenv("REDIS_URL", "")
	runDev(t, "-c", fmt.Sprintf("/dev/fd/%d", out.Fd()))
}

// TestDevEndsIfOutputBlocks ends scout dev while its output goes to a full pipe that
// nothing reads, such as that of a pager.
func TestDevEndsIfOutputBlocks(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", "queue:\n  name: app\n  topics: {orders: OrderWorker}\n")
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	defer out.Close()
	ended := make(chan int)
	var stderr syncBuffer
	go func() {
		ended <- run(ctx, []string{"dev", "--listen", "127.0.0.1:0", "--listen-redis", "127.0.0.1:0"}, strings.NewReader(""), in, &stderr)
	}()
	stdout := bufio.NewScanner(out)
	endpoint, _ := strings.CutPrefix(waitLine(t, stdout, "^SNS and SQS"), "SNS and SQS  ")
	for n := range 100 {
		publishARN(t, endpoint, devstack.TopicARN("orders"), fmt.Sprint(n))
	}
	waitLine(t, stdout, "✓ orders")
	cancel()
	select {
	case code := <-ended:
		if code != exitOK {
			t.Errorf("exit code %d: %s", code, stderr.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("scout dev still runs")
	}
}

// TestDevShowsDeadLetters rejects a message until it is a dead letter.
func TestDevShowsDeadLetters(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	t.Setenv("SCOUT_CONFIG", "queue:\n  name: app\n  topics: {orders: OrderWorker}\n")
	endpoint, stdout, _ := runDev(t)
	r, err := http.NewRequestWithContext(t.Context(), "POST", endpoint, strings.NewReader(`{"QueueUrl":"/app","Attributes":{"VisibilityTimeout":"0"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", "AmazonSQS.SetQueueAttributes")
	response, err := http.DefaultClient.Do(r)
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	publishARN(t, endpoint, devstack.TopicARN("orders"), `{"a":1,"a":2}`)
	rejection := waitLine(t, stdout, `✗ orders .* rejected: .*\(unacceptable, receive 5 of 5\)$`)
	letter := waitLine(t, stdout, ` † orders .* moved to the dead-letter queue app_dead after 5 receives$`)
	if id := strings.Fields(rejection)[3]; strings.Fields(letter)[3] != id {
		t.Errorf("the lines do not name the same message:\n%s\n%s", rejection, letter)
	}
}
