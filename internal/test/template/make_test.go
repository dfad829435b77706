package template

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestFolderWithBlank builds into a folder whose name has a blank, as SAM does when
// it runs in one.
func TestFolderWithBlank(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("this test needs make")
	}
	dir := filepath.Join(t.TempDir(), "my app")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	make := exec.Command("make", "build-ScoutFunction", "ARTIFACTS_DIR="+dir)
	make.Dir = filepath.Join("..", "..", "..")
	if output, err := make.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if _, err := os.Stat(filepath.Join(dir, "bootstrap")); err != nil {
		t.Error(err)
	}
}
