package template

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"scout/internal/test/env"
)

// TestFolderWithBlank builds into a folder whose name has a blank, as SAM does when
// it runs in one.
func TestFolderWithBlank(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my app")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if output, err := makeCommand(t, "build-ScoutFunction", "ARTIFACTS_DIR="+dir); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(dir, "bootstrap")); err != nil {
		t.Error(err)
	}
}

// TestMakeDeploy runs make deploy with a program that reports the version of a SAM CLI
// and otherwise prints its arguments.
func TestMakeDeploy(t *testing.T) {
	sam := filepath.Join(t.TempDir(), "sam")
	script := "#!/bin/sh\ncase $1 in --version) echo \"SAM CLI, version $VERSION\";; *) echo \"sam $*\";; esac\n"
	if err := os.WriteFile(sam, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"1.159.1": "SAM CLI, version 1.159.1 is too old for the template: install 1.160 or newer",
		"0.53.0":  "is too old",
		"1.160.0": "sam deploy --config-env shop-staging",
		"2.0.0":   "sam build --config-env shop-staging",
	} {
		t.Setenv("VERSION", version)
		out, err := makeCommand(t, "deploy", "APP=shop", "STAGE=staging", "SAM="+sam)
		if strings.Contains(want, "too old") != (err != nil) || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%s", version, err, out)
		}
	}
	if out, err := makeCommand(t, "deploy", "APP=shop", "STAGE=nope", "SAM="+sam); err == nil || !strings.Contains(out, "samconfig.toml has no environment shop-nope") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := makeCommand(t, "deploy", "APP=shop", "SAM="+sam); err == nil || !strings.Contains(out, "STAGE is missing") {
		t.Errorf("%v\n%s", err, out)
	}
}

func makeCommand(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), env.Program(t, "make", "make"), args...)
	cmd.Dir = filepath.Join("..", "..", "..")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
