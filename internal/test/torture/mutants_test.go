//go:build torture

package torture

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A mutant is a version of Scout with a deliberate fault.
type mutant struct {
	name   string
	faults string // regular expression of the Redis faults that reveal it
	caught string // the rule that it must break
	edits  []edit
}

// An edit replaces a text that a file must contain exactly once.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{"mark before push", "another type", ruleLost, []edit{{"sidekiq/push.lua",
		"    local reply = redis.pcall('LPUSH', list, payload)\n",
		"    redis.call('SET', marker, 1, 'PX', ttl)\n    local reply = redis.pcall('LPUSH', list, payload)\n"}}},
	{"delete before push", "killed and restarted", ruleLost, []edit{{"internal/poller/poll.go",
		"	handled, kept, err := l.handle(handling, messages)\n",
		"	l.deleter.delete(messages)\n	handled, kept, err := l.handle(handling, messages)\n"}}},
	{"cut long poll", "killed and restarted", ruleCutPoll, []edit{{"internal/poller/poll.go",
		"l.receive(handling, tuning)", "l.receive(ctx, tuning)"}}},
	{"ignored delete failures", "killed and restarted", ruleDelete, []edit{{"internal/poller/deleter.go",
		"		messages = p.deleteBatch(ctx, messages)\n",
		"		p.deleteBatch(ctx, messages)\n		messages = nil\n"}}},
	{"random jid", "killed and restarted", ruleDoubled, []edit{
		{"sidekiq/job.go", `	"crypto/sha256"`, `	"crypto/rand"` + "\n" + `	"crypto/sha256"`},
		{"sidekiq/job.go", "return hex.EncodeToString(id[:12])", "rand.Read(id[:]); return hex.EncodeToString(id[:12])"}}},
	{"breaker off", "all of Redis killed", ruleOutage, []edit{
		{"internal/poller/loop.go", "	l.breaker.pollFinished(o, time.Now())\n", "	o.err = nil\n	l.breaker.pollFinished(o, time.Now())\n"},
		{"internal/poller/loop.go", "	l.breaker.probeFinished(err, time.Now())\n", "	err = nil\n	l.breaker.probeFinished(err, time.Now())\n"},
		{"internal/poller/loop.go", "if l.Failing != nil && l.Failing() {", "if false {"}}},
	{"list of failures not returned", "another type", ruleLost, []edit{{"handler/handler.go",
		"		case failure == nil || listed[id]:\n", "		case true || failure == nil || listed[id]:\n"}}},
	{"FIFO groups unknown", "another type", ruleOrder, []edit{{"handler/translate.go",
		`	return m.Attributes["MessageGroupId"]`, `	return ""`}}},
	{"last in, first out", "killed and restarted", ruleOrder, []edit{{"sidekiq/push.lua",
		"redis.pcall('LPUSH', list, payload)", "redis.pcall('RPUSH', list, payload)"}}},
	{"WAIT ignored", "replicas that were away", ruleLost, []edit{{"sidekiq/wait.go",
		"	if n < int64(w.Replicas) {\n", "	if n < 0 {\n"}}},
}

// mutantRuns is the maximum number of runs for a mutant. One of them must detect it.
// The runs are short, so one alone may not reveal the fault.
const mutantRuns = 3

// TestMutants builds each mutant and runs the short test on it. The rules must detect
// its fault, and find no violation in an unchanged copy.
func TestMutants(t *testing.T) {
	t.Run("none", func(t *testing.T) {
		if log, err := runMutant(t, mutant{faults: "."}); err != nil {
			t.Errorf("%v\n%s", err, log)
		}
	})
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			for range mutantRuns {
				log, err := runMutant(t, m)
				broken := brokenRules(log)
				fmt.Printf("mutant %q: %v\n", m.name, broken)
				if slices.Contains(broken, m.caught) {
					return
				}
				t.Logf("broken rules: %v, want %q among them: %v\n%s", broken, m.caught, err, log)
			}
			t.Errorf("no run has detected this mutant")
		})
	}
}

var violationLine = regexp.MustCompile(`(?m)^violation: ([a-z ]+):`)

func brokenRules(log string) (rules []string) {
	for _, found := range violationLine.FindAllStringSubmatch(log, -1) {
		if !slices.Contains(rules, found[1]) {
			rules = append(rules, found[1])
		}
	}
	return rules
}

// runMutant copies the source, applies the mutant's edits, and runs the short test
// there.
func runMutant(t *testing.T, m mutant) (log string, err error) {
	t.Helper()
	root := strings.TrimSpace(output(t, ".", "git", "rev-parse", "--show-toplevel"))
	dir := t.TempDir()
	for file := range strings.Lines(output(t, root, "git", "ls-files", "--cached", "--others", "--exclude-standard")) {
		copyFile(t, root, dir, strings.TrimSpace(file))
	}
	for _, e := range m.edits {
		file := filepath.Join(dir, e.file)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte(e.old)); n != 1 {
			t.Fatalf("%s contains %q %d times; adapt the mutant to the source", e.file, e.old, n)
		}
		if err := os.WriteFile(file, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output(t, dir, "go", "build", "-o", os.DevNull, "./cmd/local") // otherwise, a mutant that does not compile would count as detected
	args := []string{"test", "-tags", "torture", "-count", "1", "-timeout", "0", "-short", "-run", "^TestTorture$", "-v",
		"./internal/test/torture", "-args", "-keep", t.TempDir(), "-faults", m.faults, "-seed", fmt.Sprint(*flagSeed)}
	if m.edits != nil {
		args = append(args, "-messages", "1000", "-kills", "10")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// output runs a program in a directory and returns its output.
func output(t *testing.T, dir, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, &stderr)
	}
	return string(text)
}

// copyFile copies a file of the source. A file that is deleted in the work tree is
// skipped.
func copyFile(t *testing.T, from, to, file string) {
	t.Helper()
	info, err := os.Lstat(filepath.Join(from, file))
	if err != nil || !info.Mode().IsRegular() {
		return
	}
	text, err := os.ReadFile(filepath.Join(from, file))
	if err != nil {
		t.Fatal(err)
	}
	target := filepath.Join(to, file)
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, text, info.Mode()&fs.ModePerm); err != nil {
		t.Fatal(err)
	}
}
