package template

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// emittedMetrics returns the names of the metrics that the function can write,
// read from its source: those that emf.go adds by name, and one for each
// handler.Reason.
func emittedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	metrics := map[string]bool{}
	inspect(t, "../../../cmd/lambda/emf.go", func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return
		}
		if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "add" {
			if name, ok := literal(call.Args[0]); ok {
				metrics[name] = true
			}
		}
	})
	inspect(t, "../../../handler/rejection.go", func(n ast.Node) {
		constant, ok := n.(*ast.ValueSpec)
		if !ok || len(constant.Values) != 1 {
			return
		}
		if kind, ok := constant.Type.(*ast.Ident); ok && kind.Name == "Reason" {
			reason, _ := literal(constant.Values[0])
			metrics["Failed"+camel(reason)] = true
		}
	})
	if !metrics["Received"] || !metrics["FailedNoRoute"] {
		t.Fatalf("the metrics are not found in the source any more, only %v", metrics)
	}
	return metrics
}

func inspect(t *testing.T, path string, visit func(ast.Node)) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.FromSlash(path), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool { visit(n); return true })
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(l.Value)
	return text, err == nil
}

func camel(s string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(s, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}
