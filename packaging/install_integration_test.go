//go:build integration

package packaging

import (
	"bytes"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"scout/internal/devstack"
	"scout/internal/test/env"
)

// testDeb installs the package, runs an instance as systemd would, and removes
// the package.
func testDeb(t *testing.T, deb string) {
	d := installer(t)
	config := filepath.Join(d.root, "/etc/scout", fmt.Sprintf("test-%d.yml", os.Getpid()))
	d.dpkg(t, "--install", deb)
	installed := d.files(t)
	t.Cleanup(func() { // even if the test fails
		d.dpkg(t, "--purge", "scout")
		_ = os.Remove(config)
		_ = os.Remove(filepath.Dir(config)) // unless it holds other files
	})
	for name, mode := range map[string]os.FileMode{
		"/etc/scout":                                       os.ModeDir | 0o700,
		"/usr/bin/scout":                                   0o755,
		"/usr/lib/systemd/system/scout@.service":           0o644,
		"/usr/share/man/man1/scout.1.gz":                   0o644,
		"/usr/share/bash-completion/completions/scout":     0o644,
		"/usr/share/zsh/vendor-completions/_scout":         0o644,
		"/usr/share/fish/vendor_completions.d/scout.fish":  0o644,
		"/usr/share/scout/monitoring/alerts.yml":           0o644,
		"/usr/share/scout/monitoring/scout-dashboard.json": 0o644,
		"/usr/share/doc/scout/README.md":                   0o644,
		"/usr/share/doc/scout/queue.yaml":                  0o644,
	} {
		if info, err := os.Stat(filepath.Join(d.root, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v (%v)", name, info, err)
		}
	}
	d.verifyDocs(t)
	unit := read(t, filepath.Join(d.root, "/usr/lib/systemd/system/scout@.service"))
	d.verify(t)
	d.run(t, unit, config)

	d.dpkg(t, "--remove", "scout")
	for _, name := range installed {
		if info, err := os.Lstat(filepath.Join(d.root, name)); err == nil && !info.IsDir() {
			t.Errorf("%s still exists after the removal", name)
		}
	}
	if _, err := os.Stat(config); err != nil {
		t.Errorf("the removal deleted the configuration: %v", err)
	}
}

// A debian is a system that dpkg installs to: this one if root is "", otherwise
// the one in the directory root.
type debian struct{ root string }

// installer returns this system if the test runs as root and no scout is
// installed, otherwise an empty system in a temporary directory.
func installer(t *testing.T) debian {
	env.Program(t, "dpkg", "Debian or Ubuntu")
	_, err := os.Stat("/usr/bin/scout")
	if os.Getuid() == 0 && os.IsNotExist(err) {
		return debian{""}
	}
	root := t.TempDir()
	for _, name := range []string{"updates", "info", "status"} {
		path := filepath.Join(root, "var/lib/dpkg", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "status" {
			err = os.WriteFile(path, nil, 0o644)
		} else {
			err = os.Mkdir(path, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return debian{root}
}

func (d debian) dpkg(t *testing.T, args ...string) (out []byte) {
	t.Helper()
	if d.root != "" {
		args = append([]string{"--root=" + d.root, "--force-not-root", "--force-depends", "--force-script-chrootless", "--log=/dev/null"}, args...)
	}
	out, err := exec.Command("dpkg", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("dpkg %v: %v\n%s", args, err, out)
	}
	return out
}

// files returns the files that the package installed.
func (d debian) files(t *testing.T) []string {
	return strings.Fields(string(d.dpkg(t, "--listfiles", "scout")))
}

// verifyDocs checks that all pages are installed at the location in the alerts and the
// dashboard.
func (d debian) verifyDocs(t *testing.T) {
	t.Helper()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("the pages are %v (%v)", pages, err)
	}
	installed := filepath.Join(d.root, filepath.Dir(strings.TrimPrefix(runbooks, "file://")))
	for _, page := range pages {
		if read(t, filepath.Join(installed, filepath.Base(page))) != read(t, page) {
			t.Errorf("%s is not installed unchanged", page)
		}
	}
	for _, name := range regexp.MustCompile(`/usr/share/doc/scout/[a-z/.-]+\.md`).FindAllString(read(t, "monitoring/scout-dashboard.json"), -1) {
		read(t, filepath.Join(d.root, name))
	}
}

// verify checks the installed unit with systemd-analyze.
func (d debian) verify(t *testing.T) {
	analyze := env.Program(t, "systemd-analyze", "Debian's systemd")
	unit := filepath.Join(d.root, "/usr/lib/systemd/system/scout@.service")
	if d.root == "" { // the programs in the unit are installed
		if out, err := exec.Command(analyze, "verify", unit).CombinedOutput(); err != nil || bytes.Contains(out, []byte("scout@")) {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	// 0 is the best exposure level, 100 the worst; a service that uses the network can reach 20.
	if out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// run follows the unit as systemd would: it starts an instance, waits until it is
// ready, has it handle a message, reloads it, and stops it.
func (d debian) run(t *testing.T, unit, config string) {
	stack := newStack(t)
	fatal(t, os.WriteFile(config, []byte(stack.config), 0o600))
	instance := strings.TrimSuffix(filepath.Base(config), ".yml")
	run, user := d.runtimeDirectory(t, instance)
	systemd := listenAsSystemd(t, filepath.Join(run, "notify"))
	expand := strings.NewReplacer("%i", instance, "%t", run, "/etc/", d.root+"/etc/", "/usr/bin/scout", d.root+"/usr/bin/scout", "$SCOUT_OPTIONS", "--log-level debug").Replace
	asRoot := func(line string) {
		t.Helper()
		command, ok := strings.CutPrefix(line, "+")
		if !ok {
			t.Errorf("%s does not run as root, but only root can read the configuration", line)
		}
		words := strings.Fields(expand(command))
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", words, err, out)
		}
	}
	asRoot(setting(t, unit, "ExecStartPre"))
	words := strings.Fields(expand(setting(t, unit, "ExecStart")))
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Dir, cmd.SysProcAttr = "/", user
	cmd.Env = []string{"AWS_EC2_METADATA_DISABLED=true", "NOTIFY_SOCKET=" + filepath.Join(run, "notify")}
	var log bytes.Buffer
	cmd.Stderr = &log
	fatal(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	systemd("READY=1")
	stack.publish(t)
	job := nextJob(t, stack.redisURL)

	fatal(t, os.WriteFile(config, []byte(strings.Replace(stack.config, "OrderWorker", "OtherWorker", 1)), 0o600))
	reload := settings(unit, "ExecReload")
	for _, line := range reload {
		asRoot(strings.Replace(line, "$MAINPID", fmt.Sprint(cmd.Process.Pid), 1))
	}
	systemd("RELOADING=1")
	systemd("READY=1")
	stack.publish(t)
	second := nextJob(t, stack.redisURL)

	if signal := setting(t, unit, "KillSignal"); signal != "SIGTERM" {
		t.Errorf("KillSignal=%s", signal)
	}
	fatal(t, cmd.Process.Signal(syscall.SIGTERM))
	stop, err := time.ParseDuration(setting(t, unit, "TimeoutStopSec"))
	fatal(t, err)
	select {
	case err = <-ended:
	case <-time.After(stop):
		_ = cmd.Process.Kill()
		err = fmt.Errorf("it did not stop within %v: %w", stop, <-ended)
	}
	if err != nil || !strings.Contains(job, `"OrderWorker"`) || !strings.Contains(second, `"OtherWorker"`) {
		t.Fatalf("the jobs are %q and %q, and scout exited with %v:\n%s", job, second, err, &log)
	}
}

// listenAsSystemd returns a function that waits for the next notification and
// checks its state.
func listenAsSystemd(t *testing.T, socket string) func(state string) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	fatal(t, err)
	t.Cleanup(func() { conn.Close() })
	fatal(t, os.Chmod(socket, 0o777))
	return func(state string) {
		t.Helper()
		fatal(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		b := make([]byte, 100)
		n, err := conn.Read(b)
		if err != nil || string(b[:n]) != state {
			t.Errorf("systemd was notified of %q (%v), want %s", b[:n], err, state)
		}
	}
}

// A stack holds what a scout process needs: SNS, SQS and Redis.
type stack struct {
	*devstack.Server
	topic    string // whose messages become jobs
	redisURL string
	config   string // for scout, in YAML
}

func newStack(t *testing.T) stack {
	t.Helper()
	server := devstack.NewServer()
	endpoint := httptest.NewServer(server)
	t.Cleanup(func() { server.Close(); endpoint.Close() })
	queue, err := server.CreateQueue("app", nil)
	fatal(t, err)
	topic, err := server.CreateTopic("orders", nil)
	fatal(t, err)
	_, err = server.Subscribe(topic, queue, nil)
	fatal(t, err)
	redisURL := env.Redis(t).URL()
	return stack{server, topic, redisURL, fmt.Sprintf(`
redis: {url: "%s"}
aws: {region: us-east-1, access_key: x, secret_key: x, endpoint: "%s"}
queue: {name: app, wait_time: 1s, topics: {orders: OrderWorker}}
`, redisURL, endpoint.URL)}
}

func (s stack) publish(t *testing.T) {
	t.Helper()
	_, err := s.Publish(s.topic, devstack.Notification{Message: `{"id": 1}`})
	fatal(t, err)
}

// runtimeDirectory creates the unit's RuntimeDirectory= and returns its parent and
// the user that owns it: if the test runs as root, a dynamic user.
func (d debian) runtimeDirectory(t *testing.T, instance string) (run string, user *syscall.SysProcAttr) {
	run, err := os.MkdirTemp("", "run")
	fatal(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(run) })
	dir := filepath.Join(run, "scout-"+instance)
	fatal(t, os.Chmod(run, 0o755))
	fatal(t, os.Mkdir(dir, 0o700))
	if d.root != "" {
		return run, nil
	}
	const dynamic = 61184 // the first of systemd's dynamic users
	fatal(t, os.Chown(dir, dynamic, dynamic))
	return run, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: dynamic, Gid: dynamic}}
}

// nextJob waits for a job in the queue default and removes it.
func nextJob(t *testing.T, url string) string {
	t.Helper()
	conn, err := redis.DialURL(url)
	fatal(t, err)
	defer conn.Close()
	for range 1000 {
		if job, err := redis.String(conn.Do("RPOP", "queue:default")); err == nil {
			return job
		}
		time.Sleep(10 * time.Millisecond)
	}
	return ""
}
