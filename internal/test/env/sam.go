package env

import (
	"os"
	"path/filepath"
	"testing"
)

// SAM returns the path of the AWS SAM CLI.
func SAM(t testing.TB) string {
	t.Helper()
	return samProgram(t, "sam")
}

// CFNLint returns the path of cfn-lint, which comes with the SAM CLI.
func CFNLint(t testing.TB) string {
	t.Helper()
	return samProgram(t, "cfn-lint")
}

// samProgram returns the path of a program in the Python environment of the SAM
// CLI. It is not moto's, because the two need different versions of some packages.
func samProgram(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(projectRoot(t), ".deps", "sam", "bin", name)
	if _, err := os.Stat(path); err != nil {
		need(t, name, "aws-sam-cli from PyPI, into .deps/sam")
	}
	return path
}
