package env

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A Ruby is a Ruby interpreter with a version of json.
type Ruby struct {
	Name string
	args []string // of the program and of what comes before the script
}

// Command returns the command that runs a script.
func (r Ruby) Command(script string) *exec.Cmd {
	cmd := exec.Command(r.args[0], append(r.args[1:len(r.args):len(r.args)], script)...)
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "LC_ALL=C.UTF-8")
	return cmd
}

// Rubies returns the system's Ruby, those with the versions of json in
// tools/ruby-wasm, Debian's newest if make deps could install it, and the system's
// with each of the json libraries in the directories of SCOUT_RUBY_JSON.
func Rubies(t testing.TB) []Ruby {
	t.Helper()
	system := Program(t, "ruby", "Debian's ruby, or Homebrew's")
	rubies := []Ruby{{"system", []string{system}}}
	root := projectRoot(t)
	packages, _ := filepath.Glob(filepath.Join(root, ".deps", "ruby-wasm", "node_modules", "json-*"))
	if len(packages) == 0 {
		need(t, "Ruby for WebAssembly", "from npm, into .deps/ruby-wasm")
	}
	node := Program(t, "node", "Debian's nodejs, or Homebrew's node")
	runner := filepath.Join(root, "internal", "test", "rubyjson", "testdata", "wasm.mjs")
	for _, dir := range packages {
		rubies = append(rubies, Ruby{filepath.Base(dir) + ".wasm", []string{node, runner, dir}})
	}
	if HasDebian(t, "sid") {
		rubies = append(rubies, Ruby{"Debian sid", debian(t, "sid", "ruby")})
	} else {
		t.Log("NOT TESTED: Debian's newest Ruby, which make deps could not install")
	}
	for i, dir := range filepath.SplitList(os.Getenv("SCOUT_RUBY_JSON")) {
		rubies = append(rubies, Ruby{fmt.Sprint(i, " ", strings.Trim(dir, "/")), []string{system, "-I", dir}})
	}
	return rubies
}
