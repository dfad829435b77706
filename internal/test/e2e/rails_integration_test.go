//go:build integration

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/internal/test/env"
)

// A railsApp is a copy of examples/rails.
type railsApp struct {
	*testing.T
	dir string
	env []string // of its programs
}

// TestRailsExample follows the README of examples/rails: it writes the manifest, starts
// the programs of Procfile.dev and publishes to the topics.
func TestRailsExample(t *testing.T) {
	t.Parallel()
	a := railsApp{T: t, dir: t.TempDir()}
	rake, aws := env.Rake(t), env.AWSCLI(t)
	if err := os.CopyFS(a.dir, os.DirFS("../../../examples/rails")); err != nil {
		t.Fatal(err)
	}
	a.env = append(os.Environ(), "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "RAILS_ENV=development", "SCOUT_CONFIG=", "REDIS_URL=",
		"PATH="+strings.Join([]string{filepath.Dir(scoutBinary), filepath.Dir(aws), os.Getenv("PATH")}, ":"))
	a.checkManifest(rake)

	programs := a.procfile()
	stdout := a.start(programs["scout"] + " --listen 127.0.0.1:0 --listen-redis 127.0.0.1:0")
	eventually(t, "scout dev prints what to do", func() bool { return strings.Contains(read(t, stdout), "aws sns publish") })
	a.env = append(a.env, exported.FindAllString(read(t, stdout), -1)...)
	log := a.start(strings.Replace(programs["sidekiq"], "bundle exec ", "", 1))
	for topic, message := range map[string]string{"orders": `{"id": 7}`, "invoices": `{"id": "I-8"}`, "signups": `{"name": "Zoë"}`} {
		a.run("bin/publish", topic, message)
	}
	for _, line := range []string{"order 7 from the topic orders", "invoice I-8", "welcome, Zoë"} {
		eventually(t, "Sidekiq logs "+line, func() bool { return strings.Contains(read(t, log), line) })
	}
}

// TestManifestWithoutRails runs the rake task in an app that has only Sidekiq.
func TestManifestWithoutRails(t *testing.T) {
	t.Parallel()
	task, err := filepath.Abs("../../../examples/rails/lib/tasks/scout.rake")
	if err != nil {
		t.Fatal(err)
	}
	a := railsApp{T: t, dir: t.TempDir(), env: append(os.Environ(), "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "FILE=out.json")}
	if err := os.Mkdir(filepath.Join(a.dir, "config"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(a.dir, "config", "sidekiq.yml"), `
:queues: [[critical, 2], <%= "default" -%>]
production:
  :queues: [low]
:capsules:
  one: {concurrency: 1, queues: [single, default]}
`)
	write(t, filepath.Join(a.dir, "app.rb"), `
require "sidekiq"
module Shop
  class Base
    include Sidekiq::Worker
  end

  class SyncWorker < Base
    sidekiq_options retry: 1
    def perform(order, at = nil, shop:, dry: false); end
  end
end
Class.new { include Sidekiq::Worker; def perform; end }
`)
	rake := env.Program(t, "rake", "with Ruby")
	a.run("env", "REQUIRE=app.rb", rake, "--rakefile", task, "scout:manifest")
	_, got, _ := strings.Cut(read(t, filepath.Join(a.dir, "out.json")), `"queues":`)
	equal(t, "manifest", got, `["critical","default","low","single"],"classes":{
"Shop::SyncWorker": {"kind":"sidekiq","options":{"queue":"default","retry":1},"args":[1,2],"required_keywords":["shop"]}}}
`)
	a.run("env", "REQUIRE=app.rb", "QUEUES=a,b", rake, "--rakefile", task, "scout:manifest")
	if text := read(t, filepath.Join(a.dir, "out.json")); !strings.Contains(text, `"queues":["a","b"]`) {
		t.Errorf("with QUEUES: %s", text)
	}
}

// checkManifest checks that the manifest of the example equals the output of the rake
// task, except for the version of Sidekiq, and that Scout accepts it.
func (a railsApp) checkManifest(rake string) {
	a.Helper()
	file := filepath.Join(a.dir, "workers.json")
	version := regexp.MustCompile(`"sidekiq":"[0-9.]+"`)
	committed := version.ReplaceAllString(read(a.T, file), "")
	a.run(rake, "scout:manifest")
	equal(a.T, "workers.json", version.ReplaceAllString(read(a.T, file), ""), committed)
	a.run("env", "CONFIG=scout.yml", "FILE=few.json", rake, "scout:manifest")
	few := read(a.T, filepath.Join(a.dir, "few.json"))
	if strings.Contains(few, "CleanupWorker") || !strings.Contains(few, "WelcomeJob") {
		a.Errorf("the manifest for scout.yml is %s", few)
	}
	if output := a.run("env", "REDIS_URL=redis://localhost", "scout", "check", "scout.yml"); strings.Contains(output, "Warning") {
		a.Errorf("scout check: %s", output)
	}
	a.run("env", "scout", "test", "-c", "scout.yml")
}

// procfile returns the commands in Procfile.dev by name.
func (a railsApp) procfile() map[string]string {
	a.Helper()
	programs := map[string]string{}
	for line := range strings.Lines(read(a.T, filepath.Join(a.dir, "Procfile.dev"))) {
		name, command, _ := strings.Cut(strings.TrimSpace(line), ": ")
		programs[name] = command
	}
	return programs
}

// run runs a program and returns its output.
func (a railsApp) run(program string, args ...string) string {
	a.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = a.dir, a.env
	output, err := cmd.CombinedOutput()
	if err != nil {
		a.Fatalf("%s %v: %v\n%s", program, args, err, output)
	}
	return string(output)
}

// start starts a shell command, and returns the path of the file with its output. When
// the test ends, the command gets SIGTERM.
func (a railsApp) start(command string) (output string) {
	a.Helper()
	output = filepath.Join(a.TempDir(), "output")
	cmd := exec.Command("sh", "-c", "exec env "+command)
	cmd.Dir, cmd.Env = a.dir, a.env
	file := create(a.T, output)
	cmd.Stdout, cmd.Stderr = file, file
	if err := cmd.Start(); err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		stuck := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		defer stuck.Stop()
		if err := cmd.Wait(); err != nil {
			a.Errorf("%s, after SIGTERM: %v", command, err)
		}
		if a.Failed() {
			a.Logf("%s wrote:\n%s", command, read(a.T, output))
		}
	})
	return output
}
