package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// build builds scout. It returns a directory with the sample events in which to run it,
// and the environment for it.
func build(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	bin := filepath.Join(dir, "bin")
	if output, err := exec.Command("go", "build", "-o", filepath.Join(bin, "scout"), "scout/cmd/local").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if err := os.CopyFS(filepath.Join(dir, "events"), os.DirFS(filepath.Join(root, "events"))); err != nil {
		t.Fatal(err)
	}
	return dir, []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=" + dir, "REDIS_URL=redis://localhost:6379", "NO_COLOR=1"}
}

// TestTranscripts runs every command after a "$ " in a console block, and compares its
// output. In the documentation, … stands for any text within a line. Alone on a line,
// it stands for any number of lines. A yaml block is a file for the blocks after it if
// its first line is a comment with the file's name.
func TestTranscripts(t *testing.T) {
	dir, env := build(t)
	ran := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if name, ok := fileName(b); ok {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(b.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if b.language != "console" {
				continue
			}
			for _, step := range strings.Split("\n"+b.text, "\n$ ")[1:] {
				command, want, _ := strings.Cut(step, "\n")
				cmd := exec.Command("sh", "-c", command)
				cmd.Dir, cmd.Env = dir, env
				output, _ := cmd.CombinedOutput() // some transcripts show failures
				ran++
				if !matches(want, string(output)) {
					t.Errorf("%s:%d: %s prints\n%s\nwant\n%s", p.path, b.line, command, output, want)
				}
			}
		}
	}
	if ran == 0 {
		t.Error("no transcript was found")
	}
}

// fileName returns the name of the file that a block shows.
func fileName(b block) (string, bool) {
	first, _, _ := strings.Cut(b.text, "\n")
	match := regexp.MustCompile(`^# ([\w-]+\.(?:ya?ml|json))$`).FindStringSubmatch(first)
	if match == nil {
		return "", false
	}
	return match[1], true
}

// matches compares a transcript with an output, whose trailing blanks do not count.
func matches(want, got string) bool {
	want, got = strings.TrimSpace(want), strings.TrimSpace(regexp.MustCompile(`(?m)[ \t]+$`).ReplaceAllString(got, ""))
	pattern := regexp.QuoteMeta(want)
	pattern = regexp.MustCompile(`(?m)^ *…\n`).ReplaceAllString(pattern, `(?:.*\n)*?`)
	pattern = regexp.MustCompile(`\n *…$`).ReplaceAllString(pattern, `(?:\n.*)*`)
	pattern = strings.ReplaceAll(pattern, "…", `[^\n]*`)
	return regexp.MustCompile(`\A` + pattern + `\z`).MatchString(got)
}

// aCommand is a line that runs scout in a block of the language sh.
var aCommand = regexp.MustCompile(`^scout( [^#&|>]*)?`)

// TestCommands checks that the commands and flags in the documentation exist.
func TestCommands(t *testing.T) {
	dir, env := build(t)
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "sh" {
				continue
			}
			for _, line := range strings.Split(b.text, "\n") {
				command := strings.TrimSpace(aCommand.FindString(line))
				if command == "" {
					continue
				}
				found++
				cmd := exec.Command("sh", "-c", command+" --help")
				cmd.Dir, cmd.Env = dir, env
				if output, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s:%d: %s\n%s", p.path, b.line, command, output)
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("found %d commands, fewer than the documentation has", found)
	}
}
