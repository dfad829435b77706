package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// source returns the Go source of the project without its tests. Log messages and
// errors appear in it in quotes.
func source(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."), d.IsDir() && d.Name() == "test":
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestTroubleshooting checks that every log message and error in the first column of
// the tables in docs/troubleshooting.md exists in the source. In the tables, … stands
// for any text.
func TestTroubleshooting(t *testing.T) {
	all := pages(t)
	i := slices.IndexFunc(all, func(p page) bool { return p.path == "docs/troubleshooting.md" })
	if i < 0 {
		t.Fatal("there is no docs/troubleshooting.md")
	}
	code := source(t)
	found := 0
	for _, row := range regexp.MustCompile(`(?m)^\| (`+"`"+`.*?) \| `).FindAllStringSubmatch(all[i].text, -1) {
		for _, quoted := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			for _, fragment := range strings.Split(quoted[1], "…") {
				if fragment = strings.TrimSpace(fragment); fragment != "" && !strings.Contains(code, fragment) {
					t.Errorf("no source prints %q, of the entry %q", fragment, quoted[1])
				}
			}
			found++
		}
	}
	if found < 50 {
		t.Errorf("found %d entries, fewer than the page has", found)
	}
}
