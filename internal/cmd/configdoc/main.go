// Command configdoc writes docs/configuration.md: head.md, followed by a table of the
// keys of each section. The tables are those with which Scout reads the file.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"regexp"
	"strings"

	"scout/config"
)

//go:generate go run .

// file is the page, relative to this package's directory.
const file = "../../../docs/configuration.md"

//go:embed head.md
var head string

func main() {
	if err := os.WriteFile(file, []byte(page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "configdoc:", err)
		os.Exit(1)
	}
}

// keyPath matches the name of a section that is the path of its key.
var keyPath = regexp.MustCompile(`^[a-z_.]+$`)

func page() string {
	var b strings.Builder
	b.WriteString(head)
	for _, s := range config.Sections() {
		title := s.Name
		if keyPath.MatchString(title) {
			title = "`" + title + "`"
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", title, s.Doc)
		b.WriteString("| key | value | default | example | meaning |\n| --- | --- | --- | --- | --- |\n")
		for _, k := range s.Keys {
			fallback := "none"
			if k.Required {
				fallback = "required"
			} else if k.Default != "" {
				fallback = code(k.Default)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, cell(k.Allowed), fallback, code(k.Example), cell(k.Doc))
		}
	}
	return b.String()
}

// cell returns text for a cell of a table.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(text)
}

func code(text string) string {
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}
