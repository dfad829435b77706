//go:build integration

package template

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"scout/internal/test/env"
)

func TestCFNLint(t *testing.T) {
	run(t, nil, env.CFNLint(t), "template.yaml")
}

func TestSAMValidate(t *testing.T) {
	run(t, nil, env.SAM(t), "validate", "--lint")
}

// TestSAMBuild builds the function as make deploy does, and checks that the
// Makefile builds for the architecture that it is given.
func TestSAMBuild(t *testing.T) {
	sam := env.SAM(t)
	for architecture, machine := range map[string]elf.Machine{"": elf.EM_AARCH64, "arm64": elf.EM_AARCH64, "x86_64": elf.EM_X86_64} {
		t.Run("ARCHITECTURE="+architecture, func(t *testing.T) {
			dir := t.TempDir()
			run(t, []string{"ARCHITECTURE=" + architecture}, sam, "build", "--build-dir", dir)
			files, err := os.ReadDir(filepath.Join(dir, "ScoutFunction"))
			if err != nil || len(files) != 1 || files[0].Name() != "bootstrap" {
				t.Fatalf("the build has the files %v (%v)", files, err)
			}
			f, err := elf.Open(filepath.Join(dir, "ScoutFunction", "bootstrap"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if f.Machine != machine {
				t.Errorf("the function is built for %v", f.Machine)
			}
			if libraries, _ := f.ImportedLibraries(); len(libraries) > 0 {
				t.Errorf("the function is linked to %v", libraries)
			}
		})
	}
}

// TestSAMDeploy checks how SAM reads an environment and its answers when make
// deploy calls it. It ends where SAM creates the stack, which moto cannot do from
// a SAM template.
func TestSAMDeploy(t *testing.T) {
	sam, dir := env.SAM(t), t.TempDir()
	run(t, nil, sam, "build", "--build-dir", dir)
	moto := []string{"AWS_ENDPOINT_URL=" + env.Moto(t)}
	run(t, moto, env.AWSCLI(t), "s3", "mb", "s3://artifacts")
	config, err := filepath.Abs("../../../samconfig.toml")
	if err != nil {
		t.Fatal(err)
	}
	cmd := command(t, moto, sam, "deploy", "--template-file", filepath.Join(dir, "template.yaml"), "--config-file", config,
		"--no-resolve-s3", "--s3-bucket", "artifacts", "--no-confirm-changeset", "--config-env", "shop-production",
		"--parameter-overrides", "file://deploy/shop-production.yaml", "Release=0123456789ab")
	output, _ := cmd.CombinedOutput()
	for _, want := range []string{
		"scout-shop-production",
		`"SubnetIds": "subnet-0aaaaaaaaaaaaaaaa,subnet-0bbbbbbbbbbbbbbbb"`,
		`"Filter2": "{\"country\": [\"de\", \"fr\"]}"`,
		`"Release": "0123456789ab"`,
	} {
		if !strings.Contains(string(output), want) {
			t.Errorf("SAM did not print %s:\n%s", want, output)
		}
	}
}

func run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	if output, err := command(t, env, program, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", filepath.Base(program), args, err, output)
	}
}

// command returns a command in the project's folder, with invalid credentials.
func command(t *testing.T, env []string, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = filepath.Join("..", "..", "..")
	cmd.Env = append(os.Environ(),
		"AWS_ACCESS_KEY_ID=none", "AWS_SECRET_ACCESS_KEY=none", "AWS_REGION=us-east-1", "AWS_DEFAULT_REGION=us-east-1",
		"SAM_CLI_TELEMETRY=0")
	cmd.Env = append(cmd.Env, env...)
	return cmd
}
