//go:build integration

package template

import (
	"bytes"
	"debug/elf"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// variants writes the template with other defaults, because linters and sam validate
// check only those: with 1 and 15 topics, standard and FIFO, in and out of a VPC. It
// returns the paths.
func variants(t *testing.T) (paths []string) {
	t.Helper()
	text, dir := readFile(t, "../../../template.yaml"), t.TempDir()
	for _, profile := range []string{"latency", "fifo"} {
		for _, topics := range []int{1, 15} {
			for _, network := range []string{"none", "VPC"} {
				replace := []string{
					"Default: latency", "Default: " + profile,
					"Default: arn:aws:sns:us-east-1:000000000000:unused\n", fmt.Sprintf("Default: %q\n", topicNames(1, topics)),
				}
				if network == "VPC" {
					replace = append(replace,
						`SubnetIds: {Type: CommaDelimitedList, Default: ""}`, `SubnetIds: {Type: CommaDelimitedList, Default: "subnet-0aaaaaaaaaaaaaaaa,subnet-0bbbbbbbbbbbbbbbb"}`,
						`SecurityGroupIds: {Type: CommaDelimitedList, Default: ""}`, `SecurityGroupIds: {Type: CommaDelimitedList, Default: sg-0aaaaaaaaaaaaaaaa}`)
				}
				for i := 0; i < len(replace); i += 2 {
					if strings.Count(text, replace[i]) != 1 {
						t.Fatalf("the template does not contain %q once", replace[i])
					}
				}
				path := filepath.Join(dir, fmt.Sprintf("%s-%d-%s.yaml", profile, topics, network))
				if err := os.WriteFile(path, []byte(strings.NewReplacer(replace...).Replace(text)), 0o600); err != nil {
					t.Fatal(err)
				}
				paths = append(paths, path)
			}
		}
	}
	return paths
}

func TestCFNLint(t *testing.T) {
	run(t, env.Command(t, "", env.CFNLint(t), append(variants(t), "template.yaml", "packaging/queue.yaml")...))
}

func TestSAMValidate(t *testing.T) {
	sam := env.SAM(t)
	config, err := filepath.Abs("../../../samconfig.toml") // which SAM looks for beside the template
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(variants(t), "template.yaml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			run(t, env.Command(t, "", sam, "validate", "--lint", "--config-file", config, "--template-file", path))
		})
	}
}

// TestSAMBuild builds the function for the architecture in the parameter file of an
// environment or on the command line.
func TestSAMBuild(t *testing.T) {
	sam := env.SAM(t)
	for name, c := range map[string]struct {
		args    []string
		machine elf.Machine
	}{
		"default":         {[]string{"--config-env", "shop-staging"}, elf.EM_AARCH64},
		"no environment":  {nil, elf.EM_AARCH64},
		"command line":    {[]string{"--config-env", "shop-staging", "--parameter-overrides", "Architecture=x86_64"}, elf.EM_X86_64},
		"parameter file":  {[]string{"--parameter-overrides", "file://" + architectureFile(t, "x86_64")}, elf.EM_X86_64},
		"copy of sources": {[]string{"--no-build-in-source", "--parameter-overrides", "Architecture=x86_64"}, elf.EM_X86_64},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			cmd := env.Command(t, "", sam, append([]string{"build", "--build-dir", dir}, c.args...)...)
			cmd.Env = append(cmd.Env, "GOARCH=riscv64") // must not matter
			run(t, cmd)
			if names := fileNames(t, filepath.Join(dir, "ScoutFunction")); !slices.Equal(names, []string{"bootstrap", "release"}) {
				t.Fatalf("the build has the files %v", names)
			}
			checkBinary(t, []byte(readFile(t, filepath.Join(dir, "ScoutFunction", "bootstrap"))), c.machine)
		})
	}
	t.Run("unknown architecture", func(t *testing.T) {
		out, err := env.Command(t, "", sam, "build", "--build-dir", t.TempDir(), "--parameter-overrides", "Architecture=riscv64").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "riscv64") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestSAMBuildParameters builds with 1 and 15 topics, standard and FIFO, in and out of
// a VPC.
func TestSAMBuildParameters(t *testing.T) {
	sam := env.SAM(t)
	for _, profile := range []string{"latency", "fifo"} {
		for _, topics := range []int{1, 15} {
			for _, network := range [][]string{nil, {"SubnetIds=subnet-1,subnet-2", "SecurityGroupIds=sg-1"}} {
				args := []string{"build", "--config-env", "shop-staging", "--build-dir", t.TempDir(), "--parameter-overrides", "Profile=" + profile, "Topics=" + topicNames(1, topics)}
				run(t, env.Command(t, "", sam, append(args, network...)...))
			}
		}
	}
}

// architectureFile writes a parameter file and returns its path.
func architectureFile(t *testing.T, architecture string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "parameters.yaml")
	if err := os.WriteFile(path, []byte("Architecture: "+architecture+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func fileNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// checkBinary checks that a binary is static and for one architecture.
func checkBinary(t *testing.T, binary []byte, machine elf.Machine) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	if f.Machine != machine {
		t.Errorf("the function is built for %v, want %v", f.Machine, machine)
	}
	if libraries, _ := f.ImportedLibraries(); len(libraries) > 0 {
		t.Errorf("the function is linked to %v", libraries)
	}
}

// TestSAMDeploy runs sam build and sam deploy in a copy of the project, and checks
// which changes upload another zip, because SAM publishes a version only then.
func TestSAMDeploy(t *testing.T) {
	project, uploads := env.CopyProject(t), env.NewUploads(t)
	deploy := func(want int, what string) (output string, function map[string][]byte) {
		t.Helper()
		run(t, env.Command(t, project, env.SAM(t), "build", "--config-env", "shop-staging"))
		output, functions := uploads.Deploy(t, project, "--config-env", "shop-staging")
		if len(functions) != want {
			t.Fatalf("%s: sam deploy uploaded %d functions, want %d:\n%s", what, len(functions), want, output)
		}
		if want == 0 {
			return output, nil
		}
		return output, functions[0]
	}
	output, function := deploy(1, "first deployment")
	for _, want := range []string{"scout-shop-staging", `"Topics": "arn:aws:sns:us-east-1:123456789012:staging-orders"`, `"MaximumConcurrency": "2"`} {
		if !strings.Contains(output, want) {
			t.Errorf("SAM did not print %s:\n%s", want, output)
		}
	}
	if names := slices.Sorted(maps.Keys(function)); !slices.Equal(names, []string{"bootstrap", "release"}) {
		t.Errorf("the zip has the files %v", names)
	}
	checkBinary(t, function["bootstrap"], elf.EM_AARCH64)
	deploy(0, "no change")
	for _, change := range [][3]string{
		{"deploy/shop-staging.yaml", "MaximumConcurrency: 2", "MaximumConcurrency: 3"},
		{"deploy/shop-staging.yaml", "staging-orders]", "staging-orders, arn:aws:sns:us-east-1:123456789012:staging-users]"},
		{"template.yaml", "Timeout: 30", "Timeout: 29"},
		{"cmd/lambda/main.go", "func main() {", "func main() {\n\tprintln(\"changed\")"},
	} {
		replaceInFile(t, filepath.Join(project, change[0]), change[1], change[2])
		deploy(1, change[2])
		replaceInFile(t, filepath.Join(project, change[0]), change[2], change[1])
	}
	deploy(0, "as at first")
}

func replaceInFile(t *testing.T, path, old, new string) {
	t.Helper()
	text := readFile(t, path)
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not contain %q", path, old)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(text, old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, output)
	}
}
